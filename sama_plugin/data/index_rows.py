"""Entries of a corpus' files → rows of its index."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sama_plugin.data.corpus import PICKLE_SUFFIXES, read_dictionary, track_of_value
from sama_plugin.data.index_tables import (
    MASKS_ROLE,
    PART_NAMES,
    RECORDS_ROLE,
    dictionary_of,
    pack,
    unpack,
)
from sama_plugin.data.json_stream import Entry, JsonStream, file_digest
from sama_plugin.data.record_form import dataset_of, frame_names, frame_step, media_path
from sama_plugin.data.record_rules import find_defects
from sama_plugin.data.selection import text_length
from sama_plugin.data.sources.sama239k import has_conversation, turns_of
from sama_plugin.data.track_rules import Track


class Entries(Protocol):
    """The entries of one file, to be gone through once; see `JsonStream`."""

    @property
    def digest(self) -> str:
        """Of the whole file, at the end."""

    def __iter__(self) -> Iterator[Entry]:
        """In their order."""

    def tell(self) -> int:
        """Where another can go on."""


def open_entries(path: Path, role: str, start: int, known: int, on_bytes: Callable[[int], object]) -> Entries:
    """The entries of the records or of a mask dictionary behind the first `known`, which end at byte `start`."""
    if path.suffix in PICKLE_SUFFIXES:
        return PickledEntries(path, known, on_bytes)
    return JsonStream(path, "[" if role == RECORDS_ROLE else "{", start=start, known=known, on_bytes=on_bytes)


class PickledEntries:
    """A mask dictionary of plain containers, which has to be loaded as a whole.

    Args:
        path: of the pickle.
        known: entries that are passed over.
        on_bytes: told the size of the file at the end.
    """

    def __init__(self, path: Path, known: int, on_bytes: Callable[[int], object]) -> None:
        self.path, self._known, self._on_bytes = path, known, on_bytes

    @property
    def digest(self) -> str:
        """Of the whole file."""
        return file_digest(self.path)

    def __iter__(self) -> Iterator[Entry]:
        for i, (key, value) in enumerate(read_dictionary(self.path).items()):
            if i >= self._known:
                yield Entry(key, json.dumps(value, default=_as_text), value)
        self._on_bytes(self.path.stat().st_size)

    def tell(self) -> int:
        """No place in the file: entries are counted instead."""
        return 0


def _as_text(value: Any) -> Any:
    """Run lengths that are bytes in a pickle."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    raise TypeError(f"{type(value).__name__} in a mask dictionary")


class TrackStore:
    """Stores the entries of one mask dictionary.

    Args:
        connection: to the index, in a transaction.
        role: of the dictionary in `sources`.
    """

    def __init__(self, connection: sqlite3.Connection, role: str) -> None:
        self.connection, self.role = connection, role
        self.dictionary = role.removeprefix(MASKS_ROLE)

    def add(self, entry: Entry) -> None:
        """Store a track; of an id that comes twice the last one, as JSON readers have it."""
        row = (pack(entry.text), self.dictionary, entry.key)
        added = self.connection.execute(
            "INSERT INTO tracks (value, dictionary, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", row
        )
        if added.rowcount == 0:
            self.connection.execute("UPDATE tracks SET value = ? WHERE dictionary = ? AND id = ?", row)
            self.connection.execute("UPDATE sources SET doubled = doubled + 1 WHERE role = ?", (self.role,))


class RecordStore:
    """Stores the records with the columns by which they are chosen; their masks are in the index by then.

    Args:
        connection: to the index, in a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._roles = {role for (role,) in connection.execute("SELECT role FROM sources")}
        [(_, _, path)] = connection.execute("PRAGMA database_list")
        self._path = Path(path)

    def add(self, entry: Entry) -> None:
        """Store a record, the turns that the reader keeps of it, and codes of its defects."""
        position, raw = int(entry.key), entry.value
        defects = find_defects(raw, partial(self._track, raw))
        codes = " ".join(sorted({defect.code for defect in defects}))
        is_lost = not isinstance(raw, dict) or any(defect.code == "record-form" for defect in defects)
        places = ("", "", "") if is_lost else _places(raw)
        self.connection.execute("INSERT INTO record_texts VALUES (?, ?)", (position, pack(entry.text)))
        self.connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", (position, *places, has_conversation(raw), codes)
        )
        for part, name in PART_NAMES.items():
            self.connection.executemany(
                "INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        position,
                        part,
                        k,
                        turn.task,
                        turn.kind,
                        text_length(turn),
                        len(turn.region_ids),
                        len(turn.target_ids),
                    )
                    for k, turn in enumerate(turns_of(raw, defects, name))
                ],
            )

    def _track(self, raw: Mapping[str, Any], mask_id: str) -> Track | None:
        name = dictionary_of(raw, self._roles, self._path)
        query = "SELECT value FROM tracks WHERE dictionary = ? AND id = ?"
        row = self.connection.execute(query, (name, mask_id)).fetchone()
        return None if row is None else track_of_value(json.loads(unpack(row[0])))


def _places(raw: Mapping[str, Any]) -> tuple[str, str, str]:
    """Data set, path of the media below their root, and what is equal where two records are about the same frames."""
    media = str(media_path(raw))
    names = json.dumps(frame_names(raw)).encode()
    return dataset_of(raw) or "", media, f"{media} {frame_step(raw)} {zlib.crc32(names):08x}"
