"""`sama eval paper`: the table of the paper, model and baselines, from nothing or from where it was cut off."""

from __future__ import annotations

import argparse
import re
from functools import cache, partial
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.eval_options import add_scoring_options, text_scoring
from sama_plugin.cli.eval_run import MODEL, check_videos, open_answerer
from sama_plugin.cli.model_options import (
    add_model_options,
    add_session_options,
    model_folder,
    session_options,
)

ROWS = (MODEL, "nothing", "whole-frame", "random", "first-box", "sam2", "truth")
BENCHMARKS = ("shapes", "sama-bench-c", "sama-bench-g", "sama-bench-dialogue")


LESSON = Lesson(
    summary="all of the paper's table: the model and the baselines",
    purpose="Run and score all of the paper's table on one data folder: the model and the baselines, in one command.",
    details=f"Benchmarks: {', '.join(BENCHMARKS)}. What is asked already is not asked again.",
    writes="--out: a folder for each row and benchmark, with predictions.jsonl and results.json; --data where --videos "
    "makes it",
    examples=(
        "sama eval paper --videos 2 --data shapes_paper --out table",
        "sama eval paper --data shapes --out table --row model --row truth --benchmark shapes",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval paper`."""
    parser = add_command(commands, common, "paper", LESSON)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="of `sama shapes`")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="a folder per row and benchmark"
    )
    parser.add_argument("--videos", type=int, metavar="K", help="make the data, so many videos of split test")
    parser.add_argument("--shapes-seed", type=int, default=1, metavar="N", help="of these videos")
    parser.add_argument(
        "--row",
        dest="rows",
        action="append",
        metavar="NAME[:KEY=VALUE,...]",
        help=f"who answers, once for each row, such as llava:model=DIR (default: {', '.join(ROWS)})",
    )
    parser.add_argument(
        "--benchmark",
        dest="benchmarks",
        action="append",
        metavar="BENCH",
        help="once for each (default: those above)",
    )
    add_model_options(parser)
    add_session_options(parser)
    add_scoring_options(parser)
    parser.set_defaults(run=run, processes=1)


def run(args: argparse.Namespace) -> int:
    """Make the data if asked, run every row, print the table."""
    from sama_plugin.data.shapes.writer import make_shapes
    from sama_plugin.evaluation.metrics.object_matching import check_scipy
    from sama_plugin.evaluation.paper_table import format_paper_table, read_model
    from sama_plugin.inference.outputs import check_folder

    check_scipy()
    session_options(args)
    check_folder(args.out)
    if args.videos is not None:
        check_folder(args.data)
        make_shapes(args.data, args.shapes_seed, args.videos)
    models = []
    for row in args.rows or ROWS:
        folder = args.out / re.sub(r"[^\w.-]+", "_", row)
        _run_row(args, row, folder)
        models.append(read_model(str(folder))._replace(name=row))
    print(format_paper_table(models))
    return 0


def _run_row(args: argparse.Namespace, row: str, folder: Path) -> None:
    """All benchmarks of one row; whoever answers is made once; sam2 is that of --model."""
    from sama_plugin.evaluation.catalogue import open_benchmark
    from sama_plugin.evaluation.harness import run_benchmark
    from sama_plugin.evaluation.predictions import ALL
    from sama_plugin.evaluation.scoring import score_predictions

    name = f"sam2:model={args.model or ''},device={args.device}" if row == "sam2" else row
    chosen = argparse.Namespace(**{**vars(args), "answerer": name})
    open_once = cache(partial(open_answerer, chosen))
    checkpoint = model_folder(args) if row == MODEL else None
    scoring = text_scoring(args)
    for benchmark_name in args.benchmarks or BENCHMARKS:
        benchmark = open_benchmark(benchmark_name, args.data, None, scoring)
        check_videos(name, benchmark, ALL)
        out = folder / benchmark_name
        run_benchmark(benchmark, open_once, out, checkpoint=checkpoint)
        score_predictions(benchmark, out, out, settings=scoring.settings)
