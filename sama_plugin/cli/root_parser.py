"""The parser of `sama` itself: its verbs in groups, in the order a newcomer needs them, and a quick start."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

import sama_plugin
from sama_plugin.cli.command_parser import CommandParser, show_help
from sama_plugin.cli.exit_codes import EXIT_CODES

DESCRIPTION = (
    "Point at things in a video, ask, and get text in which every grounded phrase has a mask on every frame."
)

QUICK_START = """\
quick start:
  sama demo --out first                # renders a video and talks about it
  sama chat first/video.mp4            # talk about it yourself
  sama eval list                       # what can be measured"""
EPILOG = "`sama VERB --help` says what a verb is for, with examples that run."


class RootParser(CommandParser):
    """Parser of `sama VERB ...`.

    Args:
        common: parser of the options that every command has.
    """

    def __init__(self, common: argparse.ArgumentParser) -> None:
        super().__init__(
            prog="sama",
            usage="sama [-h] [--version] [-v | -q] VERB ...",
            description=DESCRIPTION,
            epilog=EPILOG,
            parents=[common],
        )
        version = f"sama {sama_plugin.__version__}"
        self.add_argument("--version", action="version", version=version, help="say which version this is")
        self.set_defaults(run=lambda args: show_help(self))
        self._verbs = self.add_subparsers(metavar="VERB", prog="sama", parser_class=CommandParser)
        self._groups: dict[str, list[str]] = {}

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[Any]:
        """Where verbs are added, as `add_subparsers` gives it; what is added within stands below the title."""
        before = set(self._verbs.choices)
        yield self._verbs
        self._groups[title] = [name for name in self._verbs.choices if name not in before]

    def format_help(self) -> str:
        """What it is for, quick start, the verbs in their groups, options, exit codes."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, (), ())
        formatter.add_text(self.description)
        formatter.add_text(QUICK_START)
        for title, names in self._groups.items():
            formatter.start_section(title)
            for name in names:
                formatter.add_argument(_line_of(name, self._verbs.choices[name]))
            formatter.end_section()
        formatter.add_text(self.epilog)
        formatter.start_section("options")
        formatter.add_arguments(action for action in self._actions if action.option_strings)
        formatter.end_section()
        formatter.add_text(
            "\n".join(["exit codes:", *(f"  {code:<5}{text}" for code, text in EXIT_CODES.items())])
        )
        return formatter.format_help()


def _line_of(name: str, parser: argparse.ArgumentParser) -> argparse.Action:
    """What a formatter shows as `name  summary`."""
    lesson = getattr(parser, "lesson", None)
    return argparse.Action([], name, metavar=name, help=lesson.summary if lesson else "")
