"""Where a conversation is left: a folder with `overlay.mp4`, `strip.png` and `answer.json`, all or none."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from sama_plugin.errors import MediaError
from sama_plugin.inference.answer_file import answer_document, write_answer_file
from sama_plugin.inference.visualization import enlargement, write_overlay, write_strip
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import GroundedAnswer, Region

OUTPUT_FILES = OVERLAY_FILE, STRIP_FILE, ANSWER_FILE = "overlay.mp4", "strip.png", "answer.json"

BYTES_PER_PIXEL = 0.02
"""Of an overlay video, roughly; for the check before the model runs."""

LEAST_FREE_BYTES = 4_000_000


def expected_bytes(clip: VideoClip) -> int:
    """About how much disk the files of a conversation about a clip take."""
    factor = enlargement(clip.height, clip.width)
    pixels = clip.num_frames * clip.height * clip.width * factor**2
    return LEAST_FREE_BYTES + int(BYTES_PER_PIXEL * pixels)


def check_folder(folder: Path, needed_bytes: int = LEAST_FREE_BYTES) -> None:
    """See that a folder can be written to, or made; changes nothing.

    Args:
        folder: need not exist.
        needed_bytes: of free disk.

    Raises:
        MediaError: a file is in the way, no permission, or too little space.
    """
    existing = folder.absolute()
    try:
        while not (existing.exists() or existing.is_symlink()):
            existing = existing.parent
    except OSError as error:  # a name longer than the disk takes
        raise MediaError(f"Cannot write to '{folder}': {error.strerror}; choose another place.") from error
    if not existing.is_dir():
        raise MediaError(f"Cannot write to '{folder}': '{existing}' is not a folder; choose another place.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise MediaError(f"Cannot write to '{folder}': no permission in '{existing}'; choose another place.")
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise MediaError(
            f"No space left for '{folder}': {free / 1e6:.1f} MB are free, about {needed_bytes / 1e6:.1f} MB "
            "are needed; free some or choose another place."
        )


def check_file(path: Path, needed_bytes: int = LEAST_FREE_BYTES) -> None:
    """See that a file can be written, its folder made if need be; changes nothing.

    Raises:
        MediaError: as for `check_folder`, or the path is there and no regular file.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise MediaError(f"Cannot write '{path}': it is {kind}; name a file, or - for standard output.")
    check_folder(path.parent, needed_bytes)


def check_kept(clip: VideoClip, targets: Iterable[Path]) -> None:
    """See that no file to be written is the video itself, or lies in its folder of frames.

    Raises:
        MediaError: one is or does.
    """
    video = Path(clip.path)
    for target in targets:
        place = target.parent if video.is_dir() else target
        if place.exists() and video.exists() and place.samefile(video):
            raise MediaError(f"Writing '{target}' would change the video '{video}'; choose another place.")


def write_outputs(
    folder: Path,
    clip: VideoClip,
    answers: Sequence[GroundedAnswer],
    regions: Iterable[Region] = (),
    *,
    progress: bool = False,
) -> list[Path]:
    """Write overlay, strip and answers; they appear together once all three are whole.

    Args:
        folder: made if missing; files of an earlier conversation are replaced.
        clip: the video.
        answers: the turns.
        regions: what was pointed at.
        progress: whether to show a bar, on a terminal.

    Returns:
        The three files.

    Raises:
        MediaError: the disk refuses, a folder has the name of one of them, or one is the video itself; all is then as
            it was before.
    """
    shown = list(regions)
    check_kept(clip, [folder / name for name in OUTPUT_FILES])
    for name in OUTPUT_FILES:
        if (folder / name).is_dir():
            raise MediaError(f"Cannot write '{folder / name}': it is a folder; choose another place.")
    made = _missing_folders(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sama-", dir=folder) as partial:
            work = Path(partial)
            write_overlay(work / OVERLAY_FILE, clip, answers, shown, progress=progress)
            write_strip(work / STRIP_FILE, clip, answers, shown)
            write_answer_file(work / ANSWER_FILE, answer_document(clip, answers, shown))
            for name in OUTPUT_FILES:
                os.replace(work / name, folder / name)
    except BaseException as error:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError):
            raise MediaError(f"Cannot write to '{folder}': {error.strerror or error}.") from error
        raise
    return [folder / name for name in OUTPUT_FILES]


def _missing_folders(folder: Path) -> list[Path]:
    """The folder and those of its parents that are not there, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
