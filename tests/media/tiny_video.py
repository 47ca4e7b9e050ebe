"""Tiny videos made on the spot: every frame tells its number by its brightness."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 48, 64


def numbered_frames(count: int, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """Frames with noise that differs from frame to frame and a bright upper left corner."""
    rng = np.random.default_rng(0)
    frames = []
    for number in range(count):
        frame = np.full((height, width, 3), 20 + 5 * (number % 40), dtype=np.uint8)
        frame[:8, :8] = 255
        frame[20:30, 10:50] = rng.integers(0, 256, (10, 40, 3))
        frames.append(frame)
    return frames


def encode(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 24),
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write frames with given times; the container follows the suffix of the path."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(1) / time_base, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = time_base
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = pts[number] if pts is not None else number
            picture.time_base = time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def decode_in_order(path: Path) -> list[np.ndarray]:
    """What a plain loop over the file gives, the reference for random access."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Rewrite the matrix of an mp4's track header; x' = a·x + c·y, y' = b·x + d·y."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[start : start + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))
