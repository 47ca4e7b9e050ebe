"""`sama doctor`: which host, versions and devices are there, what is wrong, and how to mend it."""

from __future__ import annotations

import argparse
from typing import Any

from sama_plugin.cli.command_parser import Lesson, add_command

LESSON = Lesson(
    summary="say what is installed, what is missing, what mends it",
    purpose="Look at this machine and say what is installed, what is missing, and which command mends it.",
    details="Lines marked `optional` are needed for some verbs only; all others have to be `ok`.",
    says_no="something that is always needed is missing or of another version",
    examples=("sama doctor", "sama doctor --verbose"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "doctor", LESSON)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print line after line as it is found out; exit code 1 if something is wrong."""
    from sama_plugin.host import doctor

    print(doctor.heading(), flush=True)
    findings = []
    for finding in doctor.examine():
        print(finding.format(), flush=True)
        findings.append(finding)
    report = doctor.DoctorReport(tuple(findings))
    print(report.conclusion)
    return report.exit_code
