"""`sama doctor`: which host, versions and devices are there, what is wrong, and how to mend it."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "doctor", parents=[common], help="say what is installed, what is missing, and what mends it"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 1 if something is wrong."""
    from sama_plugin.host import doctor

    report = doctor.report()
    print(report.format())
    return report.exit_code
