"""The index of a corpus: one SQLite file, its tables, how it is opened, and what says which files it was made from.

meta         schema, name, whether it is complete
sources      a row per file it was made from: path, size, date, digest, and how far it is read
tracks       mask tracks by dictionary and id, compressed
records      a row of columns per record, for choosing without reading; `record_texts` holds the records, compressed
turns        a row of columns per round, or description, that the reader keeps
"""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_plugin.data.corpus import published_dictionary
from sama_plugin.data.defects import file_fault
from sama_plugin.data.json_stream import file_digest
from sama_plugin.errors import DataError

SCHEMA = "sama.index/1"
INDEX_SUFFIX = ".index"
"""An index lies beside the records that it is of, under their name and this."""

RECORDS_ROLE = "records"
MASKS_ROLE = "masks:"
"""Before a dictionary's name, in `sources.role`."""

ALL_RECORDS = ""
"""Name of a dictionary that serves all records."""

PART_NAMES = {0: "conversation", 1: "description"}
"""Value of `turns.part` → which part of the record the turn is of."""

COMPRESSION = 1
MAKE = "run: sama data prepare"

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sources (role TEXT PRIMARY KEY, path TEXT, size INTEGER, date_ns INTEGER, digest TEXT,
    read_to INTEGER NOT NULL DEFAULT 0, entries INTEGER NOT NULL DEFAULT 0, doubled INTEGER NOT NULL DEFAULT 0);
CREATE TABLE tracks (dictionary TEXT, id TEXT, value BLOB NOT NULL);
CREATE UNIQUE INDEX track_ids ON tracks (dictionary, id);
CREATE TABLE records (position INTEGER PRIMARY KEY, source TEXT, media TEXT, clip TEXT, has_conversation INTEGER,
    defects TEXT);
CREATE TABLE record_texts (position INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE turns (record INTEGER, part INTEGER, turn INTEGER, task TEXT, kind TEXT, length INTEGER,
    num_regions INTEGER, num_segs INTEGER, PRIMARY KEY (record, part, turn)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is the one that was read.

    Attributes:
        path: of the file.
        size: bytes.
        date_ns: of its last change.
        digest: of its content; empty where it is not known yet.
    """

    path: Path
    size: int
    date_ns: int
    digest: str = ""

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file that is there, without its digest."""
        found = path.stat()
        return cls(path, found.st_size, found.st_mtime_ns)

    def change_of(self, path: Path) -> str:
        """What has changed at a path since; empty if nothing, which the content decides where the date differs."""
        if not path.is_file():
            return "is not there any more"
        now = Stamp.of(path)
        if now.size != self.size:
            return f"has {now.size} bytes now, had {self.size}"
        if now.date_ns != self.date_ns and file_digest(path) != self.digest:
            return "has another content now"
        return ""


def index_beside(records: Path) -> Path:
    """Where the index of a records file lies unless another place is given."""
    return records.with_name(records.name + INDEX_SUFFIX)


def dictionary_of(record: Mapping[str, Any], roles: Collection[str], index: Path) -> str:
    """Name of the dictionary that a record's ids are from.

    Args:
        record: with its `video`.
        roles: of the files that the index is made from.
        index: for the error.

    Raises:
        DefectError: the record's video belongs to none, or the index was made without it.
    """
    if MASKS_ROLE + ALL_RECORDS in roles:
        return ALL_RECORDS
    name = published_dictionary(record, index)
    if MASKS_ROLE + name not in roles:
        raise file_fault("file-missing", f"Index {index} was made without {name}; get that file and {MAKE}.")
    return name


def pack(text: str) -> bytes:
    """Compress a JSON text."""
    return zlib.compress(text.encode(), COMPRESSION)


def unpack(value: bytes) -> str:
    """Undo `pack`."""
    return zlib.decompress(value).decode()


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing and locks nothing: an index is replaced, never changed, once it is complete."""
    return sqlite3.connect(f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)


def connect_to_write(path: Path) -> sqlite3.Connection:
    """A connection of the only process that may use the file; transactions are begun by hand."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


@contextmanager
def own_errors(path: Path) -> Iterator[None]:
    """Say in our words what SQLite has against an index.

    Raises:
        DataError: the disk is full, the place cannot be written, another process is at work, the file is damaged.
    """
    try:
        yield
    except (sqlite3.Error, zlib.error) as error:
        text = str(error)
        if "locked" in text:
            fault = "is being built by another process; wait until it is done"
        elif "full" in text:
            fault = "cannot grow, its disk is full; make room, then give the same command again: it goes on from there"
        elif "unable to open" in text or "readonly" in text or "read-only" in text:
            fault = (
                f"cannot be opened or written in {path.parent}; mend that, or give another place with --index"
            )
        else:
            fault = f"is damaged or no index ({text}); remove it and {MAKE}"
        raise DataError(f"Index {path} {fault}.") from error


def read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    """All rows of `meta`."""
    return dict(connection.execute("SELECT key, value FROM meta"))


def read_stamps(connection: sqlite3.Connection, folder: Path) -> dict[str, Stamp]:
    """Stamps of the files of an index by their role; their paths are relative to the index's folder."""
    rows = connection.execute("SELECT role, path, size, date_ns, digest FROM sources")
    return {
        role: Stamp(Path(os.path.normpath(folder / path)), size, date_ns, digest)
        for role, path, size, date_ns, digest in rows
    }
