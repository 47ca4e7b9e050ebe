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
from sama_plugin.cli.command_parser import Lesson, add_command_group

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


LESSON = Lesson(
    summary="check, look at, count, split, balance, convert data sets",
    purpose="Read, check and make data sets of records, masks and media, in the form of SAMA-239K.",
    examples=("sama data check shapes", "sama data stats shapes", "sama data show shapes --out pages"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    subcommands = add_command_group(verbs, common, "data", LESSON, metavar="WHAT")
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subcommands, common)
