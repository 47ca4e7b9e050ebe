"""Which frames a video file has: their timestamps, and the keyframes from which each can be decoded.

Most files tell this without decoding: one packet is one frame, and its time is written on it. Where that does
not hold (no or repeated times, containers that cannot be sought, frames before the first keyframe), the file
is decoded once and its frames are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.container
import av.video.stream
import numpy as np

from sama_plugin.errors import MediaError

SEEKABLE_FORMATS = ("mov", "mp4", "matroska", "webm")
ONE_FRAME_PER_PACKET = (
    "h264",
    "hevc",
    "vp9",
    "av1",
    "libdav1d",
    "mjpeg",
    "png",
    "prores",
    "ffv1",
    "dnxhd",
    "rawvideo",
)
FALLBACK_FPS = 24.0


@dataclass(frozen=True)
class VideoIndex:
    """The frames of one video stream in the order they are shown.

    Attributes:
        pts: (n,) int64, strictly increasing, stream time base; None if frames can only be counted.
        key_frames: (k,) int64, ascending; frames from which decoding can begin; the first is 0.
        key_dts: (k,) int64; decoding time to seek to for each of `key_frames`.
        timestamps_s: (n,) float64; when each frame begins to be shown, from 0.
        duration_s: when the last frame stops being shown.
        fps: frames per second, on average.
    """

    pts: np.ndarray | None
    key_frames: np.ndarray
    key_dts: np.ndarray
    timestamps_s: np.ndarray
    duration_s: float
    fps: float


@dataclass(frozen=True)
class _PacketInfo:
    pts: Any
    dts: Any
    is_key: bool
    is_shown: bool
    duration: int


def index_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> VideoIndex | None:
    """Build the index from packet headers, without decoding.

    Args:
        container: freshly opened; read to its end.
        stream: its video stream.

    Returns:
        The index, or None where packets do not determine frames and `index_decoded` has to be used.

    Raises:
        MediaError: a packet that the container marks as damaged.
    """
    packets: list[_PacketInfo] = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.is_corrupt:
            raise MediaError(
                f"Video '{container.name}' is damaged or truncated at packet {len(packets)}; copy it again."
            )
        packets.append(
            _PacketInfo(
                packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard, packet.duration or 0
            )
        )
    seekable = any(name in SEEKABLE_FORMATS for name in container.format.name.split(","))
    if not packets or not seekable or stream.codec_context.name not in ONE_FRAME_PER_PACKET:
        return None
    if any(p.pts is None or p.dts is None for p in packets):
        return None
    shown = sorted((p.pts, p.duration) for p in packets if p.is_shown)
    pts = np.array([time for time, _ in shown], dtype=np.int64)
    starts_clean = packets[0].is_key and packets[0].pts == min(p.pts for p in packets)
    if not pts.size or (np.diff(pts) <= 0).any() or not starts_clean:
        return None
    keys = sorted((int(np.searchsorted(pts, p.pts)), p.dts) for p in packets if p.is_key)
    keys = [key for key in keys if key[0] < len(pts)]
    return _make_index(
        pts,
        np.array([frame for frame, _ in keys], dtype=np.int64),
        np.array([dts for _, dts in keys], dtype=np.int64),
        stream,
        shown[-1][1],
    )


def index_decoded(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> VideoIndex:
    """Build the index by decoding everything once, one frame in memory at a time.

    Args:
        container: freshly opened; read to its end.
        stream: its video stream.

    Returns:
        An index without `pts`: frames are found by counting from the start.

    Raises:
        MediaError: no frame, or decoding fails on the way.
    """
    times: list[int | None] = []
    last_duration = 0
    try:
        for frame in container.decode(stream):
            times.append(frame.pts)
            last_duration = frame.duration or 0
    except (av.FFmpegError, OSError) as error:
        raise MediaError(
            f"Video '{container.name}' is damaged or truncated: decoding fails at frame {len(times)} "
            f"({error})."
        ) from error
    if not times:
        raise MediaError(f"Video '{container.name}' has zero frames; expected at least one.")
    known = np.array([t for t in times if t is not None], dtype=np.int64)
    if len(known) < len(times) or (np.diff(known) <= 0).any():
        fps = float(stream.average_rate or FALLBACK_FPS)
        known, time_base = np.arange(len(times)), Fraction(1) / Fraction(fps).limit_denominator(1001)
        index = _make_index(known, np.zeros(1, np.int64), np.zeros(1, np.int64), stream, 1, time_base)
    else:
        index = _make_index(known, np.zeros(1, np.int64), np.zeros(1, np.int64), stream, last_duration)
    return VideoIndex(None, index.key_frames, index.key_dts, index.timestamps_s, index.duration_s, index.fps)


def _make_index(
    pts: np.ndarray,
    key_frames: np.ndarray,
    key_dts: np.ndarray,
    stream: av.video.stream.VideoStream,
    last_duration: int,
    time_base: Fraction | None = None,
) -> VideoIndex:
    """Turn stream times into seconds and a frame rate."""
    unit = float(time_base or stream.time_base or 1)
    timestamps_s = (pts - pts[0]).astype(np.float64) * unit
    stated = float(stream.average_rate or 0)
    fps = (len(pts) - 1) / timestamps_s[-1] if len(pts) > 1 else stated or FALLBACK_FPS
    if (
        stated and abs(fps - stated) < 0.01 * stated
    ):  # ticks of the container round; the stated rate is the exact one
        fps = stated
    last_s = last_duration * unit if last_duration > 0 else 1.0 / fps
    return VideoIndex(pts, key_frames, key_dts, timestamps_s, float(timestamps_s[-1] + last_s), float(fps))
