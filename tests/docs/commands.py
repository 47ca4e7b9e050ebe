"""Commands of the pages: blocks taken apart into commands, and what the real parsers say to each without running it."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import tempfile
from pathlib import Path

from sama_plugin.cli import eval as eval_verb
from sama_plugin.cli import main, train
from tests.docs.options import flags_of, setup_extras, training_options
from tests.docs.pages import ROOT
from tests.docs.scripts import calls_of_script, lay_out, starts_programs

PROMPT = "$ "
OWN_FOLDERS = ("scripts/", "data_configs/", "patches/", "tests/", "sama_plugin/")


def split_commands(code: str) -> list[str]:
    """The commands of a bash block, one per line; a line that ends with a backslash goes on, comments are left out."""
    lines = [_without_comment(line) for line in code.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*", "", line).strip()


def split_console(code: str) -> list[tuple[str, str]]:
    """(command, what it shows) of a console block, whose commands stand behind `$ `."""
    found: list[tuple[str, str]] = []
    for line in code.replace("\\\n", " ").splitlines():
        if line.startswith(PROMPT):
            found.append((line.removeprefix(PROMPT).strip(), ""))
        else:
            command, shown = found.pop()
            found.append((command, f"{shown}{line}\n"))
    return found


def split_words(line: str) -> list[list[str]]:
    """Words of each simple command in a line that may join several; variables set before it are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    simple: list[list[str]] = [[]]
    is_target = False
    for word in lexer:
        if set(word) <= set("|&;"):
            simple.append([])
        elif set(word) <= set("<>"):
            is_target = True
        elif is_target:
            is_target = False
        elif simple[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            simple[-1].append(word)
    return [words for words in simple if words]


def fault_of(words: list[str]) -> str | None:
    """What is wrong with a simple command, as far as it can be told without running it."""
    match words:
        case ["sama", *arguments]:
            return _fault_of_sama(arguments)
        case ["bash", script, *_] if script.startswith("scripts/"):
            return _fault_of_script(words)
        case ["python", "-m", module, *_] if module.startswith("sama_plugin."):
            is_there = (ROOT / (module.replace(".", "/") + ".py")).is_file()
            return None if is_there else f"no module {module}"
        case ["pip", *_] | ["python", "-m", "pip", *_]:
            return _fault_of_extras(words)
    paths = [word for word in words if word.startswith(OWN_FOLDERS)]
    return next((f"no file {path}" for path in paths if not (ROOT / path).exists()), None)


def _fault_of_sama(arguments: list[str]) -> str | None:
    own, passed_on = train.split_arguments(eval_verb.complete_arguments(arguments))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main.build_parser().parse_args(own)
    except SystemExit as end:
        if end.code:
            return said.getvalue().strip().splitlines()[-1]
    unknown = [flag for flag in flags_of(passed_on) if flag not in training_options()]
    return f"sama train does not know {', '.join(unknown)}" if unknown else None


def _fault_of_script(words: list[str]) -> str | None:
    script = ROOT / words[1]
    if not script.is_file():
        return f"no file {words[1]}"
    if not starts_programs(script):
        return None
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        calls, said = calls_of_script(words, Path(folder))
    if calls is None:
        return said
    return next((fault for call in calls if (fault := fault_of(call))), None)


def _fault_of_extras(words: list[str]) -> str | None:
    wanted = {
        extra for word in words for found in re.findall(r"\[(.+?)\]", word) for extra in found.split(",")
    }
    unknown = sorted(wanted - setup_extras())
    return f"setup.py has no extra {', '.join(unknown)}" if unknown else None
