"""How help looks on a terminal, that its examples run, and how little a first message loads."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.cli.command_parser import CommandParser, Lesson, add_command
from sama_plugin.cli.main import build_parser, main

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch",
    "transformers",
    "gradio",
    "fastapi",
    "llava",
    "llavaction",
    "sam2",
    "matplotlib",
    "shtab",
}
LESSON = Lesson(
    summary="say it",
    purpose="Say something, in many words, so that the line has to be broken on every terminal there is.",
    details="A list:\n\n  first    what the first is, in so many words that it has to be wrapped below itself",
    writes="--out: a file",
    says_no="there was nothing to say",
    examples=('sama say --words "one two three four" --out said.txt --loud', "sama say"),
)


@pytest.fixture
def parser() -> CommandParser:
    """A verb with options of all kinds."""
    root = CommandParser(prog="sama")
    verbs = root.add_subparsers(prog="sama")
    say = add_command(verbs, argparse.ArgumentParser(add_help=False), "say", LESSON)
    say.add_argument("--words", nargs="+", default=["a", "b"], metavar="W", help="what to say")
    say.add_argument("--times", type=int, default=0, help="how often")
    say.add_argument("--level", type=float, default=1.0, help="100 % is loudest")
    say.add_argument("--loud", action="store_true", help="so that all hear it")
    say.add_argument("--out", required=True, metavar="FILE", help="gets it (default: none)")
    return say


def test_help_is_laid_out_for_the_terminal(parser: CommandParser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "52")
    text = parser.format_help()
    assert max(map(len, text.splitlines())) <= 50
    assert text.startswith("usage: sama say --out FILE [OPTION ...]\n\nSay something,")
    assert "  first    what the first is, in so many words\n           that it has to be" in text
    assert '  sama say --words "one two three four" \\\n    --out said.txt --loud\n  sama say\n' in text
    assert "writes:\n  --out: a file\n" in text
    assert "  1  there was nothing to say\n" in text


def test_defaults_are_shown_unless_the_help_speaks_of_them(parser: CommandParser) -> None:
    text = " ".join(parser.format_help().split())
    for shown in ("what to say (default: a b)", "how often (default: 0)", "100 % is loudest (default: 1.0)"):
        assert shown in text
    assert text.count("(default:") == 4
    assert "so that all hear it --out" in text


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_help_is_wider_than_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for verb in build_parser().subcommands.values():
        lines = [
            line for line in verb.format_help().splitlines() if "://" not in line and "usage" not in line
        ]
        assert max(map(len, lines)) <= int(columns), verb.prog


def test_overview_groups_the_verbs_in_the_order_a_newcomer_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    places = [
        shown.index(f"\n{title}:\n") for title in ("quick start", "look", "talk", "data", "train", "measure")
    ]
    assert places == sorted(places)
    for name, verb in build_parser().subcommands.items():
        assert f"\n  {name:<15}{verb.lesson.summary}\n" in shown
    assert len(shown.splitlines()) < 60


def test_examples_of_help_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that need nothing but what earlier ones made."""
    monkeypatch.chdir(tmp_path)
    examples = [
        "sama shapes --seed 1 --videos 4 --out shapes",
        "sama data check shapes",
        "sama data stats shapes",
        "sama data prepare shapes",
        "sama data show shapes --num 2 --tasks referring --sheets --out pages",
        "sama data split shapes --parts few=1 rest=rest --seed 3 --out parts",
        "sama data balance shapes --cap task:referring=20 --total 60 --out few",
        "sama data export shapes --out copy --name test.json",
        "sama data convert shapes --to clean --out clean",
        "sama data extract shapes/videos --out frames",
        "sama annotate shapes/records.json --out made",
        "sama eval list mevis",
        "sama eval shapes --data shapes --out base --answerer first-box",
        "sama completion zsh",
    ]
    taught = [example for verb in all_verbs(build_parser()) for example in verb.lesson.examples]
    for example in examples:
        assert example in taught
        assert main(shlex.split(example)[1:]) == 0, example


def all_verbs(parser: CommandParser) -> list[CommandParser]:
    """Parsers below one, those in between too."""
    below = parser.subcommands.values()
    return [*below, *(verb for one in below for verb in all_verbs(one))]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        [],
        ["chat", "--help"],
        ["eval", "run", "--help"],
        ["chat", "nothing.mp4"],
        ["chat", "nothing.mp4", "--ask", "What moves?"],
        ["eval", "run", "shapes", "--data", "nothing", "--out", "out"],
        ["serve", "--help"],
        ["bench", "train", "--model", "./nothing"],
        ["chta"],
        ["data", "check", "nothing"],
        ["eval", "shapes", "--data", "nothing", "--out", "out"],
        ["train", "7b", "finetune"],
    ],
)
def test_first_message_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom sama_plugin.cli.main import main\n"
        f"try: main({arguments})\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
