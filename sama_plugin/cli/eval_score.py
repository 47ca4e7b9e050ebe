"""`sama eval score BENCH`: score predictions, of whatever model, and print the table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.eval_options import (
    add_benchmark_options,
    add_process_option,
    add_scoring_options,
    benchmark_opener,
    text_scoring,
)
from sama_plugin.cli.notes import note

if TYPE_CHECKING:
    from sama_plugin.evaluation.benchmark import Benchmark


LESSON = Lesson(
    summary="score predictions, whoever made them",
    purpose="Score predictions, whoever made them; nothing of them is changed.",
    details="""\
They are lines of JSON: first

  {"schema": "sama.predictions/1", "benchmark": BENCH}

then for each dialogue

  {"dialogue": ID, "answers": [{"question_id": ID, "raw": "<p> The dog </p> [SEG].", \
"objects": [{"phrase": "The dog", "score": 0.9, "rle": [null or COCO run lengths, for each frame]}]}]}

`sama eval list BENCH --data DIR` tells the questions.""",
    writes="--out: results.json and scores.jsonl",
    examples=(
        "sama eval score shapes --data shapes --predictions mine",
        "sama eval score mevis --split valid_u --data MEVIS --predictions theirs --processes 2",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval score`."""
    parser = add_command(commands, common, "score", LESSON)
    add_benchmark_options(parser)
    add_process_option(parser)
    parser.add_argument(
        "--predictions",
        type=Path,
        required=True,
        metavar="DIR",
        help="with predictions*.jsonl, all shards of one run; or one such file",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="of results.json and scores.jsonl (default: beside them)"
    )
    add_scoring_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score and print."""
    from sama_plugin.evaluation.metrics.object_matching import check_scipy

    check_scipy()
    beside = args.predictions if args.predictions.is_dir() else args.predictions.parent
    return score_and_print(args, benchmark_opener(args)(), args.predictions, args.out or beside)


def score_and_print(args: argparse.Namespace, benchmark: Benchmark, predictions: Path, out: Path) -> int:
    """Score what is there and print the table."""
    from sama_plugin.evaluation.results import format_table
    from sama_plugin.evaluation.scoring import RESULTS_FILE, score_predictions
    from sama_plugin.inference.outputs import check_folder

    check_folder(out)
    results = score_predictions(
        benchmark,
        predictions,
        out,
        settings=text_scoring(args).settings,
        processes=args.processes,
        reopen=benchmark_opener(args),
    )
    print(format_table(results))
    note(f"\nwritten: {out / RESULTS_FILE}")
    return 0
