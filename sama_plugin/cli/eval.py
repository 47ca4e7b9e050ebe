"""`sama eval BENCH`: run a benchmark, or the rest of it, and print its table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sama_plugin.cli.model_options import (
    add_model_options,
    add_session_options,
    answer_settings,
    load_model,
    session_options,
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("eval", parents=[common], help="score a model on a benchmark")
    parser.add_argument("benchmark", metavar="BENCH", help="shapes")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="of results.json; a run that was cut off goes on",
    )
    add_model_options(parser)
    add_session_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the data, load the model, ask everything, print the table."""
    from sama_plugin.evaluation.harness import RESULTS_FILE, evaluate, open_benchmark
    from sama_plugin.evaluation.metrics.object_matching import check_scipy
    from sama_plugin.evaluation.results import format_table
    from sama_plugin.inference.outputs import check_folder

    benchmark = open_benchmark(args.benchmark, args.data)
    check_folder(args.out)
    check_scipy()
    options = session_options(args)
    loaded = load_model(args)
    from sama_plugin.evaluation.session_answerer import SessionAnswerer

    answerer = SessionAnswerer(loaded.model, loaded.tokenizer, loaded.image_processor, **options)
    settings = answer_settings(args, loaded.model)
    results = evaluate(benchmark, answerer, args.out, settings, checkpoint=loaded.folder)
    print(format_table(results))
    print(f"\nwritten: {args.out / RESULTS_FILE}")
    return 0
