"""`sama card`: numbers come from results files of this very checkpoint, and from nowhere else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from sama_plugin.cli.main import main
from sama_plugin.evaluation.results import Results, fingerprint_folder, write_results

METRICS = {"J": 0.51234567, "F": None, "held_out/J": 0.25, "J/motion": 0.125}
SETTINGS = {
    "seed": 0,
    "temperature": 0.5,
    "max_new_tokens": 256,
    "bits": None,
    "device": "cpu",
    "dtype": "bfloat16",
}


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny", copy_function=os.link))


def measure(out: Path, folder: Path, **changed: Any) -> Path:
    """A results file of the checkpoint."""
    code = {"version": "0.1.0", "commit": "c" * 40, "checkpoint": fingerprint_folder(folder)}
    values: dict[str, Any] = {
        "benchmark": "shapes",
        "metrics": METRICS,
        "counts": {"J": 8},
        "settings": SETTINGS,
    }
    values |= {"code": code, "notes": ["Data made by `sama shapes --seed 1 --videos 2 --out DATA`."]}
    write_results(out, Results(**values | changed))
    return out


def test_card_has_the_numbers_of_the_results_file(folder: Path, tmp_path: Path, capsys: Any) -> None:
    results = measure(tmp_path / "results.json", folder)
    before = fingerprint_folder(folder)
    assert main(["card", str(folder), "--results", str(results), "--license", "apache-2.0", "--write"]) == 0
    assert capsys.readouterr().out == f"written: {folder / 'README.md'}\n"
    card = ModelCard((folder / "README.md").read_text())
    assert [(r.dataset_name, r.metric_name, r.metric_value) for r in card.data.eval_results] == [
        ("shapes", "J", 0.5123)
    ]
    for said in (
        f"Measured on checkpoint `{before[:12]}`",
        "sama eval shapes --data DATA --model CHECKPOINT --out OUT --temperature 0.5 --dtype bfloat16",
        "| metric | all | held out | cases |\n| --- | --: | --: | --: |\n| J | 0.512 | 0.250 | 8 |",
        "| J | motion | 0.125 |",
        "Data made by `sama shapes --seed 1 --videos 2 --out DATA`.",
        "Code: sama_plugin 0.1.0.",
    ):
        assert said in card.text
    assert fingerprint_folder(folder) == before, "the card does not make it another checkpoint"


def test_card_is_printed_and_nothing_is_written(folder: Path, capsys: Any) -> None:
    assert main(["card", str(folder), "--name", "owner/tiny"]) == 0
    assert 'path = "owner/tiny"' in capsys.readouterr().out
    assert not (folder / "README.md").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"code": {"checkpoint": "d" * 64}}, "has numbers of checkpoint dddddddddddd, the card is of"),
        ({"code": {"checkpoint": None}}, "has numbers of no checkpoint of SAMA"),
        ({"benchmark": ["no"]}, ""),
    ],
)
def test_results_of_something_else_are_refused(
    folder: Path, tmp_path: Path, capsys: Any, changed: dict[str, Any], message: str
) -> None:
    results = measure(tmp_path / "results.json", folder, **changed)
    if not message:
        results.write_text("{}")
        message = "has schema None"
    assert main(["card", str(folder), "--results", str(results), "--write"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (folder / "README.md").exists()


def test_numbers_of_other_weights_do_not_stay(folder: Path, tmp_path: Path, capsys: Any) -> None:
    results = measure(tmp_path / "results.json", folder)
    assert main(["card", str(folder), "--results", str(results), "--write"]) == 0
    capsys.readouterr()
    assert main(["card", str(folder), "--write", "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert "0.512" in (folder / "README.md").read_text()
    (folder / "generation_config.json").unlink()
    assert main(["card", str(folder), "--write"]) == 2
    assert "are of other weights than" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_folder_that_is_no_checkpoint_is_told(tmp_path: Path, capsys: Any, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["card", str(tmp_path / name)]) == 2
    assert f"{name} has no config.json" in capsys.readouterr().err


def test_shipped_card_is_what_the_command_makes(capsys: Any) -> None:
    import sama_plugin

    folder = Path(sama_plugin.shipped_checkpoint())
    name = folder.relative_to(Path(sama_plugin.__file__).parents[1]).as_posix()
    assert main(["card", str(folder), "--name", name]) == 0
    assert capsys.readouterr().out == (folder / "README.md").read_text()
