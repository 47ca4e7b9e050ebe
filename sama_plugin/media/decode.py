"""A video file or a folder of frames → RGB frames by exact index, a few in memory at a time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import av
import av.container
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image, ImageOps

from sama_plugin.errors import DamagedVideoError, MediaError
from sama_plugin.media.container_check import find_missing
from sama_plugin.media.video_index import (
    FALLBACK_FPS,
    IntactPackets,
    VideoIndex,
    decode_packets,
    find_shortfall,
    index_decoded,
    index_packets,
)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
VIDEO_FORMATS = frozenset(
    ("mov", "mp4", "matroska", "webm", "gif", "avi", "mpegts", "mpeg", "flv", "asf", "ogg")
)
"""Containers that hold a video; ffmpeg also opens text, and playlists that name other files."""

MAX_DECODER_THREADS = 4
REVERSE_FRAMES = 64
REVERSE_BYTES = 256 * 2**20
TIME_TOLERANCE_S = 5e-4


class _Reader(Protocol):
    """One open source of frames."""

    def decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """Frames from `start` to the end, not converted yet."""

    def to_rgb(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8 of one of them."""


class Source(Protocol):
    """Where the frames of a clip, and of all windows of it, come from."""

    def open(self) -> contextlib.AbstractContextManager[_Reader]:
        """A reader that is closed at the end of the block."""


class VideoClip:
    """A video whose frames are read by index, lazily; made by `VideoClip.open` and `VideoClip.window`.

    It holds no open file and no frames, so it can be pickled and shared between threads. Frames are upright
    as a player shows them (rotation and mirroring of the container applied); pixels that are not square stay
    as stored.

    Attributes:
        path: as it was given.
        height: H, pixels, after rotation.
        width: W.
    """

    def __init__(self, path: str, size: tuple[int, int], index: VideoIndex, source: Source, first: int = 0):
        self.path = path
        self.height, self.width = size
        self._index = index
        self._source = source
        self._first = first

    @property
    def index(self) -> VideoIndex:
        """Times of the frames, and from which of them decoding can begin."""
        return self._index

    @property
    def source(self) -> Source:
        """Where the frames come from; all of them, of which a window is a part."""
        return self._source

    @property
    def num_frames(self) -> int:
        """Frames n, counted exactly."""
        return len(self._index.timestamps_s)

    @property
    def fps(self) -> float:
        """Average frames per second."""
        return self._index.fps

    @property
    def timestamps_s(self) -> np.ndarray:
        """(n,) float64; when each frame begins to be shown, seconds from the first frame."""
        return self._index.timestamps_s

    @property
    def duration_s(self) -> float:
        """When the last frame stops being shown, seconds from the first frame."""
        return self._index.duration_s

    @property
    def damage(self) -> str | None:
        """What is wrong with the file and how many of its frames are used, one sentence; None if nothing is known.

        Found on opening, or when a `DamagedVideoError` was raised; windows made afterwards have it too.
        """
        return self._index.damage

    @classmethod
    def open(cls, path: str | Path, folder_fps: float = FALLBACK_FPS) -> VideoClip:
        """Find out what a video consists of; decodes one frame, or all where the container is no help.

        A file that ends early gives a clip of the frames that are there, and `damage` says so.

        Args:
            path: a video file (mp4, mov, webm, mkv, gif, avi, ...), a folder of frames (jpg or png, one size,
                ordered by the numbers in their names), or a single picture, which is a clip of one frame.
            folder_fps: frame rate of folders and pictures, which do not know theirs.

        Raises:
            MediaError: missing, empty, not a video, without frames that can be read, or frames of different
                size.
        """
        target = Path(path)
        try:
            if not target.exists():
                raise MediaError(
                    f"Video '{path}' does not exist; expected a video file or a folder of frames."
                )
            if target.is_dir():
                return open_pictures(str(path), list_pictures(target), folder_fps)
            missing = find_missing(target)
            if target.suffix.lower() in IMAGE_SUFFIXES:
                return open_pictures(str(path), (target,), folder_fps)
            try:
                return _open_file(str(path), target, missing)
            except MediaError as error:
                if missing is None:
                    raise
                raise MediaError(
                    f"Video '{path}' is truncated and no frame of it can be read: {missing}; copy it again."
                ) from error
        except OSError as error:
            raise MediaError(f"Video '{path}' cannot be read: {error.strerror or error}.") from error

    def window(self, start: int, stop: int) -> VideoClip:
        """Frames [start, stop) as a clip of their own, numbered and timed from 0; nothing is read.

        Raises:
            MediaError: a border outside the clip, or no frame between them.
        """
        if not 0 <= start < stop <= self.num_frames:
            raise MediaError(
                f"Frames {start} to {stop} are no window of '{self.path}', which has {self.num_frames} frames; "
                f"expected 0 <= start < stop <= {self.num_frames}."
            )
        size, index = (self.height, self.width), self._index.part(start, stop)
        return VideoClip(self.path, size, index, self._source, self._first + start)

    def span(self, from_s: float | None = None, to_s: float | None = None) -> range:
        """Tell which frames are shown between two times, for `window(span.start, span.stop)`.

        Args:
            from_s: seconds from the first frame; None is the start of the clip.
            to_s: the frame that begins to be shown then is not among them; None is the end of the clip.

        Returns:
            Frame indices, at least one: that shown at `from_s`.

        Raises:
            MediaError: a time outside the clip, or `to_s` before `from_s`.
        """
        start = 0 if from_s is None else self.frame_at(from_s)
        if to_s is None:
            return range(start, self.num_frames)
        self.frame_at(to_s)
        if from_s is not None and to_s < from_s:
            raise MediaError(f"The span of '{self.path}' from {from_s} s to {to_s} s ends before it begins.")
        stop = int(np.searchsorted(self.timestamps_s, to_s - TIME_TOLERANCE_S))
        return range(start, max(stop, start + 1))

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Decode some frames.

        Args:
            indices: n frame indices in any order, repeats allowed.

        Returns:
            (n, H, W, 3) uint8 RGB, in the order asked.

        Raises:
            DamagedVideoError: a frame that cannot be decoded.
            MediaError: an index outside the clip, or a video that can no longer be read.
        """
        wanted = [int(i) for i in indices]
        for i in wanted:
            self.check_frame(i)
        places: dict[int, list[int]] = {}
        for place, i in enumerate(wanted):
            places.setdefault(i, []).append(place)
        frames = np.empty((len(wanted), self.height, self.width, 3), dtype=np.uint8)
        if not wanted:
            return frames
        with self._source.open() as reader:
            decoded: Iterator[tuple[int, Any]] = iter(())
            position: int | None = None
            for target in sorted(places):
                if position is None or self._key_before(target) > position:
                    decoded = self._decode_from(reader, target)
                for position, frame in decoded:
                    if position == target:
                        frames[places[target]] = reader.to_rgb(frame)
                        break
        return frames

    def iter_frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Decode forward, one frame in memory at a time.

        Args:
            start: first frame.
            stop: frame after the last; None is the end of the clip.

        Yields:
            Frame index and (H, W, 3) uint8 RGB.

        Raises:
            DamagedVideoError: a frame that cannot be decoded; those before it have been given.
            MediaError: a border outside the clip, or a video that can no longer be read.
        """
        last = self.num_frames if stop is None else stop
        if not 0 <= start <= last <= self.num_frames:
            raise MediaError(
                f"Frames {start} to {last} are not in '{self.path}', which has {self.num_frames} frames."
            )
        if start == last:
            return
        with self._source.open() as reader:
            for index, frame in islice(self._decode_from(reader, start), last - start):
                yield index, reader.to_rgb(frame)

    def iter_frames_reversed(self, start: int, stop: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Decode backward, holding at most 64 frames (fewer of large ones).

        Decoding begins anew at a keyframe for each group of held frames, so long keyframe distances cost
        time.

        Args:
            start: first frame given.
            stop: last frame given, inclusive, `stop <= start`.

        Yields:
            Frame index and (H, W, 3) uint8 RGB.

        Raises:
            DamagedVideoError: a frame that cannot be decoded.
            MediaError: a border outside the clip, or a video that can no longer be read.
        """
        self.check_frame(start)
        self.check_frame(stop)
        held = min(max(REVERSE_BYTES // (3 * self.height * self.width), 1), REVERSE_FRAMES)
        high, key_frames = start, self._index.key_frames
        with self._source.open() as reader:
            while high >= stop:
                low = max(stop, high - held + 1)
                keys = key_frames[np.searchsorted(key_frames, low) :]
                low = int(keys[0]) if keys.size and keys[0] <= high else low
                for index, frame in reversed(list(islice(self._decode_from(reader, low), high - low + 1))):
                    yield index, reader.to_rgb(frame)
                high = low - 1

    def frame_at(self, time_s: float) -> int:
        """Tell which frame is shown at a time.

        Args:
            time_s: seconds from the first frame, in [0, `duration_s`]; half a millisecond beyond is forgiven.

        Raises:
            MediaError: a time outside the clip.
        """
        if not -TIME_TOLERANCE_S <= time_s <= self.duration_s + TIME_TOLERANCE_S:
            raise MediaError(
                f"Time {time_s} s is outside '{self.path}', which lasts from 0 to {self.duration_s:.3f} s."
            )
        return max(int(np.searchsorted(self.timestamps_s, time_s + TIME_TOLERANCE_S, side="right")) - 1, 0)

    def time_of(self, frame: int) -> float:
        """Tell when a frame begins to be shown, seconds from the first frame.

        Raises:
            MediaError: a frame outside the clip.
        """
        self.check_frame(frame)
        return float(self.timestamps_s[frame])

    def check_frame(self, frame: int) -> None:
        """See that the clip has a frame.

        Raises:
            MediaError: it has not.
        """
        if not 0 <= frame < self.num_frames:
            raise MediaError(
                f"Frame {frame} is not in '{self.path}', which has {self.num_frames} frames "
                f"(0 to {self.num_frames - 1})."
            )

    def _key_before(self, frame: int) -> int:
        """Last frame at or before `frame` from which decoding can begin."""
        key_frames = self._index.key_frames
        return int(key_frames[np.searchsorted(key_frames, frame, side="right") - 1])

    def _decode_from(self, reader: _Reader, start: int) -> Iterator[tuple[int, Any]]:
        """Frames of the source in the clip's own numbers, damage too."""
        try:
            for number, frame in reader.decode_from(self._first + start):
                yield number - self._first, frame
        except DamagedVideoError as error:
            self._index = replace(self._index, damage=str(error))
            num_readable = error.num_readable - self._first
            if not num_readable:
                raise MediaError(str(error)) from error
            raise DamagedVideoError(str(error), num_readable) from error


class _FileSource:
    """A video file and how to find its frames; opens readers. Matrix and size are known from the first frame."""

    def __init__(self, path: Path, index: VideoIndex, is_cut: bool):
        self.path = path
        self.index = index
        self.is_cut = is_cut
        self.matrix = (1, 0, 0, 1)
        self.size = (0, 0)

    @contextlib.contextmanager
    def open(self) -> Iterator[_Reader]:
        """A reader that is closed at the end of the block."""
        try:
            reader = _FileReader(self)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"Video '{self.path}' can no longer be read: {error}.") from error
        try:
            yield reader
        finally:
            reader.close()


class _FileReader:
    """An open video file."""

    def __init__(self, source: _FileSource):
        self.source = source
        self.container = _open_container(source.path)
        # One for all frames: setting one up costs more than converting.
        self._reformatter = VideoReformatter()

    def close(self) -> None:
        """Let go of the file."""
        self.container.close()

    def decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """Frames from `start` on, by a seek to the keyframe before it, or to an earlier one if that lands late."""
        index = self.source.index
        last_key = int(np.searchsorted(index.key_frames, start, side="right")) - 1
        expected = start
        is_late = True
        reason = "decoding ends early"
        for key in dict.fromkeys((last_key, max(last_key - 1, 0), 0)):
            try:
                for found, frame in self._frames_after_key(key):
                    is_late = is_late and found > start
                    if found < expected:
                        continue
                    if found > expected:
                        break
                    yield found, frame
                    expected += 1
            except (av.FFmpegError, OSError, MediaError) as error:
                reason = str(error)
            if not is_late:
                break
        num_frames = len(index.timestamps_s)
        if expected < num_frames:
            message = (
                f"Video '{self.source.path}' is damaged: frame {expected} of {num_frames} cannot be decoded "
                f"({reason})"
            )
            if not expected:
                raise MediaError(f"{message}; copy it again.")
            raise DamagedVideoError(f"{message}; {expected} of {num_frames} frames can be used.", expected)

    def to_rgb(self, frame: Any) -> np.ndarray:
        """Convert and turn upright."""
        pixels = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        picture = _turn_upright(pixels, self.source.matrix)
        if picture.shape[:2] != self.source.size:
            raise MediaError(
                f"Video '{self.source.path}' changes its size from {self.source.size} to {picture.shape[:2]} "
                f"(height, width) at {frame.time} s; expected one size, re-encode it."
            )
        return picture

    def _frames_after_key(self, key: int) -> Iterator[tuple[int, Any]]:
        """Index and frame of everything that decodes from a keyframe on, in display order."""
        index = self.source.index
        if index.pts is None:
            self.container.close()
            self.container = _open_container(self.source.path)
            yield from islice(enumerate(self._decode()), len(index.timestamps_s))
            return
        stream = self.container.streams.video[0]
        self.container.seek(int(index.key_dts[key]), stream=stream, backward=True)
        for frame in self._decode():
            place = int(np.searchsorted(index.pts, frame.pts)) if frame.pts is not None else len(index.pts)
            if place < len(index.pts) and index.pts[place] == frame.pts:
                yield place, frame

    def _decode(self) -> Iterator[av.VideoFrame]:
        stream = self.container.streams.video[0]
        return decode_packets(IntactPackets(self.container, stream, self.source.is_cut), stream)


class FolderSource:
    """Picture files, one per frame; is its own reader."""

    def __init__(self, files: tuple[Path, ...], size: tuple[int, int]):
        self.files = files
        self.size = size

    @contextlib.contextmanager
    def open(self) -> Iterator[_Reader]:
        """Itself; there is nothing to keep open."""
        yield self

    def decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """Read file after file."""
        for index in range(start, len(self.files)):
            yield index, self.files[index]

    def to_rgb(self, frame: Path) -> np.ndarray:
        """Read one picture."""
        try:
            with Image.open(frame) as picture:
                upright = ImageOps.exif_transpose(picture)
                if upright.mode.startswith("I"):  # 16 bits; PIL would clip them at 255
                    deep = np.clip(np.asarray(upright), 0, 2**16 - 1)
                    upright = Image.fromarray((deep // 257).astype(np.uint8))
                pixels = np.asarray(upright.convert("RGB"))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise MediaError(f"Frame '{frame}' cannot be read: {error}.") from error
        if pixels.shape[:2] != self.size:
            raise MediaError(f"Frame '{frame}' is {pixels.shape[:2]} (height, width), expected {self.size}.")
        return pixels


def _open_container(path: Path) -> av.container.InputContainer:
    """Open a file by ffmpeg, with a few decoder threads."""
    # `file:` keeps a name such as `concat:a.mp4` from being taken for a protocol
    container = av.open(f"file:{os.path.abspath(path)}")
    for stream in container.streams.video[:1]:
        if stream.codec_context is not None:
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = min(os.cpu_count() or 1, MAX_DECODER_THREADS)
    return container


def _open_file(name: str, path: Path, missing: str | None) -> VideoClip:
    """Index a video file, of which something may be missing, and decode its first frame."""
    try:
        with _open_container(path) as container:
            if not VIDEO_FORMATS.intersection(container.format.name.split(",")):
                raise MediaError(f"'{name}' is not a video (it reads as '{container.format.name}').")
            if not container.streams.video:
                raise MediaError(f"'{name}' is not a video: it has no video stream, only sound or subtitles.")
            if container.streams.video[0].codec_context is None:
                raise MediaError(f"'{name}' is not a video that can be read: nothing tells its codec.")
            index = _index_file(path, missing)
            missing = missing or find_shortfall(container.streams.video[0], index)
        if missing and not index.damage:
            index = _index_file(path, missing)
    except av.error.EOFError as error:
        raise MediaError(
            f"Video '{name}' has zero frames, or is no video; expected at least one frame."
        ) from error
    except av.FFmpegError as error:
        raise MediaError(
            f"'{name}' is not a video that can be read ({error.strerror}); expected mp4, mov, webm, gif or a "
            "folder of frames. If it should be one, it may be truncated."
        ) from error
    source = _FileSource(path, index, index.damage is not None)
    with source.open() as reader:
        _, first = next(reader.decode_from(0))
        source.matrix = _display_matrix(first)
    source.size = (first.width, first.height) if source.matrix[1] else (first.height, first.width)
    return VideoClip(name, source.size, index, source)


def _index_file(path: Path, missing: str | None) -> VideoIndex:
    """Index by packets if they tell enough, else by decoding."""
    with _open_container(path) as container:
        index = index_packets(container, container.streams.video[0], missing)
    if index is not None:
        return index
    with _open_container(path) as container:
        return index_decoded(container, container.streams.video[0], missing)


def list_pictures(folder: Path) -> tuple[Path, ...]:
    """Pictures of a folder, `frame2` before `frame10`."""
    files = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    return tuple(
        sorted(files, key=lambda p: [int(part) if i % 2 else part for i, part in enumerate(_split(p.name))])
    )


def _split(name: str) -> list[str]:
    """Alternate text and digits, starting with text, so that keys compare."""
    return re.split(r"([0-9]+)", name)


def open_pictures(name: str, files: tuple[Path, ...], fps: float = FALLBACK_FPS) -> VideoClip:
    """A clip of picture files: reads the size of each, none of its pixels.

    Args:
        name: of the folder, for messages and as the clip's path.
        files: one per frame, in order.
        fps: frame rate.

    Raises:
        MediaError: no files, or files that are no pictures of one size.
    """
    if not files:
        raise MediaError(f"Folder '{name}' has zero frames; expected pictures ({', '.join(IMAGE_SUFFIXES)}).")
    if not fps > 0:
        raise MediaError(f"Frame rate of folder '{name}' is {fps}, expected more than 0.")
    sizes: list[tuple[int, int]] = []
    for file in files:
        try:
            with Image.open(file) as picture:
                turned = picture.getexif().get(0x0112, 1) >= 5
                sizes.append((picture.width, picture.height) if turned else (picture.height, picture.width))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise MediaError(
                f"Frame '{file}' cannot be read ({error}); it may be empty, cut off or no picture."
            ) from error
        if sizes[-1] != sizes[0]:
            raise MediaError(
                f"Frame '{file}' is {sizes[-1]} (height, width), but '{files[0]}' is {sizes[0]}; "
                "expected one size."
            )
    numbers = np.arange(len(files), dtype=np.int64)
    index = VideoIndex(numbers, numbers, numbers, numbers / fps, len(files) / fps, float(fps))
    return VideoClip(name, sizes[0], index, FolderSource(files, sizes[0]))


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """Signs (a, b, c, d) of the container's display matrix: x' = a·x + c·y, y' = b·x + d·y; y points down."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            values = np.frombuffer(bytes(data), dtype=np.int32)
            a, b, c, d = (int(np.sign(round(values[k] / 65536))) for k in (0, 1, 3, 4))
            if (a and d and not b and not c) or (b and c and not a and not d):
                return a, b, c, d
    return 1, 0, 0, 1


def _turn_upright(picture: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Apply a display matrix of quarter turns and mirrors."""
    a, b, c, d = matrix
    if b:
        picture = picture.transpose(1, 0, 2)
    if a + c < 0:
        picture = picture[:, ::-1]
    if b + d < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
