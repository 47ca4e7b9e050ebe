"""`sama completion SHELL`: print the script by which a shell completes verbs, options, choices and paths."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sama_plugin.cli.command_parser import CommandParser, Lesson, add_command
from sama_plugin.cli.train import FULL_SIZE, TINY_PRESET

SHELLS = ("bash", "zsh", "fish", "tcsh")
FOLDER, FILE = "directory", "file"
PLACES = {"DIR": FOLDER, "VIDEOS": FOLDER, "OUT": FOLDER, "VIDEO": FILE, "PATH": FILE, "RECORDS": FILE}
"""What an argument is called whose value is a path, and what is offered for it; files are offered with folders."""

LESSON = Lesson(
    summary="let the shell complete verbs, options and paths",
    purpose="Print the script by which a shell completes verbs, options, choices, files and folders.",
    details="""\\
Where it goes, for good:

  bash   sama completion bash > ~/.local/share/bash-completion/completions/sama
  zsh    sama completion zsh > "${fpath[1]}/_sama"
  fish   sama completion fish > ~/.config/fish/completions/sama.fish
  tcsh   sama completion tcsh >> ~/.tcshrc""",
    examples=("sama completion bash", "sama completion zsh"),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "completion", LESSON)
    parser.add_argument("shell", choices=SHELLS, help="which shell the script is for")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from sama_plugin.cli.main import build_parser

    parser = mark_choices(build_parser())
    mark_paths(parser, {FOLDER: shtab.DIRECTORY, FILE: shtab.FILE})
    print(shtab.complete(parser, args.shell))
    return 0


def mark_choices(parser: CommandParser) -> CommandParser:
    """Let a parser of all verbs know, for completion only, what else may stand where; gives it back."""
    from sama_plugin.evaluation.catalogue import BENCHMARKS

    verbs = parser.subcommands
    verbs["train"].add_argument("what", choices=(TINY_PRESET, *FULL_SIZE), help="what to train")
    evaluations = verbs["eval"].subcommands
    evaluations.update(dict.fromkeys(BENCHMARKS, evaluations["full"]))
    for evaluation in evaluations.values():
        for action in evaluation._actions:
            if action.dest == "benchmark":
                action.choices = list(BENCHMARKS)
    return parser


def mark_paths(parser: CommandParser, offered: Mapping[str, Any]) -> None:
    """Say of each argument whose value is a path what is offered for it.

    Args:
        parser: with all parsers below it.
        offered: what shtab calls `FOLDER` and `FILE`.
    """
    for action in parser._actions:
        if action.type is Path or action.metavar in PLACES:
            action.complete = offered[PLACES.get(str(action.metavar), FILE)]  # type: ignore[attr-defined]
    for below in parser.subcommands.values():
        mark_paths(below, offered)
