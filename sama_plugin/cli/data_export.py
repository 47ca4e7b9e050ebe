"""`sama data export`: a data set in the published form."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.data_files import add_file_options, corpus_files, tell_missing


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = verbs.add_parser(
        "export",
        parents=[common],
        help="write a data set in the published form",
        description="Write the records, each character by character as it is, and the masks that they mean: a "
        "dictionary for each published data set, under its published name, or one mask_dict.json. Media stay "
        "where they are.",
    )
    add_file_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument(
        "--name", default="records.json", metavar="FILE", help="of the records, in DIR; default records.json"
    )
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
    print(
        f"{written.records} records and {written.masks} masks written: {', '.join(map(str, written.files))}"
    )
    print(f"media stay in {files.video_root}")
    return 0
