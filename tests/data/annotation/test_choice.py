from __future__ import annotations

import numpy as np

from sama_plugin.data.annotation.choice import Choice, choose_frames, choose_objects
from sama_plugin.data.annotation.tracks import TrackedObject, TrackedVideo
from tests.data.annotation.made_tracks import make_video, rectangle_track


def test_seldom_small_double_and_surplus_objects_are_left_out_with_reasons() -> None:
    big = rectangle_track([(20, 20)] * 40, (16, 16))
    twin = rectangle_track([(21, 20)] * 40, (16, 16))
    seldom = rectangle_track([(50, 20)] * 40, seen=[(3, 3)])
    tiny = rectangle_track([(50.5, 40.5)] * 40, (1, 1))
    fine = rectangle_track([(50, 10)] * 40, (6, 6))
    smaller = rectangle_track([(5, 40)] * 40, (4, 4))
    never = np.zeros_like(big)
    video = make_video([twin, big, seldom, tiny, fine, smaller, never])
    chosen = choose_objects(video, Choice(most_objects=2))
    assert chosen.numbers == [0, 4]
    assert chosen.rejected[1] == "nearly the same masks as object 0"
    assert chosen.rejected[2].startswith("visible on 2.5% of the frames")
    assert chosen.rejected[3].startswith("covers 0.033% of the picture")
    assert chosen.rejected[5] == "the video has 2 larger ones"
    assert chosen.rejected[6].startswith("visible on 0.0%")


def test_doubles_are_found_among_run_lengths_that_are_not_compressed() -> None:
    rows = {"size": [4, 6], "counts": [2, 8, 14]}
    video = TrackedVideo("v", "v.mp4", 4, 6, tuple(TrackedObject([rows, None]) for _ in range(2)))
    assert choose_objects(video, Choice()).rejected == {1: "nearly the same masks as object 0"}


def test_frames_are_spread_over_those_that_show_something() -> None:
    visible = np.zeros((1, 100), dtype=bool)
    visible[0, 40:61] = True
    assert choose_frames(visible, 3) == [40, 50, 60]
    assert choose_frames(visible, 50) == list(range(40, 61))


def test_each_object_is_on_a_chosen_frame() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        visible = np.zeros((int(rng.integers(1, 6)), 40), dtype=bool)
        for row in visible:
            start = int(rng.integers(0, 40))
            row[start : start + int(rng.integers(1, 12))] = True
        frames = choose_frames(visible, 6)
        assert frames == sorted(set(frames))
        assert len(frames) <= 6
        assert visible[:, frames].any(axis=1).all()
