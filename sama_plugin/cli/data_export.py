"""`sama data export`: a data set in the published form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, corpus_files, tell_missing
from sama_plugin.cli.notes import note

LESSON = Lesson(
    summary="write a data set in the published form",
    purpose="Write the records, character by character as they are, and the masks that they mean.",
    writes="--out: the records (--name), and a dictionary of masks for each published data set, under its published "
    "name, or one mask_dict.json; media stay where they are",
    examples=("sama data export shapes --out copy", "sama data export shapes --out copy --name test.json"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "export", LESSON)
    add_file_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument("--name", default="records.json", metavar="FILE", help="of the records, in DIR")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write, then say what was written and what is missing."""
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.export import export_corpus
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    files = corpus_files(args.records, args)
    written = export_corpus(open_corpus(*files), args.out, name=args.name)
    tell_missing(written.missing)
    note(f"{written.records} records and {written.masks} masks written: {', '.join(map(str, written.files))}")
    note(f"media stay in {files.video_root}")
    return 0
