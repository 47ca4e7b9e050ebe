"""Pictures: what is drawn, where, in which colour, and that labels can be read."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.inference import visualization as viz
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.schema import Region, RegionPrompt
from tests.inference.made_answers import (
    HEIGHT,
    NUM_FRAMES,
    WIDTH,
    make_answer,
    make_answers,
    make_clip,
    make_object,
    make_regions,
    square_tracks,
)

GREY = np.full((120, 160, 3), 120, dtype=np.uint8)


def disk(height: int = 120, width: int = 160, radius: int = 20) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    return (y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2


def contrast(one: viz.Rgb, other: viz.Rgb) -> float:
    def luminance(colour: viz.Rgb) -> float:
        v = np.array(colour) / 255
        return float(
            np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
        )

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_mark_fills_inside_outlines_the_edge_and_leaves_the_rest() -> None:
    mask = disk()
    drawn = viz.draw_marks(GREY, [viz.Mark("", viz.PALETTE[0], mask)])
    filled = 120 + viz.OBJECT_FILL * (np.array(viz.PALETTE[0]) - 120)
    np.testing.assert_allclose(drawn[60, 80], filled, atol=1)
    np.testing.assert_allclose(drawn[60, 100], viz.PALETTE[0], atol=40)  # on the edge
    assert (drawn[:30] == 120).all()
    assert (drawn[~disk(radius=27)] == 120).all()


def test_mask_at_the_border_of_the_frame_is_drawn() -> None:
    mask = np.zeros((120, 160), dtype=bool)
    mask[0, 0] = mask[-1, -1] = mask[0:30, 130:] = True
    drawn = viz.draw_marks(GREY, [viz.Mark("corner", viz.PALETTE[1], mask)])
    assert drawn.shape == GREY.shape
    assert (drawn[10, 150] != 120).any()


def test_frame_is_not_changed_in_place_and_no_marks_change_nothing() -> None:
    before = GREY.copy()
    viz.draw_marks(GREY, [viz.Mark("x", viz.PALETTE[0], disk())])
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(viz.draw_marks(GREY, []), GREY)


def test_empty_mask_draws_nothing_not_even_its_label() -> None:
    drawn = viz.draw_marks(GREY, [viz.Mark("obj1 ghost", viz.PALETTE[0], np.zeros((120, 160), dtype=bool))])
    np.testing.assert_array_equal(drawn, GREY)


def test_object_keeps_its_colour_and_near_numbers_differ() -> None:
    assert viz.object_colour("obj3") == viz.object_colour("obj3") == viz.PALETTE[2]
    assert viz.object_colour(f"obj{len(viz.PALETTE) + 1}") == viz.PALETTE[0]
    assert len(set(viz.PALETTE)) == len(viz.PALETTE)


@pytest.mark.parametrize("colour", [*viz.PALETTE, viz.REGION_COLOUR])
def test_label_text_is_legible_on_every_colour(colour: viz.Rgb) -> None:
    assert contrast(viz._ink_on(colour), colour) >= 4.5


@pytest.mark.parametrize(
    "box", [(0, 0, 10, 10), (630, 470, 640, 480), (0, 0, 640, 480), (300, 0, 310, 480), (0, 200, 640, 210)]
)
def test_label_stays_inside_the_picture(box: viz.Box) -> None:
    x0, y0, x1, y1 = viz._place_label((200, 30), box, (640, 480), [], [box])
    assert 0 <= x0 < x1 <= 640
    assert 0 <= y0 < y1 <= 480


def test_labels_of_objects_in_one_place_do_not_cover_each_other() -> None:
    box, taken = (300, 200, 340, 240), []
    for _ in range(5):
        taken.append(viz._place_label((120, 25), box, (640, 480), taken, [box]))
    assert all(viz._overlap(a, b) == 0 for a, b in combinations(taken, 2))


def test_phrase_wider_than_the_picture_is_cut_with_dots() -> None:
    text = viz._shorten("obj1 " + "very " * 40 + "long phrase", 16, 150)
    assert text.endswith("...")
    assert viz._text_size(text, 16)[0] <= 150


@pytest.mark.parametrize(
    ("size", "factor"), [((128, 160), 4), ((720, 1280), 1), ((240, 320), 2), ((8, 8), 8)]
)
def test_small_videos_are_enlarged_by_a_whole_factor(size: tuple[int, int], factor: int) -> None:
    assert viz.enlargement(*size) == factor


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        (
            RegionPrompt("r", "point", 0, points_xy=np.array([[20.0, 30.0]]), point_labels=np.array([1])),
            (30, 20),
        ),
        (
            RegionPrompt("r", "point", 0, points_xy=np.array([[20.0, 30.0]]), point_labels=np.array([0])),
            (30, 20),
        ),
        (RegionPrompt("r", "box", 0, box_xyxy=(10.0, 20.0, 50.0, 60.0)), (20, 30)),
        (RegionPrompt("r", "scribble", 0, points_xy=np.array([[10.0, 10.0], [40.0, 10.0]])), (10, 25)),
    ],
)
def test_what_a_region_was_pointed_with_is_drawn(prompt: RegionPrompt, place: tuple[int, int]) -> None:
    mark = viz.Mark("", viz.REGION_COLOUR, disk(), 0.2, prompt)
    with_prompt = viz.draw_marks(GREY, [mark])
    without = viz.draw_marks(GREY, [viz.Mark("", viz.REGION_COLOUR, disk(), 0.2)])
    assert (with_prompt[place] != without[place]).any()


def test_positive_and_negative_clicks_look_different() -> None:
    drawn = []
    for label in (0, 1):
        prompt = RegionPrompt("r", "point", 0, np.array([[20.0, 30.0]]), np.array([label]))
        drawn.append(viz.draw_marks(GREY, [viz.Mark("", viz.REGION_COLOUR, disk(), prompt=prompt)]))
    assert (drawn[0] != drawn[1]).any()


def test_overlay_has_every_frame_and_shows_objects_only_where_they_are(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    viz.write_overlay(tmp_path / "o.mp4", clip, make_answers())
    overlay = VideoClip.open(tmp_path / "o.mp4")
    factor = viz.enlargement(HEIGHT, WIDTH)
    assert (overlay.num_frames, overlay.height, overlay.width) == (
        NUM_FRAMES,
        HEIGHT * factor,
        WIDTH * factor,
    )
    assert overlay.fps == pytest.approx(clip.fps)
    first, last = overlay.read([0, NUM_FRAMES - 1]).astype(int)
    inside = (slice(33 * factor, 37 * factor), slice(43 * factor, 47 * factor))  # the late square
    assert abs(first[inside] - 120).max() < 8
    assert abs(last[inside].mean(axis=(0, 1)) - 120).max() > 20


def test_overlay_shows_a_region_from_its_frame_and_lets_it_fade(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    region = Region("r1", 2, square_tracks()[0, 2])
    viz.write_overlay(tmp_path / "o.mp4", clip, [], [region])
    factor = viz.enlargement(HEIGHT, WIDTH)
    frames = VideoClip.open(tmp_path / "o.mp4").read(range(NUM_FRAMES))
    brightness = frames[:, 14 * factor, 18 * factor].mean(axis=1)
    assert brightness[1] == pytest.approx(120, abs=4)
    assert brightness[2] > brightness[4] + 4 > brightness[7] + 4


def test_same_conversation_gives_the_same_bytes(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    for name in ("a", "b"):
        viz.write_overlay(tmp_path / f"{name}.mp4", clip, make_answers(), make_regions())
        viz.write_strip(tmp_path / f"{name}.png", clip, make_answers(), make_regions())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_strip_has_a_row_of_frames_only_for_turns_with_something_to_see(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    answers = make_answers()
    plain = viz.draw_strip(clip, [answers[2]]).shape[0]
    grounded = viz.draw_strip(clip, [answers[1]]).shape[0]
    tile = viz._tile_size(clip)[0]
    assert plain < tile < grounded
    assert viz.draw_strip(clip, [answers[0]], make_regions()).shape[0] > tile  # the region it means
    assert viz.draw_strip(clip, [answers[0]]).shape[0] < tile  # no such region


def test_turn_that_means_an_earlier_object_shows_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    answers = [make_answers()[1], make_answer("What does <obj2> do?", "It appears late.")]
    alone = viz.draw_strip(clip, answers[:1]).shape[0]
    assert viz.draw_strip(clip, answers).shape[0] - alone > viz._tile_size(clip)[0]


def test_strip_of_long_words_keeps_its_width(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    short = viz.draw_strip(clip, [make_answer("Why?", "So.")])
    long = viz.draw_strip(clip, [make_answer("W" * 500 + " why?" * 100, "so " * 300)])
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]


def test_answer_without_words_is_drawn(tmp_path: Path) -> None:
    assert viz.draw_strip(make_clip(tmp_path), [make_answer("Why?", "")]).shape[0] > 0


def test_strip_frames_include_region_frames_and_each_object(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    track = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), dtype=bool)
    regions = [Region("r1", 2, square_tracks()[0, 2])]
    spread = viz._choose_frames(clip, [], [])
    hidden = next(t for t in range(NUM_FRAMES) if t not in spread)
    track[hidden, 5:9, 5:9] = True
    chosen = viz._choose_frames(clip, [make_object(1, track, "x")], regions)
    assert {2, hidden} <= set(chosen)
    assert len(chosen) == len(spread) == viz.STRIP_FRAMES
    assert chosen == sorted(chosen)


def test_one_frame_clip_gives_strip_and_overlay(tmp_path: Path) -> None:
    write_video(tmp_path / "one.mp4", [np.full((48, 64, 3), 90, np.uint8)], 10)
    clip = VideoClip.open(tmp_path / "one.mp4")
    answers = [make_answer("Segment it.", "The square.", [])]
    viz.write_overlay(tmp_path / "o.mp4", clip, answers)
    assert VideoClip.open(tmp_path / "o.mp4").num_frames == 1
    viz.write_strip(tmp_path / "s.png", clip, answers)


def test_masks_of_another_video_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    wrong = make_object(1, np.ones((NUM_FRAMES, 10, 10), dtype=bool), "x")
    with pytest.raises(MediaError, match=r"'obj1' has masks for 8 frames of size \[\(10, 10\)\].*48x64"):
        viz.write_overlay(tmp_path / "o.mp4", clip, [make_answer("?", "!", [wrong])])
    assert not (tmp_path / "o.mp4").exists()


def test_strip_that_cannot_be_written_is_one_media_error(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    with pytest.raises(MediaError, match=r"Cannot write '.*missing/s\.png'"):
        viz.write_strip(tmp_path / "missing" / "s.png", clip, make_answers())
