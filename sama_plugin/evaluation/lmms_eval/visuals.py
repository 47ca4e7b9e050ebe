"""What a task of `lmms-eval` shows → a clip: a video as it is, a picture as a clip of one frame, pictures in a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.live import LiveClip


def open_visuals(visuals: Sequence[Any] | None, where: str) -> VideoClip:
    """The clip that a question is about.

    Args:
        visuals: one path of a video or folder of frames, or pictures in the order of their time.
        where: task and document, for messages.

    Raises:
        MediaError: nothing to see, several videos, something else, or a video that cannot be read.
    """
    shown = list(visuals or [])
    if len(shown) == 1 and isinstance(shown[0], str | Path):
        return VideoClip.open(shown[0])
    if shown and all(isinstance(one, Image.Image) for one in shown):
        return LiveClip(stack_pictures(shown), fps=1.0, path=where)
    kinds = ", ".join(sorted({type(one).__name__ for one in shown})) or "nothing"
    raise MediaError(
        f"{where} shows {len(shown)} of {kinds}; SAMA answers about one video, or about pictures."
    )


def stack_pictures(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pictures as frames of one size.

    Args:
        pictures: of any size and mode.

    Returns:
        (n, H, W, 3) uint8 RGB, each at the top left of a frame as high and wide as the largest; black beside it.
    """
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    frames = np.zeros((len(pictures), height, width, 3), dtype=np.uint8)
    for frame, picture in zip(frames, pictures, strict=True):
        frame[: picture.height, : picture.width] = np.asarray(picture.convert("RGB"))
    return frames


def is_same_video(shown: Sequence[Any] | None, before: Sequence[Any] | None) -> bool:
    """Whether two documents show one video, by its path; pictures always count as new."""
    both = [list(one or []) for one in (shown, before)]
    return both[0] == both[1] and len(both[0]) == 1 and isinstance(both[0][0], str | Path)
