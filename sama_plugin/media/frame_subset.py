"""A clip of some frames only: those that a record names, or every n-th one, as the masks of a sample stand for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.errors import DamagedVideoError, MediaError
from sama_plugin.media.decode import Source, VideoClip, list_pictures, open_pictures
from sama_plugin.schema import Sample

SHOWN_MISSING = 3


def open_sample_clip(sample: Sample) -> VideoClip:
    """The frames that a sample is about: one per entry of its mask tracks, in their order.

    Raises:
        MediaError: they cannot be read, or one is not there.
    """
    return open_frames(sample.video_path, sample.frame_names, sample.frame_step)


def open_frames(path: str | Path, names: Sequence[str] | None = None, step: int = 1) -> VideoClip:
    """Open a video, or some of its frames.

    Args:
        path: a video file or a folder of frames.
        names: file names of a folder without suffix, in the order of the clip; None takes all.
        step: take every n-th, from the first.

    Raises:
        MediaError: it cannot be read, a named frame is not there, or names were given for a video file.
    """
    clip = (
        VideoClip.open(path) if names is None else open_pictures(str(path), find_pictures(Path(path), names))
    )
    return clip if step == 1 else every_nth(clip, step)


def find_pictures(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Files of a folder by their names without suffix.

    Raises:
        MediaError: no folder, or files that are not there.
    """
    if not folder.is_dir():
        what = "is a file, but frames of a folder are asked for" if folder.exists() else "does not exist"
        raise MediaError(f"Folder of frames '{folder}' {what}; check the media root and the record.")
    there = {file.stem: file for file in list_pictures(folder)}
    if missing := [name for name in names if name not in there]:
        shown = ", ".join(missing[:SHOWN_MISSING])
        raise MediaError(
            f"Folder '{folder}' lacks {len(missing)} of {len(names)} frames, such as {shown}; copy them again."
        )
    return tuple(there[name] for name in names)


def every_nth(clip: VideoClip, step: int) -> VideoClip:
    """Frames 0, n, 2n, ... of a whole clip as a clip of their own; nothing is read.

    Args:
        clip: any but a window of another.
        step: n, 1 or more.
    """
    index = clip.index
    times = index.timestamps_s[::step]
    keys = np.unique(-(-index.key_frames // step))
    part = replace(
        index,
        pts=None,
        key_frames=keys[keys < len(times)],
        key_dts=np.zeros(0, dtype=np.int64),
        timestamps_s=times,
        fps=index.fps / step,
    )
    return VideoClip(clip.path, (clip.height, clip.width), part, _SteppedSource(clip.source, step))


class _SteppedSource:
    """Every n-th frame of another source."""

    def __init__(self, source: Source, step: int):
        self.source = source
        self.step = step

    @contextlib.contextmanager
    def open(self) -> Iterator[_SteppedReader]:
        with self.source.open() as reader:
            yield _SteppedReader(reader, self.step)


class _SteppedReader:
    """An open source of which every n-th frame is given."""

    def __init__(self, reader: Any, step: int):
        self.reader = reader
        self.step = step

    def decode_from(self, start: int) -> Iterator[tuple[int, Any]]:
        """Frames from `start` on, both counted in steps."""
        try:
            for number, frame in islice(self.reader.decode_from(start * self.step), 0, None, self.step):
                yield number // self.step, frame
        except DamagedVideoError as error:
            num_readable = -(-error.num_readable // self.step)
            raise DamagedVideoError(str(error), num_readable) from error

    def to_rgb(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8 of one of them."""
        return self.reader.to_rgb(frame)  # type: ignore[no-any-return]
