"""The command as a whole: light to start, and every error of the user's one line with its exit code."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.cli import doctor, main, train
from sama_plugin.errors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `sama doctor` end with an error."""

    def run(args: object) -> int:
        raise error

    monkeypatch.setattr(doctor, "run", run)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["chta"], "sama: there is no command 'chta' (did you mean chat?); see sama --help"),
        (["data", "chekc"], "sama: there is no command 'chekc' (did you mean check?); see sama data --help"),
        (["xyzzy"], "sama: there is no command 'xyzzy', expected demo, doctor, chat"),
        (
            ["chat", "--modle", "x"],
            "sama: there is no option --modle (did you mean --model?); see sama chat --help",
        ),
        (["chat", "a.mp4", "-z"], "sama: there is no option -z; see sama chat --help"),
        (["chat", "a.mp4", "b.mp4"], "sama: 'b.mp4' is one word too many; see sama chat --help"),
        (["--vresion"], "sama: there is no option --vresion (did you mean --version?); see sama --help"),
        (
            ["shapes", "--sed", "1"],
            "sama: there is no option --sed (did you mean --seed?); see sama shapes --help",
        ),
        (["shapes", "--seed", "x"], "sama: argument --seed: invalid int value: 'x'; see sama shapes --help"),
        (["shapes", "--seed"], "sama: argument --seed: expected one argument; see sama shapes --help"),
        (["shapes"], "sama: the following arguments are required: --seed, --videos, --out; see sama shapes"),
        (
            ["chat", "a", "--dtype", "float23"],
            "sama: argument --dtype: there is no 'float23' (did you mean float32",
        ),
        (
            ["chat", "a", "--bits", "5"],
            "sama: argument --bits: there is no '5', expected 4, 8; see sama chat --help",
        ),
    ],
)
def test_malformed_command_is_one_line_with_what_was_meant(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(line)
    assert (shown.err.count("\n"), shown.out) == (1, "")


def test_question_may_look_like_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["chat", "nothing.mp4", "--ask", "--what is this?", "--ask=--modle"]) == 2
    assert "'nothing.mp4' does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["data"], ["eval"], ["bench"]])
def test_no_verb_shows_help_and_exits_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(arguments) == 2
    assert "usage: sama" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (CheckpointError("no config\nin folder"), "sama: no config in folder", 2),
        (KeyboardInterrupt(), "sama: interrupted; nothing half-written is left.", 130),
        (OSError(errno.ENOSPC, "No space left on device"), "sama: no space left on the disk", 2),
        (PermissionError(errno.EACCES, "Permission denied", "x.mp4"), "Permission denied: 'x.mp4'", 2),
        (
            ModuleNotFoundError("No module named 'av'", name="av"),
            "'av' is not installed; `sama doctor` says",
            2,
        ),
    ],
)
def test_error_is_one_line_on_stderr(
    error: BaseException,
    line: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raising(monkeypatch, error)
    assert main.main(["doctor"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert line in shown.err
    assert shown.err.count("\n") == 1


def test_bug_is_not_dressed_up_as_an_error_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ZeroDivisionError("a bug"), ModuleNotFoundError("x", name="sama_plugin.cli.nowhere")):
        raising(monkeypatch, error)
        with pytest.raises(type(error)):
            main.main(["doctor"])


def as_process(run: str, after: str = "") -> subprocess.CompletedProcess[str]:
    """`sama doctor` in a shell, with a body of its own; its exit code is printed last."""
    code = (
        "import os, signal, sys; from sama_plugin.cli import doctor, main\n"
        f"doctor.run = lambda args: {run}\n"
        "sys.argv[1:] = ['doctor']; main.run_process()"
    )
    command = f'{sys.executable} -c "{code}" {after}; echo ${{PIPESTATUS[0]}}'
    return subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # pytest-xdist's processes pass it over
    )


def test_reader_that_went_away_is_met_with_silence() -> None:
    done = as_process("[print('line' * 100) for _ in range(10_000)] and 0", "| head -n 1")
    assert done.stderr == ""
    assert done.stdout.endswith("line\n141\n")


def test_bug_ends_a_process_with_its_traceback_and_a_code_of_its_own() -> None:
    done = as_process("1 / 0")
    assert "ZeroDivisionError" in done.stderr
    assert "sama: this is a defect of sama" in done.stderr.splitlines()[-1]
    assert done.stdout == "70\n"


def test_interrupted_process_has_the_exit_code_of_its_signal() -> None:
    done = as_process("os.kill(os.getpid(), signal.SIGINT)")
    assert done.stderr.splitlines()[0] == "sama: interrupted; nothing half-written is left."
    assert done.stdout == "130\n"


def test_interruption_at_a_terminal_ends_a_script_that_called_it() -> None:
    """Not so if the process ended with exit code 130 of its own: bash goes on then."""
    done = as_process(
        "print('begun', flush=True) or os.kill(0, signal.SIGINT)"
    )  # 0: all processes of the terminal
    assert done.stdout == "begun\n"
    assert done.returncode == -signal.SIGINT


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
    monkeypatch.setattr(rounds, "examine", lambda: iter([finding]))
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
