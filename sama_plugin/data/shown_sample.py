"""A sample made ready to be looked at: a few frames of its video with its objects drawn in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sama_plugin.data.shown_dialogue import Thing, list_things
from sama_plugin.errors import MediaError
from sama_plugin.media.frame_sampling import shown_frames
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.marks import Mark, draw_marks
from sama_plugin.media.masks import decode_mask
from sama_plugin.schema import Rle, Sample

TILE_SIDE = 360
"""Longer side of a frame to look at."""

FILL = 0.22
"""Opacity of masks: less than in pictures of answers, so that the colours of the video can be judged."""

BLANK = 128
"""Level of grey of frames of a video that cannot be read."""

MOST_PIXELS = 1 << 26
"""Of a mask that is drawn without its video; larger ones are hardly meant."""

MOST_THINGS = 16
"""Objects that are drawn, at most; with more nothing could be told apart."""


class Tile(NamedTuple):
    """A frame to be looked at.

    Attributes:
        picture: (height, width, 3) uint8 RGB, equal in size for all of a sample.
        caption: number and time of the frame.
        labels: of the objects that are drawn on it.
    """

    picture: np.ndarray
    caption: str
    labels: list[str]


@dataclass
class ShownSample:
    """A sample made ready to be looked at.

    Attributes:
        sample: the dialogue.
        things: its objects by mask id.
        tiles: frames with objects drawn in; on grey where the video cannot be read, none without a video.
        facts: of the clip, such as its length; empty if it cannot be read.
        faults: what could not be shown, and why.
    """

    sample: Sample
    things: dict[str, Thing]
    tiles: list[Tile] = field(default_factory=list)
    facts: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def drawn(self) -> list[Thing]:
        """The objects that are on the frames."""
        return list(self.things.values())[:MOST_THINGS]

    @property
    def notes(self) -> list[str]:
        """What a viewer has to know: what is not drawn, and the faults."""
        left_out = len(self.things) - len(self.drawn)
        return [*([f"{left_out} more objects are not drawn."] if left_out else []), *self.faults]


def show_sample(
    sample: Sample, num_frames: int, descriptions: Mapping[str, str] | None = None
) -> ShownSample:
    """Read frames of a sample and draw its objects in; what cannot be read is a fault, not an error.

    Args:
        sample: any; one without a video has no picture, one whose video cannot be read shows its masks on grey.
        num_frames: frames at most, spread over the clip, each object on one of them if there is room.
        descriptions: mask id → what the record says of the object.
    """
    shown = ShownSample(sample, list_things(sample, descriptions or {}))
    if not sample.video_path:
        return shown
    try:
        clip = open_sample_clip(sample)
        shown.facts = f"{clip.num_frames} frames, {clip.width} x {clip.height}, {clip.duration_s:.1f} s"
        frames = _choose_frames(shown, clip.num_frames, num_frames)
        pictures = clip.read(frames)
        captions = [f"frame {index}, {clip.time_of(index):.2f} s" for index in frames]
        shown.tiles = _draw_tiles(shown, clip.num_frames, frames, pictures, captions)
    except MediaError as error:
        shown.faults.append(str(error))
        shown.tiles = _draw_masks_alone(shown, num_frames)
    return shown


def _choose_frames(shown: ShownSample, length: int, num_frames: int) -> list[int]:
    seen = [[index for index in thing.seen if index < length] for thing in shown.drawn]
    return shown_frames(length, num_frames, [], seen)


def _draw_masks_alone(shown: ShownSample, num_frames: int) -> list[Tile]:
    """The masks on grey, as large and as many as those of the first object that is ever visible."""
    track = next((thing.track for thing in shown.drawn if thing.seen), [])
    height, width = next((rle["size"] for rle in track if rle is not None), (0, 0))
    if not 0 < height * width <= MOST_PIXELS:
        return []
    frames = _choose_frames(shown, len(track), num_frames)
    blank = np.full((height, width, 3), BLANK, dtype=np.uint8)
    captions = [f"masks of frame {index}, no video" for index in frames]
    return _draw_tiles(shown, len(track), frames, [blank] * len(frames), captions)


def _draw_tiles(
    shown: ShownSample,
    length: int,
    frames: Sequence[int],
    pictures: Iterable[np.ndarray],
    captions: Sequence[str],
) -> list[Tile]:
    """Frames of a clip of some length with what is on them, in a size to look at."""
    tiles: list[Tile] = []
    tracks: dict[str, Sequence[Rle | None]] = {}
    for index, frame, caption in zip(frames, pictures, captions, strict=True):
        height, width = frame.shape[:2]
        if not tiles:
            tracks = _fitting_tracks(shown, length, (height, width))
        scale = min(TILE_SIDE / width, TILE_SIDE / height)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        marks = _marks_of(shown, tracks, index)
        tiles.append(Tile(draw_marks(frame, marks, size), caption, [mark.label for mark in marks]))
    return tiles


def _fitting_tracks(
    shown: ShownSample, length: int, size: tuple[int, int]
) -> dict[str, Sequence[Rle | None]]:
    """Mask id → track, of the objects whose masks are of a clip of this length and size; the others are faults."""
    tracks: dict[str, Sequence[Rle | None]] = {}
    for thing in shown.drawn:
        sizes = {tuple(rle["size"]) for rle in thing.track if rle is not None} - {size}
        if len(thing.track) != length:
            shown.faults.append(f"object {thing.number} has {len(thing.track)} masks for {length} frames")
        elif sizes:
            shown.faults.append(
                f"masks of object {thing.number} are of size {sorted(sizes)}, frames of {size}"
            )
        else:
            tracks[thing.mask_id] = thing.track
    return tracks


def _marks_of(shown: ShownSample, tracks: Mapping[str, Sequence[Rle | None]], index: int) -> list[Mark]:
    """What is drawn on a frame: objects that are only pointed at as outlines, the others filled."""
    marks = []
    for thing in shown.drawn:
        rle = tracks[thing.mask_id][index] if thing.mask_id in tracks else None
        if rle is None:
            continue
        try:
            mask = decode_mask(rle)
        except MediaError as error:
            shown.faults.append(f"object {thing.number}, frame {index}: {error}")
            continue
        marks.append(Mark(thing.label, thing.colour, mask, FILL if thing.is_shown else 0.0))
    return marks


def shown_columns(tiles: Sequence[Tile]) -> int:
    """Frames beside each other: three upright ones, or two."""
    height, width = tiles[0].picture.shape[:2]
    return 3 if height > width else 2
