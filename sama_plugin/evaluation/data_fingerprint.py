"""A fingerprint of a benchmark's data, so that predictions and scores are never of other data than they say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sama_plugin.evaluation.results import fingerprint_file


def fingerprint_data(files: Iterable[Path], media: Iterable[str | Path]) -> str:
    """SHA-256 of annotations and videos; videos that are not there do not count.

    Of folders of frames only the names and sizes of the files count, as reading them all would take minutes.

    Args:
        files: annotations; their contents count.
        media: video files, whose contents count, and folders of frames.
    """
    total = hashlib.sha256()
    for path in files:
        total.update(fingerprint_file(path).encode())
    for path in sorted({Path(path) for path in media}):
        if path.is_dir():
            for frame in sorted(path.iterdir()):
                total.update(f"{path.name}/{frame.name}\0{frame.stat().st_size}\0".encode())
        elif path.is_file():
            total.update(fingerprint_file(path).encode())
    return total.hexdigest()
