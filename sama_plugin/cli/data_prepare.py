"""`sama data prepare`: the one-time index of a data set, by which training reads it at random in flat memory."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="build the index of a data set, and say what is missing",
    purpose="Build the index by which training and evaluation read records and masks at random, without loading them.",
    details="Quick where nothing changed; the same command goes on where one was cut off.",
    writes="one file beside the records, or --index; with --vidstg frames where the records look for them",
    says_no="videos are missing; the index is there",
    examples=("sama data prepare shapes", "sama data prepare shapes --index shapes.index"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "prepare", LESSON)
    parser.add_argument(
        "place",
        type=Path,
        metavar="PLACE",
        help="file of records, folder with records.json, or root with the published files of SAMA-239K or SAMA-Bench",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="PATH",
        help="mask dictionary, or a folder of them under their published names; default: mask_dict.json or masks/ "
        "beside the records, else the folder with most of these names, theirs or right below it",
    )
    parser.add_argument(
        "--media", type=Path, metavar="DIR", help="folder that the records' videos are relative to"
    )
    parser.add_argument(
        "--index", type=Path, metavar="FILE", help="the index, where the records' folder cannot be written"
    )
    parser.add_argument(
        "--vidstg",
        type=Path,
        metavar="VIDEOS",
        help="write every 4th frame of the VidSTG videos below this folder to where the records look for them; "
        "`sama data extract` does that alone",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Extract where asked, build every index, say what was found."""
    from sama_plugin.data.preparation import find_corpora, format_preparation, prepare
    from sama_plugin.data.worker_pool import map_parallel

    corpora = find_corpora(args.place, args.masks, args.media)
    if args.index is not None and len(corpora) > 1:
        raise DataError(
            f"--index is one file, but {args.place} has {len(corpora)} files of records; give one of them."
        )
    apart = args.workers if args.vidstg is None else 1  # frames are extracted by all workers, set by set
    work = functools.partial(
        prepare, index=args.index, vidstg=args.vidstg, workers=args.workers, progress=apart == 1
    )
    is_complete = True
    for done in map_parallel(work, corpora, apart):
        print("\n".join(format_preparation(done)), flush=True)
        is_complete = is_complete and not done.missing
    return DONE if is_complete else RESULT_SAYS_NO
