"""`sama data split` and `sama data balance` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sama_plugin.cli.main import main


def test_split_says_what_is_in_each_part(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "split", str(shapes_set), "--out", str(tmp_path), "--parts", "a=1", "b=rest"]) == 0
    printed = capsys.readouterr().out
    assert "multi_turn" in printed or "referring" in printed
    assert f"media stay in {shapes_set}" in printed
    assert (tmp_path / "b/mask_dict.json").is_file()


def test_balance_says_what_was_kept_and_why(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--cap", "task:referring=12", "--lengths", "10", "20", "--out", str(tmp_path)]
    assert main(["data", "balance", str(shapes_set), *arguments]) == 0
    assert "task:referring" in capsys.readouterr().out
    cells = json.loads((tmp_path / "balance.json").read_text())["cells"]
    (referring,) = (cell for cell in cells if cell["name"] == "referring")
    assert referring["kept"] <= 12 == referring["limit"]
    assert (tmp_path / "balance.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["balance", "--total", "0"],
            "No record fits: each has more turns than there is room for in all of at most 0",
        ),
        (["balance", "--cap", "task=3"], "expected such as task:referring=0.3"),
        (["balance", "--cap", "task:referring=0.3"], "--cap is 'task:referring=0.3'"),
        (["balance", "--share", "colour:red=0.3"], "--share is 'colour:red=0.3'"),
        (["balance", "--seed", "-1"], "expected 0 or more"),
        (["split", "--seed", "-1"], "expected 0 or more"),
        (["split", "--parts", "a"], "size ''"),
    ],
)
def test_bad_options_are_told_in_one_line(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    command, *options = arguments
    assert main(["data", command, str(shapes_set), "--out", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
