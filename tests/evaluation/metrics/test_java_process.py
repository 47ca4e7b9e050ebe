"""How Java programs are run, with small Python programs in Java's place: what matters here is how they end."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sama_plugin.evaluation.metrics.java_process import JavaError, find_program, run_java

ECHO = "for line in sys.stdin:\n    print(line.strip(), flush=True)"
SLEEP = "time.sleep(60)"


def is_gone(folder: Path) -> bool:
    return not Path(f"/proc/{(folder / 'pid').read_text()}").exists()


def interrupt_run(folder: Path) -> None:
    with run_java([]):
        while not (folder / "pid").exists() or not (folder / "pid").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_lines_are_answered(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(ECHO)
    with run_java([]) as program:
        assert program.ask(["a", "b"], 2, 30) == ["a", "b"]
        assert program.ask(["c"], 1, 30, is_all=True) == ["c"]
    assert is_gone(folder)


def test_more_than_pipes_hold_is_answered(replace_java: Callable[[str], Path]) -> None:
    replace_java(ECHO)
    lines = ["x" * 200] * 5000
    with run_java([]) as program:
        assert program.ask(lines, len(lines), 30) == lines


def test_last_words_of_a_program_that_ends_are_told(replace_java: Callable[[str], Path]) -> None:
    replace_java("sys.stderr.write('starting\\nno memory\\n'); sys.exit(3)")
    with run_java([]) as program, pytest.raises(JavaError, match="Java ended with code 3: no memory"):
        program.ask(["a"], 1, 30)


def test_an_exception_is_told_rather_than_where_it_came_from(replace_java: Callable[[str], Path]) -> None:
    replace_java(
        "sys.stderr.write('Exception in thread \"main\" OutOfMemoryError\\n\\tat Meteor.main'); sys.exit(1)"
    )
    with (
        run_java([]) as program,
        pytest.raises(JavaError, match='code 1: Exception in thread "main" OutOfMemory'),
    ):
        program.ask(["a"], 1, 30)


def test_a_program_that_takes_too_long_is_ended(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(SLEEP)
    with run_java([]) as program, pytest.raises(JavaError, match="no answer in time"):
        program.ask(["x" * 100] * 5000, 1, 0.5)
    assert is_gone(folder)


def test_nothing_is_left_when_the_block_fails(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(SLEEP)
    with pytest.raises(KeyboardInterrupt):
        interrupt_run(folder)
    assert is_gone(folder)


def test_what_a_launcher_started_is_ended_too(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java(
        f"import subprocess; child = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(60)'])\n"
        "open(HERE + '/pid', 'w').write(str(child.pid)); open(HERE + '/child', 'w').close(); child.wait()"
    )
    with run_java([]):
        while not (folder / "child").exists():
            time.sleep(0.01)
    deadline = time.monotonic() + 10
    while not is_gone(folder) and time.monotonic() < deadline:  # whoever adopts the orphan waits for it
        time.sleep(0.01)
    state = Path(f"/proc/{(folder / 'pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_it_works_in_the_temporary_folder(replace_java: Callable[[str], Path]) -> None:
    replace_java("print(os.getcwd(), flush=True)")
    with run_java([]) as program:
        assert program.ask([], 1, 30) == [os.path.realpath(tempfile.gettempdir())]


def test_without_java_the_package_to_install_is_named(hide_java: None) -> None:
    with pytest.raises(JavaError, match="apt install default-jre-headless"), run_java([]):
        pass


def test_a_launcher_that_cannot_be_run_is_named(replace_java: Callable[[str], Path]) -> None:
    folder = replace_java("")
    (folder / "java").write_bytes(b"\x00\x01")
    with pytest.raises(JavaError, match="java cannot be started"), run_java([]):
        pass


def test_a_missing_jar_is_named() -> None:
    pytest.importorskip("pycocoevalcap.bleu.bleu", reason="the extra 'caption' is missing")
    with pytest.raises(JavaError, match=r"meteor/other\.jar is missing; reinstall"):
        find_program("pycocoevalcap.meteor.meteor", "other.jar")


def test_a_missing_package_is_named(hide_package: None) -> None:
    with pytest.raises(JavaError, match=r"pip install 'sama-plugin\[caption\]'"):
        find_program("pycocoevalcap.meteor.meteor", "meteor-1.5.jar")
