from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sama_plugin.cli.main import main as cli
from sama_plugin.media.masks import box_of_mask, decode_mask, decode_track
from tests.data.made_samples import mask_ids


@pytest.fixture
def own(shapes_set: Path, tmp_path: Path) -> Path:
    """A clip of the small world and a file about it, in which an object has a box on one frame."""
    shutil.copy(shapes_set / "videos" / "00000.mp4", tmp_path / "clip.mp4")
    track = json.loads((shapes_set / "mask_dict.json").read_text())[mask_ids(shapes_set, "00000")[0]]
    frame = next(i for i, rle in enumerate(track) if rle is not None)
    box = ",".join(map(str, box_of_mask(decode_mask(track[frame]))))
    turn = {"question": "What is <it>?", "answer": "Only <p>this</p>[SEG:it]."}
    item = {"video": "clip.mp4", "regions": {"it": f"box@{frame}:{box}"}, "turns": [turn]}
    (tmp_path / "own.json").write_text(json.dumps([item]))
    return tmp_path / "own.json"


def test_boxes_become_tracks_by_sam2_and_the_set_is_clean(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = own.parent / "out"
    assert (
        cli(["data", "convert", str(own), "--from", "own", "--to", "train", "--sam2", "--out", str(out)]) == 0
    )
    assert f"1 records written: {out}; media stay in {own.parent}" in capsys.readouterr().out
    (track,) = json.loads((out / "mask_dict.json").read_text()).values()
    assert decode_track(track).any(axis=(1, 2)).sum() > 1
    assert cli(["data", "check", str(out), "--media", str(own.parent)]) == 0


def test_boxes_alone_are_refused_with_the_remedy(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = own.parent / "out"
    assert cli(["data", "convert", str(own), "--from", "own", "--to", "train", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "regions.it is a box, which is no mask; let SAM2 make one: sama data convert --sam2" in error
    assert not out.exists()


def test_options_that_do_not_go_together_are_refused(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert = ["data", "convert", str(own), "--out", str(own.parent / "out"), "--to"]
    assert cli([*convert, "bench", "--from", "own"]) == 2
    assert "--from own makes training data" in capsys.readouterr().err
    assert cli([*convert, "train", "--sam2"]) == 2
    assert "--sam2 makes tracks of hand-written files" in capsys.readouterr().err


def test_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli(["data", "convert", "--schema"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["title"] == "Hand-written training data for SAMA"
