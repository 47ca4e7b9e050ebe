"""`sama completion`: a real shell takes the script, and completes verbs, options, choices, files and folders."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from sama_plugin.cli.main import main

DRIVER = """\
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
name=$(complete -p sama | sed 's/.*-F \\([^ ]*\\).*/\\1/')
"$name" sama "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, in a file."""
    path = tmp_path_factory.mktemp("completion") / "sama"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as out:
        patch.setattr("sys.stdout", out)
        assert main(["completion", "bash"]) == 0
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a video, a file and a folder."""
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "clips.json").touch()
    (tmp_path / "clippings").mkdir()
    return tmp_path


def completions(script: Path, line: str, folder: Path) -> set[str]:
    """What bash offers after TAB at the end of a line."""
    done = subprocess.run(
        ["bash", "--norc", "-c", DRIVER, "bash", str(script), *line.split(" ")],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.splitlines()}


def test_bash_takes_the_script(bash_script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(bash_script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sama ch", {"chat"}),
        ("sama data c", {"check", "convert"}),
        ("sama eval sh", {"shapes"}),
        ("sama train ti", {"tiny"}),
        ("sama chat --sam2", {"--sam2-size", "--sam2-memory", "--sam2-disk"}),
        ("sama chat --dtype fl", {"float32", "float16"}),
        ("sama chat cli", {"clip.mp4", "clips.json", "clippings"}),
        ("sama chat clip.mp4 --out cli", {"clippings"}),
        ("sama chat clip.mp4 --batch cli", {"clip.mp4", "clips.json", "clippings"}),
        ("sama data check --depth h", {"headers"}),
        ("sama eval list mev", {"mevis"}),
    ],
)
def test_bash_completes(bash_script: Path, folder: Path, line: str, offered: set[str]) -> None:
    assert completions(bash_script, line, folder) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish", "tcsh"])
def test_other_shells_get_a_script_that_they_take(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "chat" in script
    if shutil.which(shell):
        (tmp_path / "sama").write_text(script)
        subprocess.run([shell, "-n", str(tmp_path / "sama")], check=True)


def test_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["completion", "bahs"])
    assert "there is no 'bahs' (did you mean bash?); see sama completion --help" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    (folder / "sama.fish").write_text(capsys.readouterr().out)
    ask = 'source sama.fish; complete -C "sama ch"; complete -C "sama chat --dtype fl"'
    done = subprocess.run(["fish", "-N", "-c", ask], capture_output=True, text=True, check=True, cwd=folder)
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == {"chat", "float16", "float32"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_at_a_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    (folder / "_sama").write_text(capsys.readouterr().out)
    screen, keyboard = pty.openpty()
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=keyboard,
        stdout=keyboard,
        stderr=keyboard,
        cwd=folder,
        start_new_session=True,
    )
    os.close(keyboard)
    os.write(screen, b"fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; sama() { print got:$1 }\n")
    os.write(screen, b"sama cha\t\n")
    shown = b""
    while b"got:chat" not in shown:
        ready, _, _ = select.select([screen], [], [], 30)
        assert ready, shown
        shown += os.read(screen, 4096)
    shell.kill()
    shell.wait()
    os.close(screen)
