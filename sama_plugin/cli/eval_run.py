"""`sama eval run BENCH`: ask a benchmark's questions and keep the predictions; `sama eval BENCH` scores them too."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.eval_options import (
    add_benchmark_options,
    add_process_option,
    add_scoring_options,
    benchmark_opener,
    scoring_hint,
)
from sama_plugin.cli.model_options import (
    add_model_options,
    add_session_options,
    answer_settings,
    load_model,
    model_folder,
    session_options,
)
from sama_plugin.cli.notes import note

if TYPE_CHECKING:
    from sama_plugin.evaluation.benchmark import Benchmark
    from sama_plugin.evaluation.harness import OpenedAnswerer

MODEL = "model"

LESSON = Lesson(
    summary="ask a benchmark's questions, or the rest of them",
    purpose="Ask a benchmark's questions, or those that are left, and keep the predictions.",
    writes="--out: predictions.jsonl, or a file for each shard; a run that was cut off goes on",
    examples=(
        "sama eval run shapes --data shapes --out mine",
        "sama eval run mevis --split valid --data MEVIS --out mine --shard 2/8",
    ),
)
FULL_LESSON = Lesson(
    summary="ask and score, which is what `sama eval BENCH` does",
    purpose="Ask a benchmark's questions and score the answers; `sama eval BENCH` means this.",
    writes="--out: predictions.jsonl, scores.jsonl and results.json; a run that was cut off goes on",
    examples=(
        "sama eval shapes --data shapes --out mine",
        "sama eval shapes --data shapes --out base --answerer first-box",
        "sama eval full shapes --data shapes --out mine --processes 2",
    ),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval run`."""
    parser = add_command(commands, common, "run", LESSON)
    _add_options(parser, "of predictions.jsonl; a run that was cut off goes on")
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="only every N-th dialogue, from the I-th on: for N runs, on N machines if wanted, into one folder or "
        "into several that are put together; `sama eval score` wants all N",
    )
    parser.set_defaults(run=run)


def add_full_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval full`, that is `sama eval BENCH`."""
    parser = add_command(commands, common, "full", FULL_LESSON)
    _add_options(parser, "of predictions and results.json; a run that was cut off goes on")
    add_scoring_options(parser)
    parser.set_defaults(run=run_and_score, shard="1/1")


def _add_options(parser: argparse.ArgumentParser, out: str) -> None:
    add_benchmark_options(parser)
    add_process_option(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=out)
    parser.add_argument(
        "--answerer",
        default=MODEL,
        metavar="NAME[:KEY=VALUE,...]",
        help="who answers: model, or a baseline that `sama eval list` names, some with options: "
        "random:seed=N,count=K, sam2:model=DIR,device=D, llava:model=DIR,frames=N,device=D,template=NAME",
    )
    add_model_options(parser)
    add_session_options(parser)


def run(args: argparse.Namespace) -> int:
    """Check the data, load the model, ask everything that is left."""
    from sama_plugin.evaluation.predictions import Shard

    shard = Shard.parse(args.shard)
    _ask_all(args, benchmark_opener(args)(), shard)
    note(f"asked; score it with {scoring_hint(args)}")
    return 0


def run_and_score(args: argparse.Namespace) -> int:
    """Run, then score and print the table."""
    from sama_plugin.cli.eval_score import score_and_print
    from sama_plugin.evaluation.benchmarks.expressions import check_scored_here
    from sama_plugin.evaluation.metrics.object_matching import check_scipy
    from sama_plugin.evaluation.predictions import ALL

    check_scipy()
    benchmark = benchmark_opener(args)()
    check_scored_here(benchmark)
    _ask_all(args, benchmark, ALL)
    return score_and_print(args, benchmark, args.out, args.out)


def _ask_all(args: argparse.Namespace, benchmark: Benchmark, shard: Any) -> None:
    from sama_plugin.evaluation.harness import run_benchmark
    from sama_plugin.inference.outputs import check_folder

    check_folder(args.out)
    check_videos(args.answerer, benchmark, shard)
    checkpoint = None
    if args.answerer == MODEL:
        session_options(args)
        checkpoint = model_folder(args)
    run_benchmark(
        benchmark,
        partial(open_answerer, args),
        args.out,
        checkpoint=checkpoint,
        shard=shard,
        processes=args.processes,
        reopen=benchmark_opener(args),
    )


def check_videos(answerer: str, benchmark: Benchmark, shard: Any) -> None:
    """See before any weights are loaded that the videos are there, if who answers needs them.

    Raises:
        DataError: they are not.
    """
    from sama_plugin.evaluation.catalogue import WATCHERS
    from sama_plugin.evaluation.harness import check_media

    if answerer.partition(":")[0] in (MODEL, *WATCHERS):
        check_media(benchmark, shard)


def open_answerer(args: argparse.Namespace, number: int) -> OpenedAnswerer:
    """Who answers in a process, by the parsed options; called in that process.

    Args:
        args: parsed options.
        number: of the process; with several GPUs each takes the next one.
    """
    from sama_plugin.evaluation.harness import OpenedAnswerer

    if args.answerer != MODEL:
        from sama_plugin.evaluation import catalogue

        baseline = catalogue.open_answerer(args.answerer)
        settings = {"answerer": args.answerer, **getattr(baseline, "settings", {})}
        return OpenedAnswerer(baseline, settings)
    if args.processes > 1:
        args = argparse.Namespace(**{**vars(args), "device": _device_of(args.device, number)})
    loaded = load_model(args)
    from sama_plugin.evaluation.session_answerer import SessionAnswerer

    answerer = SessionAnswerer(
        loaded.model, loaded.tokenizer, loaded.image_processor, **session_options(args)
    )
    return OpenedAnswerer(answerer, answer_settings(args, loaded.model))


def _device_of(device: str, number: int) -> str:
    """GPU of a process, where the choice is left open and there are several."""
    import torch

    num_gpus = torch.cuda.device_count()
    return f"cuda:{number % num_gpus}" if device in ("auto", "cuda") and num_gpus > 1 else device
