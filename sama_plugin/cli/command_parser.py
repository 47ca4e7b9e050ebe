"""The parser of `sama` and of every verb: help that teaches, and errors in one line that say what was meant."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from sama_plugin.cli.exit_codes import USER_ERROR

MARGIN = "  "
COMMAND = f"{MARGIN}sama "
CONTINUED = " \\"
EXPLAINED = re.compile(r"( +\S.*?  +)\S")
"""An indented word or several, and what explains it two or more spaces later."""


class Lesson(NamedTuple):
    """What the help of a verb teaches.

    Attributes:
        summary: half a line for the list of verbs.
        purpose: one sentence: what it is for.
        examples: commands that run, 2 to 4, the simplest first.
        details: paragraphs between purpose and options; indented lines keep their indent.
        writes: which files it leaves, and where; empty if it only prints.
        says_no: when it ends with exit code 1; empty if never.
    """

    summary: str
    purpose: str
    examples: Sequence[str]
    details: str = ""
    writes: str = ""
    says_no: str = ""

    def description(self) -> str:
        """What stands above the options."""
        return "\n\n".join(part for part in (self.purpose, self.details) if part)

    def epilog(self) -> str:
        """What stands below the options."""
        parts = [f"writes:\n{textwrap.indent(self.writes, MARGIN)}"] if self.writes else []
        if self.says_no:
            parts.append(
                f"exit codes:\n  0  done\n  1  {self.says_no}\n  2  it could not run; others: sama --help"
            )
        parts.append("\n".join(["examples:", *(MARGIN + example for example in self.examples)]))
        return "\n\n".join(parts)


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line with what was probably meant.

    Attributes:
        lesson: what its help teaches; None for a parser that was not made by `add_command`.
        passes_on: whether words that it does not know are left for somebody else.
    """

    def __init__(
        self, *args: Any, lesson: Lesson | None = None, passes_on: bool = False, **settings: Any
    ) -> None:
        if lesson is not None:
            settings = {"description": lesson.description(), "epilog": lesson.epilog(), **settings}
        super().__init__(*args, **{"formatter_class": HelpText, **settings})
        self.lesson, self.passes_on = lesson, passes_on

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong and where to read on, and leave with exit code 2."""
        self.exit(USER_ERROR, f"sama: {' '.join(message.split())}; see {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse; what is left over is an error here, where the options that may be meant are known."""
        if args is not None and not self.subcommands and not self.passes_on:
            self._check_option_names(args)
        known, left = super().parse_known_args(args, namespace)
        if left and not self.passes_on:
            self._refuse(left[0])
        return known, left

    @property
    def subcommands(self) -> dict[str, CommandParser]:
        """The parsers below this one, by their names; what is put in is a command too."""
        found = (action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        return next((action.choices for action in found), {})

    def _check_option_names(self, words: Sequence[str]) -> None:
        """Refuse a misspelt option before argparse complains of what is missing because of it."""
        for word in words[: words.index("--")] if "--" in words else words:
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and not any(self._options_like(name)):
                self._refuse(name)

    def _options_like(self, start: str) -> Iterable[str]:
        return (option for option in self._option_string_actions if option.startswith(start))

    def _refuse(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"'{word}' is one word too many")
        self.error(f"there is no option {word}{_meant(word, self._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's own, with the choice that was probably meant."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near = _meant(str(value), choices) or f", expected {', '.join(choices)}"
        if isinstance(action, argparse._SubParsersAction):
            self.error(f"there is no command '{value}'{near}")
        raise argparse.ArgumentError(action, f"there is no '{value}'{near}")


class HelpText(argparse.HelpFormatter):
    """Wraps to the terminal: paragraphs, indented lines with their indent, commands so that they still run.

    Shows defaults wherever the help does not speak of them itself.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(_fill_line(line, width) for line in text.splitlines())

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        """Show what a command cannot do without; the rest of its options stands below."""
        needed = [action for action in actions if action.required or not action.option_strings]
        rest = argparse.Action([], "rest", nargs="?", metavar="OPTION ...")
        super().add_usage(usage, [rest, *needed], (), prefix)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, value = action.help or "", action.default
        if (
            value is None
            or isinstance(value, bool)
            or value in ("", [], argparse.SUPPRESS)
            or "default" in text
        ):
            return text
        shown = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        return f"{text} (default: {shown})".replace("%", "%%") if text else f"default: {shown}"


def add_command(
    commands: Any, common: argparse.ArgumentParser, name: str, lesson: Lesson, **settings: Any
) -> CommandParser:
    """Add a verb, or a subcommand of one.

    Args:
        commands: what `add_subparsers` gave.
        common: parser of the options that every command has.
        name: the word to type.
        lesson: what its help says beside the options.
        settings: passed to `argparse.ArgumentParser`.
    """
    parser: CommandParser = commands.add_parser(
        name, parents=[common], help=lesson.summary, lesson=lesson, **settings
    )
    return parser


def add_command_group(
    commands: Any, common: argparse.ArgumentParser, name: str, lesson: Lesson, metavar: str
) -> Any:
    """Add a verb that has subcommands, and shows its help without one; gives what `add_subparsers` gives.

    Args:
        commands: what `add_subparsers` gave.
        common: parser of the options that every command has.
        name: the word to type.
        lesson: what its help says beside the subcommands.
        metavar: what a subcommand is called.
    """
    parser = add_command(commands, common, name, lesson)
    parser.set_defaults(run=lambda args: show_help(parser))
    return parser.add_subparsers(title="commands", metavar=metavar, prog=parser.prog)


def show_help(parser: argparse.ArgumentParser) -> int:
    """What a verb does that needs another word and has none."""
    parser.print_help()
    return USER_ERROR


def _meant(word: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)`, or nothing if nothing is like it."""
    near = difflib.get_close_matches(word, list(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _fill_line(line: str, width: int) -> str:
    """One line, or several; what explains a word stays in its column."""
    if len(line) <= width:
        return line
    if line.startswith(COMMAND):
        return _fill_command(line, width)
    explained = EXPLAINED.match(line)
    column = " " * len(explained[1]) if explained else MARGIN * line.startswith(MARGIN)
    return textwrap.fill(line, width, subsequent_indent=column, break_on_hyphens=False)


def _fill_command(line: str, width: int) -> str:
    """Break a command before its options, with a backslash where it goes on."""
    lines = [MARGIN[:-1]]
    for part in re.split(r" (?=--?[a-z])", line.strip()):
        if len(lines[-1]) + 1 + len(part) + len(CONTINUED) > width:
            lines[-1] += CONTINUED
            lines.append(MARGIN * 2 + part)
        else:
            lines[-1] += f" {part}"
    return "\n".join(lines)
