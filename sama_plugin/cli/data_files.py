"""Options that say where a data set lies, for the subcommands of `sama data`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

if TYPE_CHECKING:
    from sama_plugin.data.corpus import CorpusFiles


def add_file_options(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """Add the records, one file or so many, and where their masks and media are."""
    parser.add_argument(
        "records",
        type=Path,
        nargs=nargs,
        metavar="RECORDS",
        help="JSON list of records, or a folder with records.json or published files",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="mask dictionary, or a folder of them under their published names; default: mask_dict.json or masks/ "
        "beside the records, else the folder with most of these names, theirs or right below it",
    )
    parser.add_argument(
        "--media",
        type=Path,
        metavar="DIR",
        help="folder that the records' videos are relative to; default: media/ beside the records, else their folder",
    )


def corpus_files(records: Path, args: argparse.Namespace) -> CorpusFiles:
    """Where the one given corpus lies.

    Raises:
        DataError: there is none, or several in one folder.
    """
    from sama_plugin.data.preparation import find_corpora

    found = find_corpora(records, args.masks, args.media)
    if len(found) > 1:
        names = ", ".join(files.records.name for files in found)
        raise DataError(f"{records} has {len(found)} files of records, {names}; give one of them.")
    return found[0]


def named_corpus(records: Path, args: argparse.Namespace) -> CorpusFiles:
    """Where the one given corpus lies, under its name; see `named_files`."""
    files = corpus_files(records, args)
    return files._replace(name=_short_name(files.records.resolve()))


def named_files(paths: Sequence[Path], args: argparse.Namespace) -> list[CorpusFiles]:
    """Where the given corpora lie, under names that tell them apart: the file's, or the folder's of `records.json`."""
    from sama_plugin.data.preparation import find_corpora

    found = [files for path in paths for files in find_corpora(path, args.masks, args.media)]
    short = [_short_name(files.records.resolve()) for files in found]
    names = [
        name if short.count(name) == 1 else str(files.records)
        for name, files in zip(short, found, strict=True)
    ]
    return [files._replace(name=name) for files, name in zip(found, names, strict=True)]


def _short_name(records: Path) -> str:
    from sama_plugin.data.corpus import RECORDS_FILE

    return records.parent.name if records.name == RECORDS_FILE else records.stem


def tell_missing(missing: Sequence[str]) -> None:
    """Say on stderr which masks an export had to leave out, as `record:id`."""
    if missing:
        some = f"{len(missing)} ids have no masks and are left out, such as {missing[0]} (record:id)"
        note(f"sama: {some}; `sama data check` names them all", sys.stderr)


def tell_left_out(num_unusable: int, defects: Counter[str]) -> None:
    """Say on stderr what defects cost."""
    from sama_plugin.data.defects import format_counts

    if defects:
        found = f"{num_unusable} records cannot be used and are left out; defects: {format_counts(defects)}"
        note(f"sama: {found}; `sama data check` says where", sys.stderr)
