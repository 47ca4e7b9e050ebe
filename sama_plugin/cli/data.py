"""`sama data`: read, check, convert and export data sets; one module per subcommand."""

from __future__ import annotations

import argparse
from typing import Any

from sama_plugin.cli import (
    data_balance,
    data_check,
    data_convert,
    data_export,
    data_extract,
    data_prepare,
    data_show,
    data_split,
    data_stats,
)

SUBCOMMANDS = (
    data_prepare,
    data_extract,
    data_check,
    data_stats,
    data_show,
    data_split,
    data_balance,
    data_export,
    data_convert,
)
"""Modules with `add_parser`, in the order of `--help`."""


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser("data", parents=[common], help="read, check and make data sets")
    parser.set_defaults(run=lambda args: _print_help(parser))
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subcommands, common)


def _print_help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2
