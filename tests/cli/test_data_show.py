from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sama_plugin.cli.main import main


def test_page_is_named_and_faults_are_told(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    shutil.copytree(shapes_set, folder)
    (folder / "videos/00001.mp4").unlink()
    out = tmp_path / "out"
    assert main(["data", "show", str(folder), "--out", str(out), "--num", "4", "--frames", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == f"4 samples: {out / 'index.html'}"
    assert "00001.mp4' does not exist" in printed.err


def test_a_folder_that_cannot_be_made_is_refused_before_work(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["data", "show", str(shapes_set), "--out", str(tmp_path / "file/out")]) == 2
    assert "is not a folder" in capsys.readouterr().err
