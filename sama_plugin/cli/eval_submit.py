"""`sama eval submit BENCH`: a zip for the benchmark's server, from predictions; `--check` looks at one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.notes import note
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="write the zip for the server of mevis or ref-youtube-vos",
    purpose="Write the zip that the server of mevis (split valid) or ref-youtube-vos takes, and check it.",
    writes="--zip",
    examples=(
        "sama eval submit mevis --split valid --data MEVIS --predictions mine --zip mine.zip",
        "sama eval submit mevis --split valid --data MEVIS --zip mine.zip --check",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval submit`."""
    parser = add_command(commands, common, "submit", LESSON)
    parser.add_argument("benchmark", metavar="BENCH", help="mevis or ref-youtube-vos")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--split", help="of the benchmark, where it has several")
    parser.add_argument("--predictions", type=Path, metavar="DIR", help="with predictions*.jsonl")
    parser.add_argument("--zip", type=Path, required=True, metavar="FILE", help="to write")
    parser.add_argument("--check", action="store_true", help="only check --zip, which is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write, then check."""
    from sama_plugin.evaluation.catalogue import open_benchmark
    from sama_plugin.evaluation.faults import describe_faults
    from sama_plugin.evaluation.submission import check_submission, write_submission

    if args.check == (args.predictions is not None):
        raise DataError("Give either --predictions, to write --zip from them, or --check, to look at --zip.")
    benchmark = open_benchmark(args.benchmark, args.data, args.split)
    if not args.check:
        for said in describe_faults(write_submission(benchmark, args.predictions, args.zip)):
            print(said)
    check_submission(benchmark, args.zip)
    note(f"{args.zip}: as the server of {args.benchmark} takes it")
    return 0
