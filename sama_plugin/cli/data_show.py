"""`sama data show`: look at samples: frames with regions and masks, and their dialogues."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, named_corpus
from sama_plugin.cli.notes import note

SHOWN_FAULTS = 5


LESSON = Lesson(
    summary="look at samples: frames, regions, masks, dialogue",
    purpose="Draw samples as a page for any browser: frames with regions (outlines) and masks (filled), and dialogues.",
    writes="--out: index.html and its pictures; with --sheets also sheets/",
    examples=(
        "sama data show shapes --out pages",
        "sama data show shapes --num 2 --tasks referring --sheets --out pages",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "show", LESSON)
    add_file_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument("--num", type=int, default=24, metavar="N", help="samples, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice")
    parser.add_argument(
        "--ids", nargs="+", default=[], metavar="ID", help="show these: sample ids, or numbers of records"
    )
    parser.add_argument(
        "--tasks", nargs="+", default=[], metavar="TASK", help="draw only samples with a turn of such a task"
    )
    parser.add_argument("--frames", type=int, default=6, metavar="N", help="of a sample")
    parser.add_argument(
        "--sheets", action="store_true", help="also write DIR/sheets: a picture of each whole sample"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the page, then say where it is and what could not be shown."""
    from sama_plugin.data.contact_folder import write_contact_folder
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.defects import format_counts
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    files = named_corpus(args.records, args)
    written = write_contact_folder(
        open_corpus(*files),
        args.out,
        num=args.num,
        seed=args.seed,
        ids=args.ids,
        tasks=args.tasks,
        num_frames=args.frames,
        with_sheets=args.sheets,
    )
    for fault in written.faults[:SHOWN_FAULTS]:
        note(f"sama: {fault}", sys.stderr)
    if len(written.faults) > SHOWN_FAULTS:
        note(f"sama: ... and {len(written.faults) - SHOWN_FAULTS} more; the page has all", sys.stderr)
    if written.left_out:
        note(f"sama: left out because of defects: {format_counts(written.left_out)}", sys.stderr)
    note(f"{written.num} samples: {written.page}")
    return 0
