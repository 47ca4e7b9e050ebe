"""Frames that arrive while they are talked about, e.g. of a camera → a clip that grows."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.errors import MediaError
from sama_plugin.media.decode import FolderSource, VideoClip
from sama_plugin.media.video_index import FALLBACK_FPS, VideoIndex, average_fps

RUN_LENGTHS = 3
"""zlib's strategy for PNG that is fastest on camera frames, and no larger."""


class LiveClip(VideoClip):
    """A `VideoClip` that starts from some frames and grows by `append`.

    Frames are kept without loss as pictures in a temporary folder, none in memory. The folder is removed by
    `close`, when the clip and all its windows are garbage, or when the interpreter ends. One thread may append
    while others read: a reader sees the clip as it was when it began, a window stays as it is.

    Args:
        frames: (n, H, W, 3) uint8 RGB; at least one.
        timestamps_s: (n,) float; when each frame begins to be shown, on any clock, rising; None spaces them by
            `fps`.
        fps: frames per second where no times are given.
        path: what messages and outputs call the clip.

    Raises:
        MediaError: frames or times of another form, or a disk that is full.
    """

    def __init__(
        self,
        frames: np.ndarray,
        timestamps_s: np.ndarray | None = None,
        *,
        fps: float = FALLBACK_FPS,
        path: str = "live",
    ):
        if not isinstance(fps, int | float) or not (np.isfinite(fps) and fps > 0):
            raise MediaError(f"Frame rate of '{path}' is {fps!r}, expected more than 0.")
        if not isinstance(frames, np.ndarray) or frames.ndim != 4 or 0 in frames.shape:
            raise MediaError(
                f"First frames of '{path}' are {_form(frames)}, expected an array (n, H, W, 3), n at least 1."
            )
        size = (frames.shape[1], frames.shape[2])
        nothing = np.empty(0, np.int64)
        index = VideoIndex(None, nothing, nothing, np.empty(0, np.float64), 0.0, float(fps))
        self._spool = _Spool(path, size)
        super().__init__(path, size, index, self._spool)
        self._stated_fps = float(fps)
        self._origin_s = 0.0
        self._times = np.empty(0, np.float64)  # longer than the clip, so that growing it is cheap
        self._numbers = np.empty(0, np.int64)
        self.append(frames, timestamps_s)

    def append(self, frames: np.ndarray, timestamps_s: np.ndarray | None = None) -> None:
        """Add frames to the end; all or, on an error, none.

        Args:
            frames: (n, H, W, 3) uint8 RGB of the clip's size.
            timestamps_s: (n,) float, on the clock of the first call, rising, after those that are there; None
                spaces the frames by `fps`.

        Raises:
            MediaError: frames or times of another form, a disk that is full, or a clip that is closed.
        """
        one = (self.height, self.width, 3)
        if not isinstance(frames, np.ndarray) or frames.shape[1:] != one or frames.dtype != np.uint8:
            raise MediaError(
                f"Frames for '{self.path}' are {_form(frames)}, expected (n, {self.height}, {self.width}, 3) uint8; "
                "none of them was kept."
            )
        num_old, num_new = self.num_frames, len(frames)
        times = self._times_of(num_new, timestamps_s)
        if not num_new:
            return
        self._spool.write(frames, num_old)
        total = num_old + num_new
        if total > len(self._times):
            self._times = np.concatenate([self._times[:num_old], np.empty(total, np.float64)])
            self._numbers = np.arange(len(self._times))
        if not num_old:
            self._origin_s = float(times[0])
        self._times[num_old:total] = times - self._origin_s
        all_times, numbers = self._times[:total], self._numbers[:total]
        fps = average_fps(all_times, self._stated_fps)
        # One assignment, so that a reader in another thread sees the clip before or after, nothing between.
        self._index = VideoIndex(None, numbers, numbers, all_times, float(all_times[-1] + 1 / fps), fps)

    def close(self) -> None:
        """Remove the frames; the clip and its windows cannot be read any more. Harmless when repeated."""
        self._spool.close()

    def _times_of(self, num_new: int, timestamps_s: np.ndarray | None) -> np.ndarray:
        """Times of new frames on the caller's clock."""
        last_s = self._origin_s + float(self.timestamps_s[-1]) if self.num_frames else None
        if timestamps_s is None:
            start = 0.0 if last_s is None else last_s + 1 / self._stated_fps
            return start + np.arange(num_new) / self._stated_fps
        try:
            times = np.asarray(timestamps_s, np.float64)
        except (TypeError, ValueError) as error:
            raise MediaError(
                f"Times for '{self.path}' are {timestamps_s!r}, expected numbers; no frame was kept."
            ) from error
        if times.shape != (num_new,):
            raise MediaError(
                f"Times for '{self.path}' are {times.shape}, expected ({num_new},), one per frame; no frame was kept."
            )
        joined = np.concatenate([[-np.inf if last_s is None else last_s], times])
        is_wrong = ~(np.diff(joined) > 0) | ~np.isfinite(times)
        if is_wrong.any():
            place = int(np.argmax(is_wrong))
            raise MediaError(
                f"Times for '{self.path}' do not rise: {joined[place + 1]} s comes after {joined[place]} s; no "
                "frame was kept."
            )
        return times


def _form(frames: Any) -> str:
    return f"{frames.shape} {frames.dtype}" if isinstance(frames, np.ndarray) else type(frames).__name__


class _Spool(FolderSource):
    """A temporary folder of numbered pictures that grows; removed with its last user."""

    def __init__(self, name: str, size: tuple[int, int]):
        super().__init__((), size)
        self.name = name
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="sama_live_"))
        except OSError as error:
            raise MediaError(f"'{name}' finds no temporary folder: {error.strerror or error}.") from error
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[FolderSource]:
        """Itself, unless it is closed."""
        self._check_open()
        yield self

    def decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """File after file, beyond the end too: the clip knows where to stop."""
        for number in count(start):
            yield number, self._file(number)

    def write(self, frames: np.ndarray, start: int) -> None:
        """Write (n, H, W, 3) uint8 frames under the numbers from `start` on; all or none."""
        self._check_open()
        files = [self._file(start + i) for i in range(len(frames))]
        try:
            for file, frame in zip(files, frames, strict=True):
                Image.fromarray(frame).save(file, compress_level=1, compress_type=RUN_LENGTHS)
        except OSError as error:
            for file in files:
                file.unlink(missing_ok=True)
            raise MediaError(
                f"Frames for '{self.name}' cannot be kept in '{self.folder}': {error.strerror or error}; none of "
                "them was, the clip is as before. Free some space, or close the clip."
            ) from error

    def close(self) -> None:
        """Remove the folder."""
        self._remove()

    def _check_open(self) -> None:
        if not self._remove.alive:
            raise MediaError(f"'{self.name}' is closed, its frames are gone; start another clip.")

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.png"
