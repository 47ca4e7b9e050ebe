from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.cli.main import main as cli
from sama_plugin.data import preparation
from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.media.encode import write_video
from tests.data.published_fixture import PublishedSet, change_record, write_published


@pytest.fixture
def published(tmp_path: Path) -> PublishedSet:
    return write_published(tmp_path / "sama")


def lines_of(text: str) -> list[str]:
    return text.strip().splitlines()


def test_published_root_is_found_indexed_and_left_alone_the_next_time(
    published: PublishedSet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli(["data", "prepare", str(published.root)]) == 0
    first, *masks, examples, media = lines_of(capsys.readouterr().out)
    assert "6 records (VidSTG 1, lvvis 1, mevis 2, ref_youtube_vos 1, sav 1); index" in first
    assert "built in" in first
    assert len(masks) == 5
    assert examples == "  11 dialogues with 16 turns can be trained on"
    assert media == f"  media: 6 of 6 videos are in {published.media}"
    assert isinstance(open_corpus(published.records[0], published.masks, published.media), IndexedCorpus)
    monkeypatch.setattr(preparation, "build_index", lambda *args, **kwargs: pytest.fail("built again"))
    assert cli(["data", "prepare", str(published.root)]) == 0
    assert "was there and fits" in capsys.readouterr().out


def test_shards_are_prepared_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = write_published(tmp_path, "val")
    assert cli(["data", "prepare", str(published.root), "--workers", "2"]) == 0
    shown = [line for line in lines_of(capsys.readouterr().out) if "index" in line]
    assert len(shown) == len(published.records)
    assert all(path.with_name(path.name + ".index").is_file() for path in published.records)


def test_all_missing_dictionaries_are_told_at_once(
    published: PublishedSet, capsys: pytest.CaptureFixture[str]
) -> None:
    for dataset in ("mevis", "sav"):
        published.dictionary(dataset).unlink()
    assert cli(["data", "prepare", str(published.root)]) == 2
    error = capsys.readouterr().err
    assert "needs SAV_mask_dict_train.json, mevis_train_mask_dict.json, which" in error
    assert "--masks" in error


def test_defects_and_missing_videos_are_told(
    published: PublishedSet, capsys: pytest.CaptureFixture[str]
) -> None:
    change_record(0, lambda record: record.update(obj_masks=[[], []]))(published)
    shutil.rmtree(published.media / "lvvis")
    assert cli(["data", "prepare", str(published.root)]) == 1
    out = capsys.readouterr().out
    assert "  defects, in records: 1 region-count; `sama data check` says where" in out
    assert "  media: 5 of 6 videos are in" in out
    assert "; missing: " in out


def test_frames_of_vidstg_are_extracted_to_where_records_look(
    published: PublishedSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [video] = [
        record["video"]
        for record in json.loads(published.records[0].read_text())
        if "VidSTG" in record["video"]
    ]
    shutil.rmtree(published.media / video)
    (tmp_path / "raw").mkdir()
    frames = [np.full((24, 32, 3), 9, dtype=np.uint8)] * 9
    write_video(tmp_path / "raw" / f"{Path(video).name}.mp4", frames, fps=5)
    assert cli(["data", "prepare", str(published.root), "--vidstg", str(tmp_path / "raw")]) == 0
    assert "  frames: 1 folders written to" in capsys.readouterr().out
    assert sorted(path.name for path in (published.media / video).iterdir()) == [
        "frame_0.jpg",
        "frame_4.jpg",
        "frame_8.jpg",
    ]


def test_index_can_lie_elsewhere(
    published: PublishedSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "elsewhere.index"
    assert cli(["data", "prepare", str(published.records[0]), "--index", str(index)]) == 0
    assert list(published.root.glob("*.index")) == []
    found = open_corpus(published.records[0], published.masks, published.media, index=index)
    assert isinstance(found, IndexedCorpus)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{root}/media"], "has no records.json and none of sama239k_train_final.json"),
        (["{root}/none.json"], "none.json does not exist"),
        (["{root}", "--workers", "0"], "workers is 0, expected 1 or more"),
        (["{root}", "--index", "{root}/masks"], "is a folder; give a file for the index"),
    ],
)
def test_wrong_arguments_end_with_one_line(
    published: PublishedSet, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli(["data", "prepare", *(word.format(root=published.root) for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_records_are_not_counted_as_masks_where_the_path_is_relative(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("records.json", "mask_dict.json"):
        shutil.copy(shapes_set / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert cli(["data", "prepare", ".", "--media", str(shapes_set)]) == 0
    (masks,) = (line for line in lines_of(capsys.readouterr().out) if "masks:" in line)
    assert masks.endswith("tracks in mask_dict.json")


def test_video_whose_name_is_too_long_for_a_file_is_missing(
    published: PublishedSet, capsys: pytest.CaptureFixture[str]
) -> None:
    change_record(0, lambda record: record.update(video="mevis/" + 300 * "x"))(published)
    assert cli(["data", "prepare", str(published.root)]) == 1
    assert "missing:" in capsys.readouterr().out
