"""`sama data stats`: what is in data sets, in numbers and pictures."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options, named_files
from sama_plugin.errors import DataError

MIXTURE_SUFFIXES = (".yaml", ".yml")


LESSON = Lesson(
    summary="count tasks, turns, lengths, objects and masks",
    purpose="Count videos, dialogues, tasks, lengths, objects and masks of data sets, by source.",
    details="A source is the published data set that a video is of, else the file or folder. Tasks of records that do "
    "not name them are inferred from their words. What a defect costs is left out, and said. RECORDS may be one "
    "mixture file (.yaml) instead: then everything is counted that training sees of it.",
    writes="--html and --json: the numbers with histograms; without them nothing",
    examples=(
        "sama data stats shapes",
        "sama data stats shapes --html statistics.html",
        "sama data stats mixture.yaml --root DATA --json statistics.json",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "stats", LESSON)
    add_file_options(parser, nargs="+")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="of the paths in a mixture file; default: here",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers, histograms too")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count, write the numbers where asked, print the tables."""
    from sama_plugin.data.corpus import open_corpus
    from sama_plugin.data.kept_inputs import check_corpora_kept
    from sama_plugin.data.statistics import measure_corpora, measure_mixture
    from sama_plugin.data.statistics_report import format_html, format_text, statistics_values
    from sama_plugin.data.text_file import write_text
    from sama_plugin.inference.outputs import check_file

    targets = [path for path in (args.json, args.html) if path is not None]
    for path in targets:
        check_file(path)
    if any(path.suffix in MIXTURE_SUFFIXES for path in args.records):
        if len(args.records) > 1:
            raise DataError("A mixture file is counted alone; give nothing beside it.")
        sources = measure_mixture(args.records[0], args.root)
    else:
        corpora = named_files(args.records, args)
        check_corpora_kept(corpora, targets)
        sources = measure_corpora(open_corpus(*files) for files in corpora)
    if args.json:
        write_text(args.json, [json.dumps(statistics_values(sources), indent=1), "\n"])
    if args.html:
        write_text(args.html, [format_html(sources)])
    print(format_text(sources))
    return 0
