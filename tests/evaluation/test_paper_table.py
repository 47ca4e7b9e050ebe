"""The table of the paper: rows of models, empty cells with their reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.cli import main
from sama_plugin.errors import DataError
from sama_plugin.evaluation.paper_table import format_paper_table, read_model
from sama_plugin.evaluation.results import Results, write_results


def write(
    folder: Path, benchmark: str, absent: dict[str, str] | None = None, **metrics: float | None
) -> None:
    (folder / benchmark).mkdir(parents=True)
    named = {name.replace("and", "&"): value for name, value in metrics.items()}
    results = Results(benchmark, named, {}, {}, {}, "d", absent or {})
    write_results(folder / benchmark / "results.json", results)


def rows(table: str) -> dict[str, list[list[str]]]:
    """Title of a section → its cells, without the rule."""
    sections: dict[str, list[list[str]]] = {}
    title = ""
    for line in table.splitlines():
        if line.startswith("**"):
            title = line.strip("*")
            sections[title] = []
        elif line.startswith("| "):
            sections[title].append([cell.strip() for cell in line.strip("|").split("|")])
    return sections


@pytest.fixture
def ours(tmp_path):
    folder = tmp_path / "ours"
    write(folder, "sama-bench-g", {"METEOR": "no Java"}, mIoU=0.5, recall=0.25, METEOR=None, CIDEr=0.8)
    write(folder, "sama-bench-dialogue", mIoU=0.3, recall=0.15, METEOR=0.2, CIDEr=0.4)
    write(folder, "sama-bench-c", METEOR=0.1, CIDEr=0.6)
    write(folder, "mevis", JandF=0.4321)
    return folder


def test_cells_are_percent_and_empty_ones_say_why(ours, tmp_path):
    write(tmp_path / "whole frame", "mevis", JandF=0.1)
    table = format_paper_table([read_model(str(ours)), read_model(f"baseline={tmp_path / 'whole frame'}")])
    found = rows(table)
    assert found["overall"][0][1:] == ["mIoU", "recall", "METEOR", "CIDEr", "CLAIR"]
    assert found["overall"][1][:3] == ["ours", "40.0", "20.0"]
    assert found["overall"][1][4] == "60.0"
    assert found["grounding (SAMA-Bench-G)"][1][1:3] == ["50.0", "25.0"]
    segmentation = found["referring segmentation of videos, J&F"]
    assert [row[1] for row in segmentation] == ["MeViS", "43.2", "10.0"]
    assert "moving shapes" not in found
    mark = found["grounding (SAMA-Bench-G)"][1][3].removeprefix("- ")
    assert f"{mark} no Java" in table
    mark = segmentation[1][2].removeprefix("- ")
    assert f"{mark} its server scores it" in table


def test_two_results_of_a_benchmark_or_two_rows_of_a_name_are_refused(ours):
    write(ours / "again", "mevis", JandF=0.1)
    with pytest.raises(DataError, match="has two results of 'mevis'"):
        read_model(str(ours))
    model = read_model(str(ours / "mevis"))
    with pytest.raises(DataError, match="Two rows are called the same"):
        format_paper_table([model, model])


def test_the_command_prints_it_and_says_where_nothing_is(ours, tmp_path, capsys):
    assert main.main(["eval", "table", f"SAMA={ours}"]) == 0
    assert "| SAMA" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main.main(["eval", "table", str(tmp_path / "empty")]) == 2
    assert "There is no results.json in" in capsys.readouterr().err
