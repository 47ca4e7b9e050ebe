"""`sama bench train`: what a training step costs beside the host's own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "bench",
        parents=[common],
        help="measure time and memory of a training step beside the host's",
        description="train: a step of SAMA and one of the host's own llava_qwen on the same clips, LLM and tower, each "
        "in processes of its own, in turns.",
    )
    parser.add_argument("what", choices=["train"], help="what to measure")
    parser.add_argument("--model", type=Path, metavar="DIR", help="SAMA folder (default: the shipped one)")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="clips per step (default 4)")
    parser.add_argument("--steps", type=int, default=8, metavar="N", help="measured per round (default 8)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table.

    Raises:
        SamaError: numbers below 1, or a side failed.
    """
    from sama_plugin.errors import DataError
    from sama_plugin.host.shipped import shipped_checkpoint
    from sama_plugin.training.step_cost import compare, format_costs

    for name, value in (("batch", args.batch), ("steps", args.steps)):
        if value < 1:
            raise DataError(f"--{name} is {value}, expected 1 or more.")
    folder = args.model or Path(shipped_checkpoint())
    print(format_costs(compare(folder, batch=args.batch, steps=args.steps)))
    return 0
