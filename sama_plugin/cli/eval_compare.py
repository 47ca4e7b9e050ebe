"""`sama eval compare A B`: differences of two scored runs with their intervals, by video, and the worst as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.errors import DataError

LESSON = Lesson(
    summary="differences of two scored runs, and the worst as pictures",
    purpose="Compare two scored runs of one benchmark: differences with bootstrap intervals over videos, and by video.",
    writes="--out: pictures of the worst cases, which need --data too; without it nothing",
    examples=(
        "sama eval compare mine base",
        "sama eval compare mine base --worst 3 --data shapes --out worst",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval compare`."""
    parser = add_command(commands, common, "compare", LESSON)
    parser.add_argument("first", type=Path, metavar="A", help="folder with results.json and scores.jsonl")
    parser.add_argument("second", type=Path, metavar="B", help="the same of another run")
    parser.add_argument("--metric", help="shown by video and for the worst cases (default: J&F, mIoU, ...)")
    parser.add_argument("--videos", type=int, default=10, metavar="N", help="shown")
    parser.add_argument("--draws", type=int, default=10_000, metavar="N", help="of videos")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--worst", type=int, default=5, metavar="N", help="cases to draw")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the benchmark's, for the pictures")
    parser.add_argument("--split", help="of the benchmark, for the pictures")
    parser.add_argument("--out", type=Path, metavar="DIR", help="of the pictures; they need --data too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the tables, draw the cases."""
    for name in ("videos", "draws", "worst"):
        if getattr(args, name) < 1:
            raise DataError(f"--{name} is {getattr(args, name)}, expected 1 or more.")
    if (args.out is None) != (args.data is None):
        raise DataError("Pictures need both --out and --data.")
    from sama_plugin.evaluation.comparison import (
        compare_metrics,
        compare_videos,
        format_comparison,
        format_videos,
        headline,
        notes_of_one,
        open_run,
    )

    first, second = open_run(args.first), open_run(args.second)
    rows = compare_metrics(first, second, draws=args.draws, seed=args.seed)
    metric = args.metric or headline(rows)
    by_video = compare_videos(first, second, metric)
    print(format_comparison(first, second, rows))
    print()
    print(format_videos(by_video, metric, args.videos))
    for note in notes_of_one(first, second):
        print(note)
    if args.out is not None:
        _draw(args, first, second, metric)
    return 0


def _draw(args: argparse.Namespace, first: Any, second: Any, metric: str) -> None:
    from sama_plugin.evaluation.catalogue import open_benchmark
    from sama_plugin.evaluation.comparison import worst_cases
    from sama_plugin.evaluation.comparison_pictures import draw_cases
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    cases = worst_cases(first, second, metric, args.worst)
    benchmark = open_benchmark(first.results.benchmark, args.data, args.split)
    for case, path in zip(cases, draw_cases(benchmark, cases, (first, second), args.out), strict=True):
        print(f"{case.gain:+.3f}  {path}")
