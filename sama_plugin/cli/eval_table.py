"""`sama eval table DIR...`: the table of the paper from the results of several models and baselines."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `sama eval table`."""
    text = (
        "the paper's table in Markdown: a row per model or baseline, from all results.json below its folder"
    )
    parser = commands.add_parser("table", parents=[common], help=text, description=text)
    parser.add_argument("models", nargs="+", metavar="[NAME=]DIR", help="one per row")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from sama_plugin.evaluation.paper_table import format_paper_table, read_model

    print(format_paper_table([read_model(text) for text in args.models]))
    return 0
