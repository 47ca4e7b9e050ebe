"""`sama eval list`: the benchmarks, what each needs and from where; the metrics; or the questions of a benchmark."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command

LESSON = Lesson(
    summary="the benchmarks and what each needs; metrics; questions",
    purpose="Say what each benchmark needs and from where; with BENCH and --data its questions, a line of JSON each.",
    examples=(
        "sama eval list",
        "sama eval list mevis",
        "sama eval list --metrics",
        "sama eval list shapes --data shapes",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval list`."""
    parser = add_command(commands, common, "list", LESSON)
    parser.add_argument("benchmark", nargs="?", metavar="BENCH", help="only this one")
    parser.add_argument("--data", type=Path, metavar="DIR", help="its data: list the questions")
    parser.add_argument("--split", help="of the benchmark, where it has several (default: the first)")
    parser.add_argument(
        "--metrics", action="store_true", help="what each metric says, and why it is absent on this machine"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list, the metrics, or the questions."""
    if args.metrics:
        from sama_plugin.evaluation.metrics.catalogue import format_metrics

        print(format_metrics())
        return 0
    if args.data is not None and args.benchmark is not None:
        return _print_questions(args)
    from sama_plugin.evaluation.catalogue import ANSWERERS, BENCHMARKS, entry_of

    chosen = {args.benchmark: entry_of(args.benchmark)} if args.benchmark else BENCHMARKS
    for name, entry in chosen.items():
        print(f"{name}: {entry.what}")
        print(f"    needs  {entry.needs}")
        print(f"    from   {entry.source}")
        if entry.splits:
            print(f"    splits {', '.join(entry.splits)}")
    print(f"\nwho can answer: model, {', '.join(ANSWERERS)}")
    return 0


def _print_questions(args: argparse.Namespace) -> int:
    from sama_plugin.evaluation.catalogue import open_benchmark

    benchmark = open_benchmark(args.benchmark, args.data, args.split)
    for dialogue_id in benchmark.dialogue_ids:
        sample = benchmark.sample(dialogue_id)
        questions = [
            {"question_id": question_id, "question": turn.question, "regions": list(turn.region_ids)}
            for question_id, turn in zip(benchmark.question_ids(dialogue_id), sample.turns, strict=True)
        ]
        regions = {
            region_id: sample.masks[region_id] for turn in sample.turns for region_id in turn.region_ids
        }
        row = {
            "dialogue": dialogue_id,
            "video": sample.video_path,
            "questions": questions,
            "regions": regions,
        }
        print(json.dumps(row))
    return 0
