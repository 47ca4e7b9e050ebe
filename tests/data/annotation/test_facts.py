from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.data.annotation.facts import ObjectFacts, direction_of, half_of, measure_video, place_of
from tests.data.annotation.made_tracks import HEIGHT, WIDTH, line, make_video, rectangle_track


def facts_of(way: list, **kwargs: object) -> ObjectFacts:
    return measure_video(make_video([rectangle_track(way, **kwargs)])).objects[0]  # type: ignore[arg-type]


def test_centre_and_area_are_shares_of_the_picture() -> None:
    thing = facts_of([(16, 12)] * 6)
    np.testing.assert_allclose(thing.centres_xy, [[16 / WIDTH, 12 / HEIGHT]] * 6)
    np.testing.assert_allclose(thing.areas, 64 / (HEIGHT * WIDTH))


@pytest.mark.parametrize(
    ("seen", "runs", "appears", "leaves"),
    [
        ([(0, 19)], [(0, 19)], False, False),
        ([(5, 14)], [(5, 14)], True, True),
        ([(1, 18)], [(1, 18)], None, None),
        ([(0, 3), (8, 9)], [(0, 3), (8, 9)], False, True),
    ],
)
def test_when_it_is_visible(seen: list, runs: list, appears: bool | None, leaves: bool | None) -> None:
    thing = facts_of([(20, 20)] * 20, seen=seen)
    assert (thing.runs, thing.appears, thing.leaves) == (runs, appears, leaves)
    assert thing.is_throughout == (seen == [(0, 19)])


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (line((8, 24), (56, 24)), "right"),
        (line((56, 24), (8, 24)), "left"),
        (line((32, 40), (32, 8)), "up"),
        (line((8, 8), (40, 32)), "lower right"),
        (line((20, 20), (21, 20)), "still"),
        (line((20, 20), (26, 20)), None),
        (line((8, 24), (56, 24), 10) + line((56, 24), (8, 24), 10), "back right"),
        (line((8, 24), (56, 24), 10) + line((56, 24), (30, 24), 10), None),
        (line((8, 24), (30, 34)), None),
        (line((8, 24), (56, 24), 4), None),
    ],
)
def test_way(way: list, expected: str | None) -> None:
    assert facts_of(way).way == expected


@pytest.mark.parametrize(
    ("size", "expected"), [((8, 16), "larger"), ((16, 8), "smaller"), ((8, 8), "same"), ((12, 14), None)]
)
def test_growth(size: tuple, expected: str | None) -> None:
    assert facts_of([(32, 24)] * 20, size=size).growth == expected


def test_sides_of_a_pair_change_once() -> None:
    left, mover = rectangle_track(line((20, 12), (20, 12))), rectangle_track(line((6, 36), (58, 36)))
    facts = measure_video(make_video([left, mover]))
    assert facts.side(1, 0, 0) == "left then right"
    assert facts.side(0, 1, 0) == "right then left"
    assert facts.side(1, 0, 1) == "bottom"
    frame = facts.crossing(1, 0, 0)
    assert frame is not None
    assert facts.objects[1].centres_xy[frame - 1, 0] <= 20 / WIDTH < facts.objects[1].centres_xy[frame, 0]


def test_pairs_are_compared_on_common_frames_only() -> None:
    big = rectangle_track([(20, 20)] * 20, (16, 16), seen=[(0, 9)])
    small = rectangle_track([(50, 20)] * 20, (6, 6))
    late = rectangle_track([(50, 40)] * 20, (6, 6), seen=[(12, 19)])
    facts = measure_video(make_video([big, small, late]))
    assert facts.larger(0, 1) is True
    assert facts.larger(1, 0) is False
    assert facts.larger(0, 2) is None
    assert facts.side(0, 2, 0) is None
    assert facts.approach(0, 1) is None


def test_approach() -> None:
    still, comer = rectangle_track([(10, 24)] * 20), rectangle_track(line((58, 24), (22, 24)))
    assert measure_video(make_video([still, comer])).approach(0, 1) == "closer"
    assert measure_video(make_video([still, comer[::-1]])).approach(0, 1) == "away"


@pytest.mark.parametrize(
    ("place", "words", "half"),
    [
        ((0.1, 0.1), "upper left", "left half"),
        ((0.9, 0.5), "right", "right half"),
        ((0.5, 0.9), "bottom", "lower half"),
        ((0.5, 0.5), "middle", None),
        ((0.4, 0.5), None, "left half"),
        ((0.4, 0.1), None, "upper half"),
    ],
)
def test_places(place: tuple, words: str | None, half: str | None) -> None:
    assert place_of(np.array(place)) == words
    assert half_of(np.array(place)) == half


@pytest.mark.parametrize(
    ("step", "words"),
    [((1, 0), "right"), ((-1, 0.3), "left"), ((0, -1), "up"), ((-1, 1), "lower left"), ((1, 0.5), None)],
)
def test_directions(step: tuple, words: str | None) -> None:
    assert direction_of(np.array(step)) == words


def test_contact_is_told_where_it_is_clear() -> None:
    still = rectangle_track([(20, 24)] * 20, (12, 12))
    comer = rectangle_track(line((58, 24), (20, 24)), (8, 8))
    facts = measure_video(make_video([still, comer, rectangle_track([(50, 44)] * 20, (4, 4))]))
    frames = facts.contact(0, 1)
    assert frames is not None
    both = (still & comer).any(axis=(1, 2))
    assert set(np.flatnonzero(both)) <= set(frames.tolist())
    assert frames[-1] == 19
    assert frames.size <= both.sum() + 1
    apart = facts.contact(0, 2)
    assert apart is not None
    assert apart.size == 0
    near = rectangle_track([(31, 24)] * 20, (4, 4))
    assert measure_video(make_video([still, near])).contact(0, 1) is None
