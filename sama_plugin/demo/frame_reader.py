"""Frames of visitors' videos as JPEG. A decoder stays open where it was: who plays a video decodes each frame once.

A video can only be decoded from its key frames on, which lie seconds apart; a page asks for frame after frame, several
at a time and not quite in order. So frames that are passed on the way to one that is asked for are kept for a while.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import JPEG_QUALITY

MOST_OPEN = 8
"""Decoders at once."""

KEPT = 48
"""Pictures of each that are kept."""

AHEAD = 32
"""Frames up to which decoding on is taken to be shorter than beginning anew."""

BEHIND = 8
"""Frames before the one asked for that are kept too, when somebody goes backwards."""


class FrameReader:
    """Reads frames of many videos; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._videos: OrderedDict[str, _OpenVideo] = OrderedDict()

    def read(self, key: str, clip: VideoClip, frame: int, width: int | None) -> bytes:
        """A frame as JPEG.

        Args:
            key: of the video.
            clip: the video.
            frame: index.
            width: pixels, of a smaller picture; None, or more than the video has, keeps its size.

        Raises:
            MediaError: no such frame, or it cannot be decoded.
        """
        clip.check_frame(frame)
        with self._lock:
            video = self._videos.setdefault(key, _OpenVideo())
            self._videos.move_to_end(key)
            spare = self._videos.popitem(last=False)[1] if len(self._videos) > MOST_OPEN else None
        if spare is not None:
            spare.close()
        return video.read(clip, frame, min(width or clip.width, clip.width))

    def forget(self, key: str) -> None:
        """Close a video that nobody will ask for again."""
        with self._lock:
            video = self._videos.pop(key, None)
        if video is not None:
            video.close()


class _OpenVideo:
    """A decoder, and pictures of frames it has passed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: Iterator[tuple[int, np.ndarray]] = iter(())
        self._next: int | None = None  # the frame before which the decoder stands; None if there is none
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def read(self, clip: VideoClip, frame: int, width: int) -> bytes:
        """A frame as JPEG of that width."""
        with self._lock:
            if (frame, width) not in self._kept:
                self._decode_to(clip, frame, width)
            return self._kept[frame, width]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._frames, self._next = iter(()), None
            self._kept.clear()

    def _decode_to(self, clip: VideoClip, frame: int, width: int) -> None:
        here = self._next
        if here is None or not here <= frame <= here + AHEAD:
            is_backwards = here is not None and here - KEPT < frame < here
            self._frames = clip.iter_frames(max(0, frame - BEHIND) if is_backwards else frame)
        self._next = None  # a fault leaves no decoder behind
        for index, pixels in self._frames:
            self._keep((index, width), _as_jpeg(pixels, width))
            if index == frame:
                break
        self._next = frame + 1

    def _keep(self, place: tuple[int, int], picture: bytes) -> None:
        self._kept[place] = picture
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _as_jpeg(pixels: np.ndarray, width: int) -> bytes:
    picture = Image.fromarray(pixels)
    if width < picture.width:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    picture.save(out, format="JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
