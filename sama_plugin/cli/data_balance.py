"""`sama data balance`: a subset in which tasks, sources and lengths have the shares that are asked for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, named_corpus, tell_left_out, tell_missing
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

DIMENSIONS = ("task", "source", "length")

Number = TypeVar("Number", int, float)


LESSON = Lesson(
    summary="choose records by caps and shares of tasks, sources, lengths",
    purpose="Keep records so that cells of tasks, sources and lengths stay within caps and shares, counted in turns.",
    details="What is scarce comes in first; a record that has no room in one of its cells is dropped. CELL is "
    "DIMENSION:NAME, such as task:referring, source:mevis or length:25-49 (words of a record).",
    writes="--out: the kept records in the published form, for a mixture to read; balance.json: what was dropped, and "
    "why; balance.html",
    examples=(
        "sama data balance shapes --even task --out even",
        "sama data balance shapes --cap task:referring=20 --total 60 --out few",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "balance", LESSON)
    add_file_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--cap", nargs="+", default=[], metavar="CELL=N", help="so many turns of a cell at most"
    )
    parser.add_argument(
        "--share",
        nargs="+",
        default=[],
        metavar="CELL=X",
        help="such a share of all that is kept, 0 to 1; other cells of the dimension have the rest in common",
    )
    parser.add_argument(
        "--even",
        nargs="+",
        default=[],
        choices=DIMENSIONS,
        metavar="DIMENSION",
        help="equal shares for its cells",
    )
    parser.add_argument("--total", type=int, metavar="N", help="so many turns at most")
    parser.add_argument(
        "--lengths",
        type=int,
        nargs="+",
        metavar="N",
        help="words of a record at which a new length begins; default 25 50 100 200",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order among equals")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Choose, write, then say what was kept and why."""
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.subset import LENGTH_EDGES, Wishes
    from sama_plugin.data.subset_folder import PAGE, REPORT, format_subset, write_subset
    from sama_plugin.inference.outputs import check_folder

    if args.seed < 0:
        raise DataError(f"--seed is {args.seed}, expected 0 or more.")
    caps, shares = _read_cells("--cap", args.cap, int), _read_cells("--share", args.share, float)
    wishes = Wishes(caps, shares, args.even, args.total, args.lengths or LENGTH_EDGES)
    check_folder(args.out)
    files = named_corpus(args.records, args)
    subset, facts, exported = write_subset(open_corpus(*files), args.out, wishes, args.seed)
    note(format_subset(subset))
    tell_missing(exported.missing)
    tell_left_out(len(facts.unusable), facts.defects)
    note(f"written: {', '.join(map(str, exported.files))}, {args.out / PAGE}, {args.out / REPORT}")
    note(f"media stay in {files.video_root}")
    return 0


def _read_cells(
    option: str, texts: Sequence[str], read: Callable[[str], Number]
) -> dict[tuple[str, str], Number]:
    """`DIMENSION:NAME=NUMBER` texts."""
    found: dict[tuple[str, str], Number] = {}
    for text in texts:
        cell, _, number = text.rpartition("=")
        dimension, _, name = cell.partition(":")
        try:
            value = read(number)
        except ValueError:
            value = None  # type: ignore[assignment]
        if dimension not in DIMENSIONS or not name or value is None:
            raise DataError(f"{option} is '{text}', expected such as task:referring=0.3 or source:mevis=500.")
        found[dimension, name] = value
    return found
