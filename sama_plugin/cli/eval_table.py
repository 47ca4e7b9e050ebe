"""`sama eval table DIR...`: the table of the paper from the results of several models and baselines."""

from __future__ import annotations

import argparse
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command

LESSON = Lesson(
    summary="the paper's table in Markdown, from results that are there",
    purpose="Put the results of several models and baselines into the paper's table, in Markdown.",
    details="A row for each folder, from all results.json below it.",
    examples=("sama eval table mine base", "sama eval table ours=mine first-box=base"),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval table`."""
    parser = add_command(commands, common, "table", LESSON)
    parser.add_argument("models", nargs="+", metavar="[NAME=]DIR", help="one per row")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from sama_plugin.evaluation.paper_table import format_paper_table, read_model

    print(format_paper_table([read_model(text) for text in args.models]))
    return 0
