"""`sama data convert`: a data set without its defects, as a benchmark, or as training data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.data_files import add_file_options, corpus_files


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = verbs.add_parser(
        "convert",
        parents=[common],
        help="write a data set without its defects, with or without the ids of a benchmark",
        description="Write records and masks anew. Rounds, descriptions and records that break a rule are left out, "
        "objects without usable masks become -1, older names of tokens today's.",
    )
    add_file_options(parser)
    parser.add_argument(
        "--to",
        choices=("clean", "bench", "train"),
        required=True,
        help="clean: nothing more; bench: with question_id and description_id everywhere; train: without them",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="made if missing")
    parser.add_argument("--name", default="records.json", metavar="FILE", help="of the records, in DIR")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, write, say what is left."""
    from sama_plugin.data.conversion import convert_corpus
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.export import export_corpus

    files = corpus_files(args.records, args)
    corpus = open_corpus(*files)
    written = export_corpus(convert_corpus(corpus, args.to), args.out, name=args.name)
    print(f"{written.records} of {len(corpus)} records and {written.masks} masks written:", end=" ")
    print(", ".join(map(str, written.files)))
    print(f"media stay in {files.video_root}")
    return 0
