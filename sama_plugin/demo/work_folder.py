"""Where a server keeps visitors' files: one folder, whose name and content no visitor chooses, and which goes with it.

A server that is killed leaves its folder; the next one that starts beside it removes it. It is known by its marker, on
which the server that lives holds a lock, which the system takes from one that is dead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from sama_plugin.errors import MediaError

logger = logging.getLogger(__name__)

PREFIX = "sama-serve-"
MARKER = ".sama-serve"
MARK = "A folder of `sama serve`; the next server that starts removes it.\n"


class WorkFolder:
    """The folder of one server; making it removes those of dead ones beside it.

    Args:
        parent: of the folder, made if missing; None is the system's place for temporary files.

    Attributes:
        path: of the folder; only this user may look into it.

    Raises:
        MediaError: the disk refuses.
    """

    def __init__(self, parent: Path | None = None):
        root = Path(tempfile.gettempdir()) if parent is None else parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            remove_leftovers(root)
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root)).absolute()
            self._marker = (self.path / MARKER).open("w", encoding="utf-8")
            # Locked before it is marked: else a server that starts just now takes it for a dead one's.
            _lock(self._marker)
            self._marker.write(MARK)
            self._marker.flush()
        except OSError as error:
            raise MediaError(
                f"Cannot keep files in '{root}': {error.strerror or error}; choose another place by --work."
            ) from error

    def make_folder(self) -> Path:
        """A new folder in it, for one session."""
        folder = self.path / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        return folder

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self._marker.close()
        shutil.rmtree(self.path, ignore_errors=True)


def remove_leftovers(root: Path) -> None:
    """Remove the folders that dead servers left; others' files, and links, are not touched."""
    for folder in sorted(root.glob(PREFIX + "*")):
        if _is_leftover(folder):
            logger.info("Removing '%s', which a server that was killed left.", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_leftover(folder: Path) -> bool:
    """Whether it is a server's folder whose server is dead."""
    marker = folder / MARKER
    try:
        if folder.is_symlink() or marker.is_symlink() or folder.stat().st_uid != _user_id(folder):
            return False
        with marker.open("r+", encoding="utf-8") as file:
            if file.read() != MARK:
                return False
            _lock(file)
    except (OSError, UnicodeDecodeError):  # no marker, not ours, or locked by a server that lives
        return False
    return True


def _user_id(folder: Path) -> int:
    """Of this process; where the system knows none, that of the folder."""
    return os.getuid() if hasattr(os, "getuid") else folder.stat().st_uid


def _lock(file: IO[Any]) -> None:
    """Take the lock on a file until it is closed.

    Raises:
        OSError: another process has it.
    """
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    file.seek(0)
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
