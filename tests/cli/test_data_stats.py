from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sama_plugin.cli.main import main


def test_tables_values_and_page(shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_path, html_path = tmp_path / "stats.json", tmp_path / "stats.html"
    assert main(["data", "stats", str(shapes_set), "--json", str(json_path), "--html", str(html_path)]) == 0
    assert "referring" in capsys.readouterr().out
    assert [one["name"] for one in json.loads(json_path.read_text())["sources"]] == [shapes_set.name]
    assert html_path.read_text().startswith("<!doctype html>")


def test_corpora_of_one_name_are_told_apart(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / shapes_set.name
    shutil.copytree(shapes_set, other)
    assert main(["data", "stats", str(shapes_set), str(other)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]]
    assert names == [str(shapes_set / "records.json"), str(other / "records.json"), "all"]


def test_a_mixture_is_counted_as_training_sees_it(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"json_path": "records.json", "mask_path": "mask_dict.json", "video_root": ".", "repeat": 3}
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(json.dumps({"datasets": [entry]}))
    assert main(["data", "stats", str(mixture), "--root", str(shapes_set)]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:3] == ["records.json", "2", "12"]
    assert main(["data", "stats", str(mixture), str(shapes_set), "--root", str(shapes_set)]) == 2
    assert "counted alone" in capsys.readouterr().err


def test_places_that_cannot_be_written_are_told_before_work(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["data", "stats", str(shapes_set), "--html", str(tmp_path / "file/page.html")]) == 2
    printed = capsys.readouterr()
    assert "is not a folder" in printed.err
    assert printed.out == ""
