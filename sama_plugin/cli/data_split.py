"""`sama data split`: parts of a data set with no video in two of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, named_corpus, tell_left_out, tell_missing
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="split a data set by video into parts that are alike",
    purpose="Split a data set into parts with no video in two of them, alike in sources and tasks.",
    details="Records of which defects leave nothing go to no part.",
    writes="--out: a folder for each part in the published form, and split.json",
    examples=(
        "sama data split shapes --parts train=0.5 val=rest --out parts",
        "sama data split shapes --parts few=1 rest=rest --seed 3 --out parts",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "split", LESSON)
    add_file_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["train=0.8", "val=0.1", "test=0.1"],
        metavar="NAME=SIZE",
        help="SIZE is a share of the videos, a number of videos, or `rest`",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the split")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Split, then say what is in each part."""
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.split_folder import format_split, write_split
    from sama_plugin.data.splitting import read_parts
    from sama_plugin.inference.outputs import check_folder

    if args.seed < 0:
        raise DataError(f"--seed is {args.seed}, expected 0 or more.")
    parts = read_parts(args.parts)
    check_folder(args.out)
    files = named_corpus(args.records, args)
    made, facts = write_split(open_corpus(*files), args.out, parts, args.seed)
    note(format_split(made))
    tell_missing([one for part in made for one in part.missing])
    tell_left_out(len(facts.unusable), facts.defects)
    note(
        f"written: {', '.join(str(args.out / part.name) for part in made)}; media stay in {files.video_root}"
    )
    return 0
