"""No command of `sama data`, nor `sama annotate`, writes over the files that it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sama_plugin.cli.main import main as cli
from tests.data.published_fixture import write_published


@pytest.mark.parametrize(
    "command",
    [
        "data balance {set} --cap task:referring=3 --out {set}",
        "data split {set} --parts a=1 b=rest --out {set}/..",
        "data export {set} --out {set}",
        "data export {set} --name mask_dict.json --out {set}/new",
        "data export {set} --name ../a/records.json --out {set}/new",
        "data convert {set} --to clean --out {set}",
        "data check {set} --html {set}/records.json",
        "data check {set} --json {set}/mask_dict.json",
        "data stats {set} --json {set}/records.json",
        "data prepare {set} --index {set}/records.json",
        "annotate {set}/records.json --out {set}",
    ],
)
def test_own_files_are_refused_as_outputs(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(shapes_set, folder)
    before = {path: path.read_bytes() for path in folder.glob("*.json")}
    assert cli(command.format(set=folder).split()) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.glob("*.json")} == before


def test_published_dictionaries_are_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = write_published(tmp_path / "sama")
    (records,) = published.records
    assert cli(["data", "export", str(records), "--out", str(published.root)]) == 2
    assert "would destroy the data" in capsys.readouterr().err


def test_hand_written_masks_are_not_written_over(
    shapes_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = tmp_path / "mask_dict.json"
    shutil.copy(shapes_set / "mask_dict.json", masks)
    shutil.copy(shapes_set / "videos" / "00000.mp4", tmp_path / "clip.mp4")
    turn = {"question": "What is <it>?", "answer": "Only <p>this</p>[SEG:it]."}
    key = str(json.loads((shapes_set / "records.json").read_text())[0]["anno_map"][0])
    item = {"video": "clip.mp4", "regions": {"it": {"masks": masks.name, "id": key}}, "turns": [turn]}
    own = tmp_path / "own.json"
    own.write_text(json.dumps([item]))
    before = masks.read_bytes()
    convert = ["data", "convert", str(own), "--from", "own", "--to", "train", "--out"]
    assert cli([*convert, str(tmp_path)]) == 2
    assert "would destroy the data" in capsys.readouterr().err
    assert masks.read_bytes() == before
    assert cli([*convert, str(tmp_path / "out")]) == 0
