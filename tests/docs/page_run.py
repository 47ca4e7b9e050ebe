"""A page as a reader would follow it: its blocks in order, in one folder, Python in one namespace.

`sama ...` runs in this process; what a script of ours would start does too. Any other line goes to bash, but for `pip`:
it would install this folder over the package in the environment of whoever runs the tests. Its extras are checked.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sama_plugin.cli.main import main
from tests.docs.commands import split_commands, split_console, split_words
from tests.docs.pages import ROOT, Block
from tests.docs.scripts import calls_of_script, lay_out

JOINED = re.compile(r"[|&;<>$`]|[A-Z_]+=")
"""What only a shell understands, at least outside of quotes."""

ANYTHING = "..."


class PageRun:
    """Runs the blocks of a page.

    Args:
        folder: where it runs; it looks like the repository's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {"__name__": "page"}
        self.printed = ""
        lay_out(folder)
        (folder / "bin").mkdir()
        command = folder / "bin" / "sama"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sama_plugin.cli.main "$@"\n')
        command.chmod(0o755)

    def run(self, block: Block) -> None:
        """Run a block; an AssertionError says what went otherwise than its page says."""
        with _within(self.folder):
            if block.file_name is not None:
                Path(block.file_name).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file_name).write_text(block.code, encoding="utf-8")
            if block.language == "python":
                self._run_python(block)
            elif block.is_printed:
                assert shows(self.printed, block.code), f"{block.where}: printed was\n{self.printed}"
            elif block.language == "bash":
                for command in split_commands(block.code):
                    self._run_command(block, command, None)
            elif block.language == "console":
                for command, shown in split_console(block.code):
                    self._run_command(block, command, shown)

    def _run_python(self, block: Block) -> None:
        code = compile("\n" * (block.line - 1) + block.in_small(block.code), str(block.page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self.namespace)  # a page of ours
        self.printed = printed.getvalue()

    def _run_command(self, block: Block, command: str, expected: str | None) -> None:
        if command.startswith(("pip ", *block.commands_not_run)):
            return
        small = block.in_small(command)
        exit_code, shown = self._execute(small)
        assert exit_code == block.exit_code, f"{block.where}: `{small}` ended with {exit_code}:\n{shown}"
        if expected is not None:
            assert shows(shown, expected), f"{block.where}: `{small}` shows\n{shown}\nnot\n{expected}"

    def _execute(self, command: str) -> tuple[int, str]:
        """Exit code, and all that was said."""
        unquoted = re.sub(r"\"[^\"]*\"|'[^']*'", "", command)
        [words, *_] = split_words(command)
        if JOINED.search(unquoted) or words[0] not in ("sama", "bash"):
            return self._execute_in_shell(command)
        if words[0] == "sama":
            return run_sama(words[1:])
        calls, said = calls_of_script(words, self.folder)
        if calls is None:
            return 1, said
        if not calls:
            return 0, said
        results = [run_sama(call[1:]) for call in calls if call[0] == "sama"]
        return max((code for code, _ in results), default=0), "".join(text for _, text in results)

    def _execute_in_shell(self, command: str) -> tuple[int, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        roots = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            env={**os.environ, "PATH": path, "PYTHONPATH": roots},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@contextlib.contextmanager
def _within(folder: Path) -> Iterator[None]:
    """The working directory, and back."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_sama(arguments: list[str]) -> tuple[int, str]:
    """Run `sama ...` in this process, with nobody at the keyboard.

    Returns:
        Exit code; stdout and stderr together, as a terminal shows them.
    """
    shown = io.StringIO()
    with _own_messages(), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    return code, shown.getvalue()


@contextlib.contextmanager
def _own_messages() -> Iterator[None]:
    """Logging and warnings as at the start of a process, and as they were afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("sama_plugin")
    handlers, levels, stdin = root.handlers[:], (root.level, ours.level), sys.stdin
    root.handlers, sys.stdin = [], io.StringIO()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        root.handlers, sys.stdin = handlers, stdin
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


def shows(shown: str, expected: str) -> bool:
    """Whether a terminal shows what a page says; `...` there stands for anything, lines of progress do not count.

    Args:
        shown: all that was written.
        expected: by the page.
    """
    visible = [line.rpartition("\r")[2].rstrip() for line in shown.strip().split("\n")]
    wanted = [line.rstrip() for line in expected.strip().split("\n")]
    pattern = ".*?".join(re.escape(part) for part in "\n".join(wanted).split(ANYTHING))
    return re.fullmatch(pattern, "\n".join(visible), re.S) is not None
