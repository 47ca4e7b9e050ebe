"""`sama data check`: find what is wrong with a data set, and say why."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.data_files import add_file_options
from sama_plugin.cli.exit_codes import DONE, RESULT_SAYS_NO
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="find what is wrong with a data set",
    purpose="Check every rule on every record, its masks and its media, and say what is wrong and where.",
    writes="--html and --json: the report; --resume: finished parts; without them nothing",
    says_no="defects were found",
    examples=(
        "sama data check shapes",
        "sama data check shapes --depth headers --workers 2 --html report.html",
        "sama data check --codes",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the subcommand."""
    parser = add_command(verbs, common, "check", LESSON)
    add_file_options(parser, nargs="*")
    parser.add_argument(
        "--codes", action="store_true", help="only list the codes of defects and what they mean"
    )
    parser.add_argument(
        "--depth",
        choices=("full", "headers", "none"),
        default="full",
        help="of media: decode every frame, only open them, or leave them alone",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="keep finished parts there; the same command goes on with them",
    )
    parser.add_argument(
        "--show", type=int, default=3, metavar="N", help="defects shown of each code and source"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report with all defects")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check, print the report, write it where asked."""
    from sama_plugin.data.check_report import format_codes, format_html, format_text, report_values
    from sama_plugin.data.checking import check_corpora
    from sama_plugin.data.kept_inputs import check_corpora_kept
    from sama_plugin.data.preparation import find_corpora
    from sama_plugin.data.text_file import write_text
    from sama_plugin.inference.outputs import check_file

    if args.codes:
        print(format_codes())
        return 0
    if args.show < 0:
        raise DataError(f"--show is {args.show}, expected 0 or more.")
    if not args.records:
        raise DataError("There is nothing to check; give RECORDS, a JSON list or a folder.")
    targets = [path for path in (args.json, args.html) if path is not None]
    for path in targets:
        check_file(path)
    sources = [files for path in args.records for files in find_corpora(path, args.masks, args.media)]
    check_corpora_kept(sources, targets)
    reports = check_corpora(sources, media=args.depth, workers=args.workers, run_path=args.resume)
    print(format_text(reports, args.show))
    if args.json:
        write_text(args.json, [json.dumps(report_values(reports), indent=1), "\n"])
    if args.html:
        write_text(args.html, [format_html(reports)])
    return RESULT_SAYS_NO if any(report.defects for report in reports) else DONE
