"""Which frames a video file has: their timestamps, and the keyframes from which each can be decoded.

Most files tell this without decoding: one packet is one frame, and its time is written on it. Where that does
not hold (no or repeated times, containers that cannot be sought, frames before the first keyframe), the file
is decoded once and its frames are counted.

Of a file that is cut off or breaks in the middle, the index has the frames before the damage, without a gap:
those shown before the first packet that is not whole would have been decoded.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
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
SHORTFALL_S = 0.5


@dataclass(frozen=True)
class VideoIndex:
    """The frames of one video stream in the order they are shown.

    Attributes:
        pts: (n,) int64, strictly increasing, stream time base; None if frames can only be counted.
        key_frames: (k,) int64, ascending; frames from which decoding can begin; the first is 0.
        key_dts: (k,) int64; decoding time to seek to for each of `key_frames`; Matroska and WebM keep none and
            are sought by `pts`.
        timestamps_s: (n,) float64; when each frame begins to be shown, from 0.
        duration_s: when the last frame stops being shown.
        fps: frames per second, on average.
        damage: what is wrong with the file and how many of its frames are used, one sentence; None if nothing
            is known.
    """

    pts: np.ndarray | None
    key_frames: np.ndarray
    key_dts: np.ndarray
    timestamps_s: np.ndarray
    duration_s: float
    fps: float
    damage: str | None = None

    def part(self, start: int, stop: int) -> VideoIndex:
        """Index of frames [start, stop), counted and timed from the first of them; it stands for a keyframe.

        Args:
            start: first frame, within the index.
            stop: frame after the last, above `start`.
        """
        n, origin = len(self.timestamps_s), self.timestamps_s[start]
        key = int(np.searchsorted(self.key_frames, start, side="right")) - 1
        keys = slice(key, int(np.searchsorted(self.key_frames, stop)))
        end_s = self.timestamps_s[stop] if stop < n else self.duration_s
        return replace(
            self,
            pts=None if self.pts is None else self.pts[start:stop],
            key_frames=np.maximum(self.key_frames[keys] - start, 0),
            key_dts=self.key_dts[keys],
            timestamps_s=self.timestamps_s[start:stop] - origin,
            duration_s=float(end_s - origin),
        )


class IntactPackets:
    """Packets of a stream up to the first that is not whole; iterates once.

    Attributes:
        damaged: the packet held back, after iteration; None if there was none.
    """

    def __init__(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream, is_cut: bool
    ):
        self.damaged: Any = None
        self._container, self._stream, self._is_cut = container, stream, is_cut

    def __iter__(self) -> Iterator[Any]:
        """Packet after packet; of a file that is cut off the last is held back, which few containers mark."""
        last: Any = None
        for packet in self._container.demux(self._stream):
            if not packet.size:
                continue
            if last is not None:
                yield last
            last = packet
            if packet.is_corrupt:
                break
        if last is not None and (self._is_cut or last.is_corrupt):
            self.damaged = last
        elif last is not None:
            yield last


def decode_packets(packets: IntactPackets, stream: av.video.stream.VideoStream) -> Iterator[av.VideoFrame]:
    """Decode whole packets, and empty the decoder after the last.

    Raises:
        av.FFmpegError: a packet that cannot be decoded.
        MediaError: a frame that the decoder could only guess in part.
    """
    for packet in chain(packets, (None,)):
        for frame in stream.decode(packet):
            if frame.is_corrupt:
                raise MediaError("the decoder marks it as damaged")
            yield frame


def index_packets(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    missing: str | None = None,
) -> VideoIndex | None:
    """Build the index from packet headers, without decoding.

    Args:
        container: freshly opened; read to its end.
        stream: its video stream.
        missing: what of the file is cut off; None if nothing.

    Returns:
        The index, or None where packets do not determine frames and `index_decoded` has to be used.
    """
    formats = container.format.name.split(",")
    if (
        not set(SEEKABLE_FORMATS).intersection(formats)
        or stream.codec_context.name not in ONE_FRAME_PER_PACKET
    ):
        return None
    packets = IntactPackets(container, stream, missing is not None)
    # Plain arrays: objects for the packets of an hour would take a hundred times the room of the index.
    all_pts, all_dts, all_keys, all_shown = array("q"), array("q"), bytearray(), bytearray()
    last_pts, last_duration = -math.inf, 0
    for packet in packets:
        dts = packet.pts if "matroska" in formats else packet.dts
        if packet.pts is None or dts is None:
            return None
        all_pts.append(packet.pts)
        all_dts.append(dts)
        all_keys.append(packet.is_keyframe)
        all_shown.append(not packet.is_discard)
        if packet.pts > last_pts and not packet.is_discard:
            last_pts, last_duration = packet.pts, packet.duration or 0
    if not all_pts:
        return None
    packet_pts, packet_dts = np.frombuffer(all_pts, np.int64), np.frombuffer(all_dts, np.int64)
    is_key, is_shown = np.frombuffer(all_keys, np.bool_), np.frombuffer(all_shown, np.bool_)
    pts = np.sort(packet_pts[is_shown])
    if not pts.size or (np.diff(pts) <= 0).any() or not is_key[0] or packet_pts[0] != packet_pts.min():
        return None
    pts = pts[: _num_before(pts, packets.damaged)]
    if not pts.size:
        return None
    places = np.searchsorted(pts, packet_pts[is_key])
    order = np.argsort(places, kind="stable")[: np.count_nonzero(places < len(pts))]
    index = _make_index(pts, places[order], packet_dts[is_key][order], stream, last_duration)
    if packets.damaged is None:
        return index
    return _with_damage(index, container, stream, missing, "a packet is damaged")


def index_decoded(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    missing: str | None = None,
) -> VideoIndex:
    """Build the index by decoding everything once, one frame in memory at a time.

    Args:
        container: freshly opened; read to its end, or to the first damage.
        stream: its video stream.
        missing: what of the file is cut off; None if nothing.

    Returns:
        An index without `pts`: frames are found by counting from the start.

    Raises:
        MediaError: no frame, or none before the damage.
    """
    times = array("q")
    has_times, last_duration, reason = True, 0, ""
    packets = IntactPackets(container, stream, missing is not None)
    try:
        for frame in decode_packets(packets, stream):
            has_times = has_times and frame.pts is not None
            times.append(len(times) if frame.pts is None else frame.pts)
            last_duration = frame.duration or 0
    except (av.FFmpegError, OSError, MediaError) as error:
        reason = f"decoding fails at frame {len(times)}: {error}"
    known = np.array(times, np.int64)
    is_timed = has_times and (np.diff(known) > 0).all()
    if is_timed:
        known = known[: _num_before(known, packets.damaged)]
    if not known.size:
        raise MediaError(
            f"Video '{_name_of(container)}' has zero frames{f' ({reason})' if reason else ''}; expected at "
            "least one."
        )
    start = np.zeros(1, np.int64)
    if is_timed:
        index = _make_index(known, start, start, stream, last_duration)
    else:
        fps = float(stream.average_rate or FALLBACK_FPS)
        time_base = Fraction(1) / Fraction(fps).limit_denominator(1001)
        index = _make_index(np.arange(len(known)), start, start, stream, 1, time_base)
    index = replace(index, pts=None)
    if packets.damaged is None and not reason:
        return index
    return _with_damage(index, container, stream, missing, reason or "a packet is damaged")


def find_shortfall(stream: av.video.stream.VideoStream, index: VideoIndex) -> str | None:
    """Tell whether a Matroska or WebM file announces more than was found, which its demuxer does not say.

    Args:
        stream: of the open file.
        index: what was found.

    Returns:
        Both durations in words; None where the stream announces nothing, or no more than is there.
    """
    parts = stream.metadata.get("DURATION", "0").split(":")
    try:
        announced_s = sum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
    except ValueError:
        return None
    start_s = float((stream.start_time or 0) * (stream.time_base or 0))  # what is announced counts from 0
    if announced_s - start_s <= index.duration_s + SHORTFALL_S:
        return None
    return f"it announces {announced_s:.2f} s, {index.duration_s:.2f} s were found"


def _num_before(pts: np.ndarray, damaged: Any) -> int:
    """Frames shown before a damaged packet is decoded: no packet after it can come between them."""
    if damaged is None or damaged.dts is None:
        return len(pts)
    return int(np.searchsorted(pts, damaged.dts))


def _name_of(container: av.container.InputContainer) -> str:
    return container.name.removeprefix("file:")


def _with_damage(
    index: VideoIndex,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    missing: str | None,
    reason: str,
) -> VideoIndex:
    """Say what is wrong, and how many frames are left of those the container announced."""
    formats = container.format.name.split(",")
    announced = ""
    if stream.frames and not {"mp4", "avi"}.isdisjoint(formats):  # others count what they find
        announced = f" of {stream.frames}"
    elif container.duration and stream.average_rate and "matroska" in formats:
        announced = f" of about {round(container.duration / av.time_base * stream.average_rate)}"
    what = "ends early" if missing else "breaks in the middle"
    used = f"{len(index.timestamps_s)}{announced} frames are used"
    return replace(index, damage=f"Video '{_name_of(container)}' {what}: {used} ({missing or reason}).")


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
    fps = average_fps(timestamps_s, float(stream.average_rate or 0))
    last_s = last_duration * unit if last_duration > 0 else 1.0 / fps
    return VideoIndex(pts, key_frames, key_dts, timestamps_s, float(timestamps_s[-1] + last_s), fps)


def average_fps(timestamps_s: np.ndarray, stated: float) -> float:
    """Frames per second of a clip; the stated rate where it is within 1 % of the measured one, or one frame.

    Args:
        timestamps_s: (n,) float64, rising from 0.
        stated: frames per second; 0 if unknown.
    """
    if len(timestamps_s) < 2:
        return stated or FALLBACK_FPS
    fps = (len(timestamps_s) - 1) / float(timestamps_s[-1])
    # ticks of a container round; the stated rate is the exact one
    return stated if abs(fps - stated) < 0.01 * stated else fps
