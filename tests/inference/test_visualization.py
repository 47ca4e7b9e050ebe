"""Pictures: what is drawn, where, in which colour, and that labels can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.inference import visualization as viz
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.schema import Region
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


@pytest.mark.parametrize(
    ("size", "factor"), [((128, 160), 4), ((720, 1280), 1), ((240, 320), 2), ((8, 8), 8)]
)
def test_small_videos_are_enlarged_by_a_whole_factor(size: tuple[int, int], factor: int) -> None:
    assert viz.enlargement(*size) == factor


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
