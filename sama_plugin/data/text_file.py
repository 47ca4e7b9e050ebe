"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Another place to write a file to, which takes its own when it is whole; the folder is made if missing."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, pieces: Iterable[str]) -> None:
    """Write whole or not at all; the folder is made if missing."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(pieces)
