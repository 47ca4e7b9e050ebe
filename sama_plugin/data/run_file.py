"""A long run on disk: a JSONL file that says what is run, then a line per finished piece; it can be gone on with."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sama_plugin.errors import DataError

logger = logging.getLogger(__name__)

ID_KEY = "dialogue"
"""Key of the id in a line, whatever the line is of; files that are there have it."""


class RunFile:
    """The finished pieces of a run on disk; held by one process at a time, to be used in a `with`.

    Args:
        path: the JSONL file; made if it is not there.
        identity: what is run, plain values with a `schema`; a file of something else is refused.
        keeps_content: False for files larger than the memory: only the ids of what was appended are kept.

    Attributes:
        rows: id → what was appended, in this run and in earlier ones it goes on with.

    Raises:
        DataError: a file of something else (what differs is said), or damaged; another process is writing to it, or it
            cannot be written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, keeps_content: bool = True) -> None:
        self.path = path
        self.keeps_content = keeps_content
        self.identity = dict(identity)
        self.rows: dict[str, dict[str, Any]] = {}
        self._descriptor = -1

    def __enter__(self) -> RunFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be opened for writing: {error}; choose another place."
            ) from error
        try:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"{self.path} is being written by another process; wait for it.") from error
            self._read_lines()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)  # releases the lock

    def append(self, row_id: str, row: dict[str, Any]) -> None:
        """Add a finished piece; when this returns it is on the disk.

        Raises:
            DataError: the disk refuses.
        """
        self._write_line({ID_KEY: row_id, **row})
        self.rows[row_id] = row if self.keeps_content else {}

    def _read_lines(self) -> None:
        """Load what is there, drop a torn last line, and begin an empty file with the identity."""
        whole = num_lines = 0
        line = b""
        with self.path.open("rb") as file:
            for num_lines, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                self._take_line(num_lines, self._parse_line(num_lines, line))
                whole += len(line)
        if not whole and not self._line(self.identity).startswith(line):
            raise DataError(f"{self.path} is there and holds something else; choose another place.")
        if num_lines and not line.endswith(b"\n"):
            logger.info("%s: its last line was cut off in the middle; what it held is run again.", self.path)
            os.ftruncate(self._descriptor, whole)
        if not whole:
            self._write_line(self.identity)

    def _take_line(self, number: int, row: dict[str, Any]) -> None:
        """Check the first line, keep another one."""
        if number == 1:
            self._check_identity(row)
        elif ID_KEY not in row:
            raise DataError(f"{self.path}, line {number} has no '{ID_KEY}'; delete the file to start anew.")
        else:
            row_id = row.pop(ID_KEY)
            self.rows[row_id] = row if self.keeps_content else {}

    def _parse_line(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{self.path}, line {number} is not JSON: {error}; delete the file to start anew."
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{self.path}, line {number} is no object; delete the file to start anew.")
        return row

    def _check_identity(self, found: dict[str, Any]) -> None:
        if found.get("schema") != self.identity["schema"]:
            raise DataError(
                f"{self.path} begins with schema {found.get('schema')!r}, expected {self.identity['schema']!r}; "
                "choose another place."
            )
        differing = describe_differences(found, self.identity)
        if differing:
            raise DataError(
                f"{self.path} holds a run that differs: {differing}. Choose another place, or "
                "delete this to run anew."
            )

    @staticmethod
    def _line(row: Mapping[str, Any]) -> bytes:
        return (json.dumps(row, allow_nan=False) + "\n").encode()

    def _write_line(self, row: Mapping[str, Any]) -> None:
        data = self._line(row)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}; what is finished is kept.") from error


def describe_differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say in what two identities differ, key by key; empty where they are the same.

    Args:
        found: of a file that is there.
        wanted: of what is run now.
    """
    old, new = _flatten(found), _flatten(wanted)
    return "; ".join(
        f"{key} is {old.get(key)!r} there and {new.get(key)!r} now"
        for key in sorted(old.keys() | new.keys())
        if (key in old, old.get(key)) != (key in new, new.get(key))
    )


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts → one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
