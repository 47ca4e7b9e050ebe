"""Replies of a model on disk, so that no request is paid for twice: one small file per request, whole or not there.

    folder/ab/abcdef....json   {"text": ..., "usage": {...}}

The name is the digest of everything that decides the reply; no key is part of it or of the file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sama_plugin.errors import DataError

logger = logging.getLogger(__name__)


class ReplyCache:
    """A folder of replies that threads and processes can share.

    Args:
        folder: made when the first reply is kept; None keeps nothing.

    Raises:
        DataError: the folder cannot be written to.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._asking: dict[str, tuple[threading.Lock, int]] = {}

    @staticmethod
    def digest(request: Mapping[str, Any]) -> str:
        """Name of a request: 64 hexadecimal digits."""
        text = json.dumps(request, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, digest: str) -> dict[str, Any] | None:
        """The kept reply; None where there is none. A damaged one is named in a warning and counts as none."""
        if self.folder is None:
            return None
        path = self._path(digest)
        try:
            kept = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s cannot be read (%s); the request is made again.", path, error)
            return None
        is_reply = isinstance(kept, dict) and isinstance(kept.get("text"), str)
        if not is_reply or not isinstance(kept.get("usage"), dict):
            logger.warning("%s is no kept reply; the request is made again.", path)
            return None
        return kept

    def write(self, digest: str, reply: Mapping[str, Any]) -> None:
        """Keep a reply; when this returns it is on the disk.

        Raises:
            DataError: the disk refuses.
        """
        if self.folder is None:
            return
        path = self._path(digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(reply, file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
            except OSError:
                os.unlink(part)
                raise
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error}; choose another cache.") from error

    @contextmanager
    def only_one(self, digest: str) -> Iterator[None]:
        """Let threads that want the same reply wait for the one that asks."""
        with self._lock:
            own, waiting = self._asking.get(digest, (threading.Lock(), 0))
            self._asking[digest] = (own, waiting + 1)
        try:
            with own:
                yield
        finally:
            with self._lock:
                own, waiting = self._asking.pop(digest)
                if waiting > 1:
                    self._asking[digest] = (own, waiting - 1)

    def _path(self, digest: str) -> Path:
        assert self.folder is not None, "asked for only where replies are kept"
        return self.folder / digest[:2] / f"{digest}.json"
