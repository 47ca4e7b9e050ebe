from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.cli.main import main
from tests.evaluation.fake_answerers import write_shapes


def test_rows_are_run_scored_and_printed_and_a_second_run_asks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data, out = write_shapes(tmp_path / "data"), tmp_path / "out"
    command = ["eval", "paper", "--data", str(data), "--out", str(out), "--benchmark", "shapes"]
    command += ["--row", "truth", "--row", "random:seed=3,count=2"]
    assert main(command) == 0
    table = capsys.readouterr().out
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("|")]
    assert [name.strip() for name, _ in rows[2:]] == ["truth", "random:seed=3,count=2"]
    assert rows[2][1].strip() == "100.0"
    predictions = {path: path.stat().st_mtime_ns for path in out.rglob("predictions.jsonl")}
    assert {path.parent.parent.name for path in predictions} == {"truth", "random_seed_3_count_2"}
    assert main(command) == 0
    assert capsys.readouterr().out == table
    assert {path: path.stat().st_mtime_ns for path in predictions} == predictions


def test_other_data_in_the_same_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [
        "eval",
        "paper",
        "--out",
        str(tmp_path / "out"),
        "--benchmark",
        "shapes",
        "--row",
        "nothing",
        "--data",
    ]
    assert main([*command, str(write_shapes(tmp_path / "one"))]) == 0
    other = write_shapes(tmp_path / "two")
    masks = other / "mask_dict.json"
    masks.write_text(masks.read_text() + "\n")
    assert main([*command, str(other)]) == 2
    assert "data" in capsys.readouterr().err


@pytest.mark.parametrize("row", ["model", "sam2", "llava:model=none"])
def test_rows_that_need_videos_are_not_asked_without(
    row: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    data, out = write_shapes(tmp_path / "data"), tmp_path / "out"
    command = ["eval", "paper", "--data", str(data), "--out", str(out), "--benchmark", "shapes"]
    assert main([*command, "--row", row]) == 2
    assert "2 of the 2 videos of 'shapes' are not there" in capsys.readouterr().err
    assert not list(out.rglob("predictions.jsonl"))


def test_unknown_rows_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    data = write_shapes(tmp_path / "data")
    command = [
        "eval",
        "paper",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--row",
        "sam",
        "--benchmark",
        "shapes",
    ]
    assert main(command) == 2
    assert "did you mean sam2" in capsys.readouterr().err
