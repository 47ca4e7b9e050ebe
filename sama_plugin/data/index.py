"""Reads a corpus from its index: any record with its masks in a fraction of a millisecond, in flat memory."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sama_plugin.data.corpus import track_of_value
from sama_plugin.data.index_tables import (
    MAKE,
    RECORDS_ROLE,
    SCHEMA,
    Stamp,
    connect_to_read,
    dictionary_of,
    own_errors,
    read_meta,
    read_stamps,
    unpack,
)
from sama_plugin.data.record_form import media_path
from sama_plugin.data.track_rules import Track
from sama_plugin.errors import DataError

KEPT_TRACKS = 64
"""Tracks that stay in memory, as a record is looked at more than once in a row."""


class IndexedCorpus:
    """The records and masks of an index, read on access; a `Corpus`.

    It can be handed to other processes and threads: it pickles as its paths, and each process and thread reads by a
    connection of its own.

    Args:
        path: the index.
        video_root: folder the records' `video` is relative to.
        name: of the corpus; the one that the index was built with if empty.

    Raises:
        DataError: not there, half-written, of another version, damaged, or its files have changed since.
    """

    def __init__(self, path: Path, video_root: Path, name: str = "") -> None:
        self.path, self.video_root = path, video_root
        self._connections: dict[tuple[int, int], sqlite3.Connection] = {}
        self._tracks: OrderedDict[tuple[str, str], Track | None] = OrderedDict()
        if not path.is_file():
            raise DataError(f"Index {path} does not exist; {MAKE}.")
        with self._reading() as connection:
            meta, self._stamps = read_meta(connection), read_stamps(connection, path.parent)
        _check(path, meta, self._stamps)
        self.name = name or meta["name"]
        self._length = int(meta["records"])

    def __len__(self) -> int:
        return self._length

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.video_root, self.name)

    def record_text(self, index: int) -> str:
        """See `Corpus`.

        Raises:
            DataError: the index is damaged.
        """
        place = range(len(self))[index]
        [(value,)] = self.rows("SELECT value FROM record_texts WHERE position = ?", place)
        with own_errors(self.path):
            return unpack(value)

    def record(self, index: int) -> Any:
        """See `Corpus`."""
        return json.loads(self.record_text(index))

    def track(self, record: Mapping[str, Any], mask_id: str) -> Track | None:
        """See `Corpus`."""
        key = (dictionary_of(record, self._stamps, self.path), mask_id)
        if key not in self._tracks:
            self._tracks[key] = self._read_track(*key)
            while len(self._tracks) > KEPT_TRACKS:
                self._tracks.popitem(last=False)
        return self._tracks[key]

    def media(self, record: Mapping[str, Any]) -> Path:
        """See `Corpus`."""
        return self.video_root / media_path(record)

    def files(self) -> list[Path]:
        """See `Corpus`: the index, and what it was made from."""
        return [self.path, *(stamp.path for stamp in self._stamps.values())]

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query of the tables (see `index_tables`) gives.

        Raises:
            DataError: the index is damaged.
        """
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    def check_files(self, records: Path, masks: Path) -> None:
        """Refuse to stand for other files than the index was made from.

        Args:
            records: the records file.
            masks: the mask dictionary, or the folder of the published ones.

        Raises:
            DataError: says which it was made from.
        """
        made_from = {role: stamp.path.resolve() for role, stamp in self._stamps.items()}
        own = {path for role, path in made_from.items() if role != RECORDS_ROLE}
        wanted = masks.resolve()
        are_masks_own = own <= {wanted / path.name for path in own} if masks.is_dir() else own == {wanted}
        if made_from[RECORDS_ROLE] == records.resolve() and are_masks_own:
            return
        raise DataError(
            f"Index {self.path} is of {', '.join(str(path) for path in made_from.values())}, asked for {records} with "
            f"{masks}; give the index of these with index_path (--index), or {MAKE} for them."
        )

    def _read_track(self, dictionary: str, mask_id: str) -> Track | None:
        rows = self.rows("SELECT value FROM tracks WHERE dictionary = ? AND id = ?", dictionary, mask_id)
        with own_errors(self.path):
            return track_of_value(json.loads(unpack(rows[0][0]))) if rows else None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection of this process and thread; those of a parent process stay open and are left alone."""
        place = (os.getpid(), threading.get_ident())
        with own_errors(self.path):
            if place not in self._connections:
                self._connections[place] = connect_to_read(self.path)
            yield self._connections[place]


def _check(path: Path, meta: Mapping[str, str], stamps: Mapping[str, Stamp]) -> None:
    """Refuse an index that is not whole, not ours, or not of the files as they are now.

    Raises:
        DataError: says which file has changed, and what to do.
    """
    if meta.get("schema") != SCHEMA:
        raise DataError(
            f"Index {path} has schema {meta.get('schema')!r}, expected {SCHEMA!r}; remove it and {MAKE}."
        )
    if meta.get("complete") != "yes":
        raise DataError(f"Index {path} is half-written; remove it and {MAKE}.")
    for stamp in stamps.values():
        if change := stamp.change_of(stamp.path):
            raise DataError(f"Index {path} is stale: {stamp.path} {change}; {MAKE}.")
