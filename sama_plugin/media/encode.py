"""Write RGB frames as pictures, or as an H.264 mp4 that browsers play; the same frames give the same bytes."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from sama_plugin.errors import MediaError

JPEG_QUALITY = 88

BT709 = 1
LIMITED_RANGE = 1
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_picture(path: str | Path, picture: np.ndarray, kind: str = "PNG") -> None:
    """Write a picture, whole or not at all.

    Args:
        path: of the file.
        picture: (H, W, 3) uint8 RGB.
        kind: `PNG` or `JPEG`.

    Raises:
        MediaError: the disk refuses.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        Image.fromarray(picture).save(part, format=kind, quality=JPEG_QUALITY)
        part.replace(target)
    except OSError as error:
        raise MediaError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_video(path: str | Path, frames: Iterable[np.ndarray], fps: float, crf: int = 20) -> None:
    """Encode frames as they come; the file appears under its name only when it is whole.

    H.264, yuv420p, BT.709, index at the front, one encoder thread and no dates, so that the same frames give
    the same bytes (with the same ffmpeg build). H.264 wants even sides: an odd one is made even by repeating
    the last row or column, so the video is then one pixel larger than the frames.

    Args:
        path: where to, in an existing folder; a file that is there is replaced.
        frames: (H, W, 3) uint8 RGB each, all of one size; at least one.
        fps: frames per second.
        crf: quality, 0 (best) to 51.

    Raises:
        MediaError: no frames, frames of another form, no space on the disk, a folder that cannot be written
            to.
    """
    target = Path(path)
    if not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"Cannot write '{path}' at {fps} frames per second, expected more than 0.")
    if not target.parent.is_dir():
        raise MediaError(f"Cannot write '{path}': folder '{target.parent}' does not exist; create it first.")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _encode(part, frames, fps, crf, str(path))
        os.replace(part, target)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise MediaError(
                f"No space left to write '{path}' ({error.strerror}); free some and run again. "
                "Nothing half-written was left."
            ) from error
        raise MediaError(f"Cannot write '{path}': {error.strerror or error}.") from error
    except av.FFmpegError as error:
        raise MediaError(f"Cannot write '{path}': {error}.") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _encode(part: Path, frames: Iterable[np.ndarray], fps: float, crf: int, name: str) -> None:
    """Encode into a file that may be left half-written."""
    rate = Fraction(fps).limit_denominator(1001)
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    count = 0
    with av.open(f"file:{part.absolute()}", "w", format="mp4", options=options) as container:
        stream: Any = None
        shape: tuple[int, ...] | None = None
        for frame in frames:
            if shape is None:
                shape = frame.shape
                _check_frame(frame, shape, count, name)
                stream = container.add_stream(
                    "libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast", "mbtree": "0"}
                )
                stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
                stream.pix_fmt = "yuv420p"
                context = stream.codec_context
                context.thread_count = 1
                context.colorspace = context.color_primaries = context.color_trc = BT709
                context.color_range = LIMITED_RANGE
            _check_frame(frame, shape, count, name)
            container.mux(stream.encode(_to_video_frame(frame)))
            count += 1
        if stream is None:
            raise MediaError(f"Cannot write '{name}' from zero frames, expected at least one.")
        container.mux(stream.encode(None))


def _check_frame(frame: np.ndarray, shape: tuple[int, ...], count: int, name: str) -> None:
    """Refuse a frame that does not fit the first."""
    if (
        frame.ndim != 3
        or frame.shape[2] != 3
        or frame.dtype != np.uint8
        or frame.shape != shape
        or 0 in frame.shape
    ):
        raise MediaError(
            f"Frame {count} for '{name}' is {frame.shape} {frame.dtype}, expected (H, W, 3) uint8, "
            f"all as the first, which is {shape}."
        )


def _to_video_frame(frame: np.ndarray) -> av.VideoFrame:
    """Pad to even sides and convert to limited-range BT.709."""
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    return picture.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
