"""`sama data split` and `sama data balance` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sama_plugin.cli.main import main
from tests.data.published_fixture import write_published


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


@pytest.mark.parametrize(
    "command",
    [
        "stats {root}",
        "show {root} --num 2 --frames 1 --out {out}",
        "split {root} --parts a=1 b=rest --out {out}",
        "balance {root} --out {out}",
        "export {root} --out {out}",
        "convert {root} --to clean --out {out}",
    ],
)
def test_root_with_published_files_is_taken_by_every_command(tmp_path: Path, command: str) -> None:
    published = write_published(tmp_path / "sama")
    assert main(["data", *command.format(root=published.root, out=tmp_path / "out").split()]) == 0


def test_root_with_several_files_of_records_is_refused_where_one_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = write_published(tmp_path / "bench", "val")
    assert main(["data", "export", str(published.root), "--out", str(tmp_path / "out")]) == 2
    assert "files of records, mevis.json" in capsys.readouterr().err
    assert main(["data", "stats", str(published.root)]) == 0


def test_folder_of_a_report_is_made(shapes_set: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "report.html"
    assert main(["data", "check", str(shapes_set), "--depth", "none", "--html", str(page)]) == 0
    assert page.is_file()


@pytest.mark.parametrize("command", ["export {set}", "convert {set} --to clean", "extract {set}/videos"])
def test_file_in_the_way_of_a_folder_is_told(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "out").touch()
    assert main(["data", *command.format(set=shapes_set).split(), "--out", str(tmp_path / "out")]) == 2
    assert "is not a folder; choose another place" in capsys.readouterr().err
