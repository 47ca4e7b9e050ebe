"""`sama eval`: run benchmarks, score predictions, compare and submit them; `sama eval BENCH` runs and scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sama_plugin.cli import (
    eval_compare,
    eval_import,
    eval_list,
    eval_paper,
    eval_run,
    eval_score,
    eval_submit,
    eval_table,
)
from sama_plugin.cli.command_parser import Lesson, add_command_group

VERB = "eval"
SUBCOMMANDS = {
    "full": eval_run.add_full_parser,
    "run": eval_run.add_parser,
    "score": eval_score.add_parser,
    "import": eval_import.add_parser,
    "compare": eval_compare.add_parser,
    "paper": eval_paper.add_parser,
    "table": eval_table.add_parser,
    "submit": eval_submit.add_parser,
    "list": eval_list.add_parser,
}
"""Name → what adds its parser; `full` is what `sama eval BENCH` means."""


LESSON = Lesson(
    summary="score models on benchmarks, compare, submit",
    purpose="Run benchmarks, score predictions of any model, and compare and submit them.",
    details="`sama eval BENCH --data DIR --out DIR [...]` runs a benchmark and scores it; the rest are its steps, and "
    "what can be done with predictions and results.",
    examples=(
        "sama eval list",
        "sama eval shapes --data shapes --out mine",
        "sama eval shapes --data shapes --out base --answerer first-box",
        "sama eval compare mine base",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb, and below it its subcommands."""
    commands = add_command_group(verbs, common, VERB, LESSON, metavar="BENCH | WHAT")
    for add in SUBCOMMANDS.values():
        add(commands, common)


def complete_arguments(arguments: Sequence[str]) -> list[str]:
    """Let `sama eval BENCH ...` be `sama eval full BENCH ...`.

    Args:
        arguments: of the whole command.
    """
    words = [i for i, word in enumerate(arguments) if not word.startswith("-")][:2]
    completed = list(arguments)
    if len(words) == 2 and arguments[words[0]] == VERB and arguments[words[1]] not in SUBCOMMANDS:
        completed.insert(words[1], "full")
    return completed
