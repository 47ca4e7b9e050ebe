"""Builds the index of a corpus: its files are streamed, so that memory stays flat, and a killed build goes on.

The index grows under another name (`PARTIAL_SUFFIX`) and takes its own when it is complete. What is committed there is
kept: a build that is started again with the same files goes on behind the last commit, with other files anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sama_plugin.data.index_rows import Entries, RecordStore, TrackStore, open_entries
from sama_plugin.data.index_tables import (
    MASKS_ROLE,
    RECORDS_ROLE,
    SCHEMA,
    TABLES,
    Stamp,
    connect_to_read,
    connect_to_write,
    own_errors,
    read_meta,
    read_stamps,
)
from sama_plugin.errors import DataError

logger = logging.getLogger(__name__)

PARTIAL_SUFFIX = ".partial"
COMMIT_CHARS = 1 << 26
"""So much text is read between two commits; a killed build does as much again at most."""


@dataclass(frozen=True)
class IndexReport:
    """An index, and what its building took.

    Attributes:
        path: of the index.
        seconds: None where it was there and still fits its files.
        entries: of each file that it was made from, by path.
        doubled: ids that come twice in a mask dictionary, by path; the last one counts, as JSON readers have it.
    """

    path: Path
    seconds: float | None
    entries: dict[Path, int]
    doubled: dict[Path, int]


def build_index(
    records: Path, masks: Mapping[str, Path], out: Path, *, name: str, progress: bool = True
) -> IndexReport:
    """Make the index of a records file and its mask dictionaries; leaves one that still fits them alone.

    Args:
        records: JSON list of records.
        masks: name → mask dictionary, JSON or a pickle of plain containers: published file names, or `ALL_RECORDS`.
        out: the index file.
        name: of the corpus.
        progress: whether to show a bar, in bytes.

    Raises:
        DataError: files that are missing (all at once), malformed or cut off, or change meanwhile; two processes at
            once; a full disk; a folder that cannot be written.
    """
    files = {MASKS_ROLE + key: path for key, path in masks.items()} | {RECORDS_ROLE: records}
    if absent := [str(path) for path in files.values() if not path.is_file()]:
        raise DataError(f"No file {', no file '.join(absent)}; give the folder or the files that there are.")
    if out.is_dir():
        raise DataError(f"{out} is a folder; give a file for the index.")
    if out.resolve() in {path.resolve() for path in files.values()}:
        raise DataError(f"{out} is a file that the index is to be made of; give another place for the index.")
    stamps = {role: Stamp.of(path) for role, path in files.items()}
    if is_current(out, stamps):
        return report_on(out)
    began = time.monotonic()
    partial = out.with_name(out.name + PARTIAL_SUFFIX)
    with own_errors(partial), contextlib.ExitStack() as stack:
        connection = _begin(partial, stamps, name, stack)
        if is_current(out, stamps):  # another process has just finished it
            partial.unlink()
            return report_on(out)
        _fill(connection, stamps, progress)
        _finish(connection, stamps)
        os.replace(partial, out)
    return report_on(out, time.monotonic() - began)


def is_current(index: Path, stamps: Mapping[str, Stamp]) -> bool:
    """Whether a complete index of this schema was made from these very files; also after only their dates changed."""
    if not index.is_file():
        return False
    with contextlib.closing(connect_to_read(index)) as connection:
        try:
            meta, held = read_meta(connection), read_stamps(connection, index.parent)
        except sqlite3.DatabaseError:
            return False
    if meta.get("schema") != SCHEMA or meta.get("complete") != "yes" or held.keys() != stamps.keys():
        return False
    return not any(held[role].change_of(stamp.path) for role, stamp in stamps.items())


def _begin(
    partial: Path, stamps: Mapping[str, Stamp], name: str, stack: contextlib.ExitStack
) -> sqlite3.Connection:
    """The half-built index in a transaction, locked: the one of an earlier run with the same files, or a new one."""
    connection = stack.enter_context(contextlib.closing(connect_to_write(partial)))
    if _goes_on(connection, stamps, partial.parent):
        return connection
    connection.close()
    partial.unlink(missing_ok=True)
    connection = stack.enter_context(contextlib.closing(connect_to_write(partial)))
    _lay_out(connection, stamps, name, partial.parent)
    return connection


def _goes_on(connection: sqlite3.Connection, stamps: Mapping[str, Stamp], folder: Path) -> bool:
    """Whether what is there was begun with the same files."""
    try:
        meta, held = read_meta(connection), read_stamps(connection, folder)
    except sqlite3.OperationalError:  # no tables yet
        return False
    looks = {role: (stamp.size, stamp.date_ns) for role, stamp in held.items()}
    return meta.get("schema") == SCHEMA and looks == {role: (s.size, s.date_ns) for role, s in stamps.items()}


def _lay_out(connection: sqlite3.Connection, stamps: Mapping[str, Stamp], name: str, folder: Path) -> None:
    for statement in TABLES.split(";"):
        connection.execute(statement)
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("schema", SCHEMA), ("name", name)])
    connection.executemany(
        "INSERT INTO sources (role, path, size, date_ns, digest) VALUES (?, ?, ?, ?, '')",
        [
            (role, os.path.relpath(stamp.path, folder), stamp.size, stamp.date_ns)
            for role, stamp in stamps.items()
        ],
    )
    _commit(connection)


def _fill(connection: sqlite3.Connection, stamps: Mapping[str, Stamp], progress: bool) -> None:
    """Read every file that is not whole in the index: the mask dictionaries first, as records are checked with them."""
    total = sum(stamp.size for stamp in stamps.values())
    with tqdm(
        total=total, unit="B", unit_scale=True, desc="index", disable=None if progress else True
    ) as bar:
        for role, stamp in stamps.items():
            read_to, known, digest = connection.execute(
                "SELECT read_to, entries, digest FROM sources WHERE role = ?", (role,)
            ).fetchone()
            if digest:
                bar.update(stamp.size)
                continue
            if known:
                logger.info("%s: goes on behind entry %d.", stamp.path, known)
            _fill_from(connection, role, open_entries(stamp.path, role, read_to, known, bar.update), known)


def _fill_from(connection: sqlite3.Connection, role: str, entries: Entries, known: int) -> None:
    """Store the entries of one file, with a commit now and then that remembers how far it has come."""
    store = RecordStore(connection) if role == RECORDS_ROLE else TrackStore(connection, role)
    chars, count = 0, known
    for entry in entries:
        store.add(entry)
        count += 1
        chars += len(entry.text)
        if chars >= COMMIT_CHARS:
            _remember(connection, role, entries.tell(), count, "")
            chars = 0
    _remember(connection, role, entries.tell(), count, entries.digest)


def _remember(connection: sqlite3.Connection, role: str, read_to: int, count: int, digest: str) -> None:
    """Commit what is stored, and how far its file is read."""
    connection.execute(
        "UPDATE sources SET read_to = ?, entries = ?, digest = ? WHERE role = ?",
        (read_to, count, digest, role),
    )
    _commit(connection)


def _commit(connection: sqlite3.Connection) -> None:
    connection.execute("COMMIT")
    connection.execute("BEGIN EXCLUSIVE")


def _finish(connection: sqlite3.Connection, stamps: Mapping[str, Stamp]) -> None:
    """Mark the index as complete, unless a file was changed while it was read.

    Raises:
        DataError: one was.
    """
    if changed := [str(stamp.path) for stamp in stamps.values() if Stamp.of(stamp.path) != stamp]:
        raise DataError(
            f"{', '.join(changed)} changed while it was read; give the command again when it is whole."
        )
    (count,) = connection.execute("SELECT count(*) FROM records").fetchone()
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [("records", str(count)), ("complete", "yes")])
    connection.execute("COMMIT")


def report_on(index: Path, seconds: float | None = None) -> IndexReport:
    """What a complete index holds."""
    with contextlib.closing(connect_to_read(index)) as connection:
        stamps = read_stamps(connection, index.parent)
        counts = connection.execute("SELECT role, entries, doubled FROM sources").fetchall()
    entries = {stamps[role].path: count for role, count, _ in counts}
    doubled = {stamps[role].path: twice for role, _, twice in counts if twice}
    return IndexReport(index, seconds, entries, doubled)
