"""`sama train tiny` makes what ships, `sama train 7b finetune` a full-size model; `--plan` counts the cost."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

VERB = "train"
FULL_SIZE = ("0.5b", "7b")


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb; its arguments are passed on as they are, see `split_arguments`."""
    parser = verbs.add_parser(
        VERB,
        parents=[common],
        help="train: `sama train tiny [flags]`, or `sama train -- <the host's training flags>`",
        usage="sama train [-h] [-v] (tiny [FLAG ...] | {0.5b,7b} {pretrain,finetune} FLAG ... | {0.5b,7b} --plan "
        "[FLAG ...] | -- HOST_FLAG ...)",
        description="tiny: the shipped checkpoint, from nothing, on CPU (`sama train tiny -h`). 0.5b, 7b: one of the "
        "two stages of full-size training (`sama train 7b -h`), or with --plan the parameters, tokens, FLOPs and "
        "memory of a step, without training. Otherwise the host's own training flags.",
    )
    parser.set_defaults(run=run)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what `sama` parses from what is passed on to training.

    Args:
        arguments: of the whole command.

    Returns:
        Both parts; the second is empty for other verbs. A `--` between them is left out.
    """
    arguments = list(arguments)
    place = next((i for i, word in enumerate(arguments) if not word.startswith("-")), None)
    if place is None or arguments[place] != VERB:
        return arguments, []
    start = place + 1
    while start < len(arguments) and arguments[start] in ("-h", "--help", "-v", "--verbose"):
        start += 1
    rest = arguments[start:]
    return arguments[:start], rest[1:] if rest[:1] == ["--"] else rest


def run(args: argparse.Namespace) -> int:
    """Hand over to the training room; what it logs is shown, as a run takes long."""
    logging.getLogger("sama_plugin").setLevel(logging.INFO)
    flags: list[str] = args.passed_on
    if flags[:1] == ["tiny"]:
        from sama_plugin.training import tiny

        tiny.main(flags[1:])
    elif flags[:1] and flags[0] in FULL_SIZE and "--plan" in flags:
        from sama_plugin.training import plan

        plan.main(flags)
    elif flags[:1] and flags[0] in FULL_SIZE:
        from sama_plugin.training import stages

        stages.main(flags)
    else:
        from sama_plugin.training import train

        train.main(flags)
    return 0
