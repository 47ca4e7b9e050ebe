"""Videos → folders of every n-th frame, as VidSTG is published: `<id>/frame_0.jpg`, `frame_4.jpg`, ...

Source: the official `tools/vidstg_process.py`. Differs: a folder appears when it is whole, so that a run can be gone on
with; a damaged video is named and gives no folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from sama_plugin.data.json_stream import JsonStream
from sama_plugin.data.record_form import dataset_of, has_video
from sama_plugin.data.worker_pool import map_parallel
from sama_plugin.errors import DataError, MediaError
from sama_plugin.media.frame_subset import open_frames

FRAME_STEP = 4
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi")
JPEG_QUALITY = 95


class Extraction(NamedTuple):
    """What became of the videos.

    Attributes:
        written: folders made now.
        kept: folders that were there.
        failed: (video, reason) of those that cannot be read to their end.
    """

    written: int
    kept: int
    failed: list[tuple[Path, str]]


def extract_frames(
    videos: Path,
    out: Path,
    *,
    step: int = FRAME_STEP,
    names: Collection[str] | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Extraction:
    """Write every n-th frame of all videos below a folder; goes on with an interrupted run.

    Args:
        videos: folder with video files, at any depth.
        out: of a folder per video, under the video's name without suffix; made if missing.
        step: n.
        names: take only the videos that are called so, without suffix; None takes all.
        workers: processes.
        progress: whether to show a bar.

    Raises:
        DataError: no such folder or videos, two videos of one name, a bad number, or another process at work in `out`.
    """
    if step < 1:
        raise DataError(f"step is {step}, expected 1 or more.")
    found = _find_videos(videos, names)
    out.mkdir(parents=True, exist_ok=True)
    extract = functools.partial(_extract, out, step)
    failed = []
    with _held(out):
        to_do = [video for video in found if not (out / video.stem).is_dir()]
        bar = tqdm(to_do, desc="extract", unit="video", disable=None if progress else True)
        for video, fault in zip(bar, map_parallel(extract, to_do, workers), strict=True):
            if fault:
                failed.append((video, fault))
    return Extraction(len(to_do) - len(failed), len(found) - len(to_do), failed)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder: two at once would take each other's half-written frames away."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"{folder} is being written by another process; wait for it.") from error
        yield
    finally:
        os.close(descriptor)  # releases the lock


def vidstg_names(records: Path) -> set[str]:
    """Names of the VidSTG videos that a JSON list of records is about.

    Raises:
        DataError: the file is missing, malformed or no list.
    """
    known = (entry.value for entry in JsonStream(records, "[") if has_video(entry.value))
    return {PurePosixPath(record["video"]).name for record in known if dataset_of(record) == "VidSTG"}


def _find_videos(folder: Path, names: Collection[str] | None) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give the one that the videos lie in.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES)
    found: dict[str, Path] = {}
    for file in files:
        if names is not None and file.stem not in names:
            continue
        if file.stem in found:
            raise DataError(f"{found[file.stem]} and {file} have the same name; leave one of them.")
        found[file.stem] = file
    if missing := sorted(set(names or ()) - set(found)):
        raise DataError(
            f"{folder} lacks {len(missing)} of {len(names or ())} videos, such as {', '.join(missing[:3])}."
        )
    if not found:
        raise DataError(f"{folder} has no videos ({', '.join(VIDEO_SUFFIXES)}).")
    return list(found.values())


def _extract(out: Path, step: int, video: Path) -> str:
    """Write the frames of one video; gives back why it could not, or nothing."""
    part = out / f".{video.stem}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        clip = open_frames(video, step=step)
        if clip.damage:
            raise MediaError(clip.damage)
        for index, frame in clip.iter_frames():
            Image.fromarray(frame).save(part / f"frame_{index * step}.jpg", quality=JPEG_QUALITY)
    except MediaError as error:
        shutil.rmtree(part)
        return str(error)
    os.replace(part, out / video.stem)
    return ""
