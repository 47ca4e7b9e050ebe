"""Options that several subcommands of `sama eval` share: which benchmark, and where its data lie."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sama_plugin.errors import DataError

if TYPE_CHECKING:
    from sama_plugin.evaluation.benchmark import OpenBenchmark


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Which benchmark, on which data, in how many processes."""
    parser.add_argument("benchmark", metavar="BENCH", help="`sama eval list` names them")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the benchmark's data")
    parser.add_argument("--split", help="of the benchmark, where it has several (default: the first)")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        metavar="N",
        help="on this machine, each with a model of its own, on one GPU each where there are several; results do not "
        "depend on how many there are (default 1)",
    )


def benchmark_opener(args: argparse.Namespace) -> OpenBenchmark:
    """Opens what the options name, in any process.

    Raises:
        DataError: a number of processes below 1.
    """
    if args.processes < 1:
        raise DataError(f"--processes is {args.processes}, expected 1 or more.")
    from sama_plugin.evaluation.catalogue import open_benchmark

    return partial(open_benchmark, args.benchmark, args.data, args.split)
