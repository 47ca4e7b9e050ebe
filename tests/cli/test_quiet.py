"""`--quiet`: results and errors only, on every verb; with `--verbose` it is refused."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from sama_plugin.cli import notes
from sama_plugin.cli.main import main


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


def watch_stderr(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Stderr as a terminal from here on; in a fixture it would be gone again when the test begins."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.mark.parametrize("arguments", [["-q", "-v", "doctor"], ["-q", "doctor", "-v"], ["doctor", "-vq"]])
def test_quiet_and_verbose_are_refused_together(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("sama: -v and -q are given together; leave one of them out")


def test_bars_and_warnings_are_shown_on_a_terminal_unless_quiet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = watch_stderr(monkeypatch)
    shapes = ["shapes", "--seed", "1", "--videos", "1"]
    assert main([*shapes, "--out", str(tmp_path / "a")]) == 0
    assert "shapes test: 100%" in terminal.getvalue()
    assert logging.getLogger("sama_plugin").isEnabledFor(logging.WARNING)
    terminal.truncate(0)
    assert main([*shapes, "--out", str(tmp_path / "b"), "-q"]) == 0
    assert terminal.getvalue() == ""
    assert not logging.getLogger("sama_plugin").isEnabledFor(logging.WARNING)
    assert tqdm(range(2), disable=None).disable


def test_verb_that_writes_files_says_nothing(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [
        f"data export {shapes_set} --out {tmp_path}/copy",
        f"data split {shapes_set} --parts a=1 b=rest --out {tmp_path}/parts",
        f"data balance {shapes_set} --total 30 --out {tmp_path}/even",
        f"data show {shapes_set} --num 1 --frames 1 --out {tmp_path}/pages",
        f"annotate {shapes_set}/records.json --out {tmp_path}/made",
        f"eval run shapes --data {shapes_set} --answerer truth --out {tmp_path}/mine",
    ]
    for command in commands:
        assert main(f"{command} -q".split()) == 0, command
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == ("", ""), command


def test_verb_whose_result_is_text_prints_that_and_no_note(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(shapes_set), "-q"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("records.")
    evaluate = ["eval", "shapes", "--data", str(shapes_set), "--answerer", "truth", "--out", str(tmp_path)]
    assert main(["-q", *evaluate]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("metric ")
    assert ("written" in shown.out, shown.err) == (False, "")
    assert main(evaluate) == 0
    assert "written: " in capsys.readouterr().out


def test_quiet_chat_prints_answers_only(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(shapes_set / "videos" / "00000.mp4")
    ask = ["chat", video, "--region", "r1=point@0:80,60", "--ask", "What moves?"]
    answers = ["--max-new-tokens", "4", "--json", str(tmp_path / "a.json")]
    assert main([*ask, *answers, "-q"]) == 0
    shown = capsys.readouterr()
    said = json.loads((tmp_path / "a.json").read_text())["turns"][0]["answer"]
    assert shown.out.splitlines()[0] == f"sama   {said}"
    assert not any(word in shown.out for word in ("you", "frames", "<r1>", "written"))
    assert shown.err == ""


def test_loading_is_said_at_once_on_a_terminal(monkeypatch: pytest.MonkeyPatch, shapes_set: Path) -> None:
    terminal = watch_stderr(monkeypatch)
    monkeypatch.setitem(sys.modules, "torch", None)  # the line comes before anything heavy is imported
    chat_once = ["chat", str(shapes_set / "videos" / "00000.mp4"), "--ask", "What moves?"]
    assert main(chat_once) == 2
    assert terminal.getvalue().startswith("sama: loading llava-sama-qwen-tiny ...\n")
    terminal.truncate(0)
    assert main([*chat_once, "-q"]) == 2
    assert "loading" not in terminal.getvalue()


def test_nothing_is_said_of_loading_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    notes.set_quiet(False)
    notes.note_loading("some-model")
    assert capsys.readouterr().err == ""
