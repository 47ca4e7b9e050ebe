"""What the help of every verb has to say, so that a new verb that lacks something is named here."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sama_plugin.cli import train
from sama_plugin.cli.command_parser import CommandParser, Lesson
from sama_plugin.cli.exit_codes import EXIT_CODES
from sama_plugin.cli.main import build_parser, parse_arguments

ROOT = Path(__file__).resolve().parents[2]
SUMMARY_LENGTH = 61
"""What fits beside the verb on a terminal of 80 columns."""


def verbs_of(parser: CommandParser) -> Iterator[CommandParser]:
    """All parsers below one."""
    for below in parser.subcommands.values():
        yield below
        yield from verbs_of(below)


VERBS = {verb.prog: verb for verb in verbs_of(build_parser())}
TRAINING = {
    "sama train tiny": train.TINY,
    "sama train 7b finetune": train.STAGE,
    "sama train 7b --plan": train.PLAN,
}
LESSONS = {name: verb.lesson for name, verb in VERBS.items()} | TRAINING


def lacks(name: str, lesson: Lesson | None) -> list[str]:
    """What is missing from a lesson or amiss in it, in words."""
    if lesson is None:
        return ["a lesson: make its parser by add_command(verbs, common, name, Lesson(...))"]
    found = []
    if len(lesson.summary) > SUMMARY_LENGTH or lesson.summary.endswith("."):
        found.append(f"a summary of at most {SUMMARY_LENGTH} letters, without a full stop")
    if not re.fullmatch(r"[A-Z][^\n]*\.", lesson.purpose) or re.search(r"\. [A-Z]", lesson.purpose):
        found.append("a purpose of one sentence")
    if not 2 <= len(lesson.examples) <= 4:
        found.append("2 to 4 examples")
    shown = name.replace(" full", "").removesuffix(" --plan").removesuffix(" finetune").replace("7b", "")
    if not any(example.startswith(shown) for example in lesson.examples):
        found.append(f"an example that begins with '{shown}'")
    return found


def options_without_help(verb: CommandParser) -> list[str]:
    """Options and arguments of which the help says nothing."""
    return [
        str(action.option_strings or action.dest)
        for action in verb._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]


@pytest.mark.parametrize("name", LESSONS)
def test_help_lacks_nothing(name: str) -> None:
    assert lacks(name, LESSONS[name]) == []
    if name in VERBS:
        assert options_without_help(VERBS[name]) == []


def test_the_check_itself_sees_what_is_missing() -> None:
    bare = Lesson(summary="x" * 62, purpose="Two. Sentences.", examples=("sama other",))
    assert [words.split()[0:3] for words in lacks("sama verb", bare)] == [
        ["a", "summary", "of"],
        ["a", "purpose", "of"],
        ["2", "to", "4"],
        ["an", "example", "that"],
    ]
    assert lacks("sama verb", None)[0].startswith("a lesson")
    parser = CommandParser(prog="sama verb")
    parser.add_argument("--bare")
    assert options_without_help(parser) == ["['--bare']"]


EXAMPLES = [example for lesson in LESSONS.values() if lesson is not None for example in lesson.examples]
PLAIN = sorted({example for example in EXAMPLES if not example.startswith("sama train")})
TRAIN = sorted({example for example in EXAMPLES if example.startswith("sama train")})


@pytest.mark.parametrize("example", PLAIN)
def test_example_is_a_command_that_parses(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):  # such as --schema, which prints and ends
        assert callable(parse_arguments(shlex.split(example)[1:]).run)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("example", TRAIN)
def test_example_of_training_is_a_command_that_parses(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class ParsedError(Exception):
        """Training would begin here."""

    def begin(*_: object, **__: object) -> None:
        raise ParsedError

    for place in ("plan.make_plan", "tiny.make_foundations", "stages.check_devices", "train.main"):
        monkeypatch.setattr(f"sama_plugin.training.{place}", begin)
    args = parse_arguments(shlex.split(example)[1:])
    with pytest.raises(ParsedError):
        args.run(args)


def test_exit_codes_are_documented_as_they_are() -> None:
    page = (ROOT / "docs" / "exit_codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \| ", page.replace(r"\|", "\0"), re.M)
    assert {int(code): text.replace("\0", "|") for code, text in rows} == EXIT_CODES
    ones = dict(re.findall(r"^\| `(sama [\w ]+?)(?: --\w+)?` \| (.*) \|$", page, re.M))
    lessons = {name: lesson.says_no for name, lesson in LESSONS.items() if lesson and lesson.says_no}
    assert ones == lessons
