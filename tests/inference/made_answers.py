"""A short clip of two moving squares, and answers about it as a model would give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_track, visible_spans
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region, RegionPrompt

HEIGHT, WIDTH, NUM_FRAMES, FPS = 48, 64, 8, 8.0
GREY = 120


def square_tracks() -> np.ndarray:
    """(2, T, H, W) bool; one square moves right, one is there in the last half only."""
    tracks = np.zeros((2, NUM_FRAMES, HEIGHT, WIDTH), dtype=bool)
    for t in range(NUM_FRAMES):
        tracks[0, t, 8:20, 4 + 4 * t : 16 + 4 * t] = True
        tracks[1, t, 30:40, 40:50] = t >= NUM_FRAMES // 2
    return tracks


def make_clip(folder: Path) -> VideoClip:
    """A grey clip."""
    path = folder / "squares.mp4"
    frames = np.full((NUM_FRAMES, HEIGHT, WIDTH, 3), GREY, dtype=np.uint8)
    write_video(path, frames, FPS)
    return VideoClip.open(path)


def make_object(number: int, track: np.ndarray, phrase: str) -> GroundedObject:
    rle = encode_track(track)
    spans_s = visible_spans(rle, np.arange(NUM_FRAMES) / FPS, NUM_FRAMES / FPS)
    return GroundedObject(f"obj{number}", phrase, 0.9, rle, spans_s)


def make_answer(question: str, text: str, objects: list[GroundedObject] | None = None) -> GroundedAnswer:
    timing_s = dict.fromkeys(("encode", "first_token", "generate", "ground"), 0.5)
    counts = (
        "vision_frames_encoded",
        "sam2_frames_encoded",
        "prefix_tokens_reused",
        "prefix_tokens_computed",
    )
    return GroundedAnswer(question, text, f"{text}[SEG]", objects or [], timing_s, dict.fromkeys(counts, 3))


def make_answers() -> list[GroundedAnswer]:
    """A turn about a region, one with both squares, one about nothing."""
    one, two = square_tracks()
    both = [make_object(1, one, "the moving square"), make_object(2, two, "a late square")]
    return [
        make_answer("What is <r1>?", "A moving square."),
        make_answer("Segment all.", "The the moving square and a late square.", both),
        make_answer("Where is the star?", "There is no star."),
    ]


def make_regions() -> list[Region]:
    """A box on frame 2."""
    mask = square_tracks()[0, 2]
    return [Region("r1", 2, mask, RegionPrompt("r1", "box", 2, box_xyxy=(12.0, 8.0, 24.0, 20.0)))]
