"""Pictures for a model to look at: frames of a video with the outlines and names of objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.errors import MediaError
from sama_plugin.media.frame_subset import open_frames
from sama_plugin.media.marks import Mark, draw_marks, object_colour
from sama_plugin.media.masks import decode_mask

GREY = 128
BLANK_FILL = 0.5


def mark_frames(
    video: TrackedVideo, media: Path | None, frames: Sequence[int], numbers: Sequence[int], side: int
) -> list[np.ndarray]:
    """Draw objects on frames.

    Args:
        video: its tracks.
        media: file or folder of the video; None draws on grey.
        frames: mask frames, in order.
        numbers: objects to draw, called `objN`.
        side: longer side of the pictures, pixels; small frames are enlarged, so that outlines leave something to see.

    Returns:
        (H, W, 3) uint8 RGB, one per frame.

    Raises:
        MediaError: the video cannot be read, or its frames do not fit the masks.

    Source: official annotation: box and name on each object's first frame only, long side at most 384. Differs:
        outlines and names on every frame that is shown.
    """
    pictures = _blank(video, len(frames)) if media is None else _read(video, media, frames)
    scale = side / max(video.height, video.width)
    size = (max(1, round(video.height * scale)), max(1, round(video.width * scale)))
    drawn = []
    for frame, picture in zip(frames, pictures, strict=True):
        masks = [(number, video.objects[number].track[frame]) for number in numbers]
        marks = [
            Mark(f"obj{n}", object_colour(f"obj{n}"), decode_mask(rle), BLANK_FILL if media is None else 0.0)
            for n, rle in masks
            if rle is not None
        ]
        drawn.append(draw_marks(picture, marks, size))
    return drawn


def _blank(video: TrackedVideo, count: int) -> np.ndarray:
    return np.full((count, video.height, video.width, 3), GREY, dtype=np.uint8)


def _read(video: TrackedVideo, media: Path, frames: Sequence[int]) -> np.ndarray:
    clip = open_frames(media, video.frames, video.frame_step)
    found = (clip.num_frames, clip.height, clip.width)
    wanted = (video.num_frames, video.height, video.width)
    if found != wanted:
        raise MediaError(
            f"'{media}' has {found[0]} frames of {found[1]}x{found[2]} (every {video.frame_step} taken), but its masks "
            f"are {wanted[0]} of {wanted[1]}x{wanted[2]}; is it another video, or another copy of it?"
        )
    return clip.read(frames)
