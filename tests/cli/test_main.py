"""The command as a whole: light to start, and every error of the user's one line with exit code 2."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.cli import doctor, main, train
from sama_plugin.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("demo", "chat", "shapes", "train", "eval", "annotate", "convert", "doctor")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `sama doctor` end with an error."""

    def run(args: object) -> int:
        raise error

    monkeypatch.setattr(doctor, "run", run)


def test_help_names_every_verb_without_loading_anything_heavy() -> None:
    code = (
        "import sys; from sama_plugin.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'av', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    *_, exit_code, heavy = done.stdout.splitlines()
    assert (exit_code, heavy) == ("0", "[]"), done.stderr
    assert all(verb in done.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main([verb, "--help"])
    assert end.value.code == 0
    assert f"usage: sama {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["eval"], ["shapes", "--seed", "x", "--videos", "1", "--out", "o"]]
)
def test_malformed_command_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 2
    assert "usage: sama" in capsys.readouterr().err


def test_no_verb_shows_help_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == 2
    assert "commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (CheckpointError("no config\nin folder"), "sama: no config in folder"),
        (KeyboardInterrupt(), "sama: interrupted; nothing half-written is left."),
        (OSError(errno.ENOSPC, "No space left on device"), "sama: no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "x.mp4"), "Permission denied: 'x.mp4'"),
    ],
)
def test_error_is_one_line_on_stderr_and_code_2(
    error: BaseException, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(monkeypatch, error)
    assert main.main(["doctor"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert line in shown.err
    assert shown.err.count("\n") == 1


def test_bug_is_not_dressed_up_as_an_error_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main.main(["doctor"])


def test_reader_that_went_away_is_met_with_silence() -> None:
    code = (
        "import sys; from sama_plugin.cli import doctor, main\n"
        "doctor.run = lambda args: [print('line' * 100) for _ in range(10_000)] and 0\n"
        "sys.exit(main.main(['doctor']))"
    )
    command = f'{sys.executable} -c "{code}" | head -n 1'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr == ""


def test_verbose_may_stand_before_or_after_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(doctor, "run", lambda args: seen.append(args.verbose) or 0)
    for arguments in (["-v", "doctor"], ["doctor", "-v"], ["doctor"]):
        assert main.main(arguments) == 0
    assert seen == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "own", "passed_on"),
    [
        (["train", "tiny", "--out", "d"], ["train"], ["tiny", "--out", "d"]),
        (["train", "--", "--data_path", "x"], ["train"], ["--data_path", "x"]),
        (["train", "--data_path", "x"], ["train"], ["--data_path", "x"]),
        (["-v", "train", "tiny", "-v"], ["-v", "train"], ["tiny", "-v"]),
        (["train", "-h"], ["train", "-h"], []),
        (["chat", "train", "--ask", "x"], ["chat", "train", "--ask", "x"], []),
        ([], [], []),
    ],
)
def test_flags_of_training_are_passed_on_as_they_are(
    arguments: list[str], own: list[str], passed_on: list[str]
) -> None:
    assert train.split_arguments(arguments) == (own, passed_on)


def test_doctor_gives_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sama_plugin.host import doctor as rounds

    finding = rounds.Finding("host", rounds.MISSING, "wanted one", "pip install it")
    monkeypatch.setattr(rounds, "report", lambda: rounds.DoctorReport((finding,)))
    assert main.main(["doctor"]) == 1
    assert "run: pip install it" in capsys.readouterr().out


def test_shapes_writes_a_set_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s"
    assert main.main(["shapes", "--seed", "5", "--videos", "1", "--out", str(out)]) == 0
    assert (out / "videos" / "00000.mp4").is_file()
    assert f"1 videos of split 'test', seed 5: {out}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [("--videos", "0"), ("--seed", "-1"), ("--split", "trian"), ("--workers", "0")]
)
def test_shapes_refuses_bad_numbers_and_writes_nothing(
    change: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"--seed": "1", "--videos": "1", "--out": str(tmp_path / "s")} | dict([change])
    assert main.main(["shapes", *(word for pair in arguments.items() for word in pair)]) == 2
    assert change[0].strip("-") in capsys.readouterr().err.replace("num_", "")
    assert list(tmp_path.iterdir()) == []


def test_eval_refuses_unknown_benchmark_and_missing_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for benchmark, words in (("shape", "did you mean shapes"), ("shapes", "does not exist")):
        arguments = ["eval", benchmark, "--data", str(tmp_path / "d"), "--out", str(tmp_path / "e")]
        assert main.main(arguments) == 2
        assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_closed_streams_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert main.main(["shapes", "--seed", "1", "--videos", "0", "--out", "nowhere"]) == 2


def test_letters_a_terminal_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(written, encoding="ascii"))
    assert main.main(["shapes", "--seed", "1", "--videos", "0", "--out", "caf\u00e9"]) == 2
    sys.stderr.flush()
    assert b"sama: " in written.getvalue()
