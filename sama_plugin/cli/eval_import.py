"""`sama eval import LAYOUT BENCH`: published predictions of another model into the form that is scored."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.eval_options import add_benchmark_options, benchmark_opener, scoring_hint
from sama_plugin.cli.notes import note

LESSON = Lesson(
    summary="bring another model's predictions into the form for scoring",
    purpose="Bring another model's published predictions into the form that `sama eval score` takes.",
    details="Trees of mask pictures <video>/<expression>/<frame>.png, with or without Annotations/, of 0 and 255, 0 "
    "and 1, or palette ids: mask-tree (visa, uninext, onlinerefer, trackgpt, sa2va). Answers in JSON: json "
    "(video-chatgpt, videochat2, sama-bench-c). What is missing, extra or damaged is named and counted.",
    writes="--out: predictions.jsonl",
    examples=(
        "sama eval import sa2va mevis --from png_tree --data MEVIS --out theirs",
        "sama eval import json sama-bench-c --from answers.json --data BENCH --out theirs",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval import`."""
    parser = add_command(commands, common, "import", LESSON)
    parser.add_argument("layout", metavar="LAYOUT", help="mask-tree or json, or a model's name as above")
    add_benchmark_options(parser)
    parser.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="PATH", help="file or folder"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="of predictions.jsonl")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import, and say what was found."""
    from sama_plugin.evaluation.importers.importing import import_predictions
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    found = import_predictions(benchmark_opener(args)(), args.layout, args.source, args.out)
    said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())
    note(f"{said}; score them with {scoring_hint(args)}")
    return 0
