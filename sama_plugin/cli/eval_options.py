"""Options that several subcommands of `sama eval` share: which benchmark, and where its data lie."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sama_plugin.errors import DataError

if TYPE_CHECKING:
    from sama_plugin.evaluation.benchmark import OpenBenchmark
    from sama_plugin.evaluation.text_scoring import TextScoring


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Which benchmark, on which data."""
    parser.add_argument("benchmark", metavar="BENCH", help="`sama eval list` names them")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--split", help="of the benchmark, where it has several (default: the first)")


def add_process_option(parser: argparse.ArgumentParser) -> None:
    """In how many processes."""
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="on this machine, each with a model of its own, on one GPU each where there are several; results do not "
        "depend on how many there are",
    )


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """How words are scored."""
    options = parser.add_argument_group("scores of words")
    options.add_argument(
        "--similarity",
        default="lexical",
        metavar="NAME",
        help="of phrases: lexical, or bert:FOLDER, as the SAMA release has it with bert-base-uncased",
    )
    options.add_argument(
        "--judge-url",
        metavar="URL",
        help="of an OpenAI-compatible endpoint, for CLAIR and VideoRefer-Bench-D",
    )
    options.add_argument("--judge-model", default="", metavar="NAME", help="its name there")
    options.add_argument("--judge-key-env", metavar="NAME", help="environment variable with its key")
    options.add_argument("--judge-cache", type=Path, metavar="DIR", help="where its replies are kept")


def text_scoring(args: argparse.Namespace) -> TextScoring:
    """What `add_scoring_options` chose; the default for commands without these options."""
    from sama_plugin.evaluation.text_scoring import DEFAULT_SCORING, TextScoring

    if not hasattr(args, "similarity"):
        return DEFAULT_SCORING
    if args.judge_url is not None and not args.judge_model:
        raise DataError("--judge-url needs --judge-model, the name of the model there.")
    return TextScoring(
        args.similarity, args.judge_url, args.judge_model, args.judge_key_env, args.judge_cache
    )


def scoring_hint(args: argparse.Namespace) -> str:
    """The command that scores what was just written to `--out`."""
    split = "" if args.split is None else f" --split {args.split}"
    return f"`sama eval score {args.benchmark} --predictions {args.out} --data {args.data}{split}`"


def benchmark_opener(args: argparse.Namespace) -> OpenBenchmark:
    """Opens what the options name, in any process.

    Raises:
        DataError: a number of processes below 1.
    """
    if getattr(args, "processes", 1) < 1:
        raise DataError(f"--processes is {args.processes}, expected 1 or more.")
    from sama_plugin.evaluation.catalogue import open_benchmark

    return partial(open_benchmark, args.benchmark, args.data, args.split, text_scoring(args))
