"""`answer.json`: the schema, and that masks come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.inference.answer_file import answer_document, format_document, write_answer_file
from sama_plugin.media.masks import decode_mask, decode_track
from tests.inference.made_answers import (
    HEIGHT,
    NUM_FRAMES,
    WIDTH,
    make_answers,
    make_clip,
    make_regions,
    square_tracks,
)


@pytest.fixture
def document(tmp_path: Path) -> dict:
    clip = make_clip(tmp_path)
    write_answer_file(tmp_path / "a.json", answer_document(clip, make_answers(), make_regions()))
    return json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))


def test_document_has_the_schema(document: dict, tmp_path: Path) -> None:
    assert document["schema"] == "sama.answer/1"
    assert document["video"] == {
        "path": str(tmp_path / "squares.mp4"),
        "num_frames": NUM_FRAMES,
        "height": HEIGHT,
        "width": WIDTH,
        "fps": 8.0,
    }
    turn = document["turns"][1]
    assert list(turn) == ["question", "answer", "raw", "objects", "timing_s", "counters"]
    assert set(turn["timing_s"]) == {"encode", "first_token", "generate", "ground"}
    assert set(turn["counters"]) == {
        "vision_frames_encoded",
        "sam2_frames_encoded",
        "prefix_tokens_reused",
        "prefix_tokens_computed",
    }
    assert list(turn["objects"][0]) == ["id", "phrase", "score", "spans_s", "rle"]
    assert [len(t["objects"]) for t in document["turns"]] == [0, 2, 0]


def test_masks_come_back_with_null_where_absent(document: dict) -> None:
    one, two = document["turns"][1]["objects"]
    np.testing.assert_array_equal(decode_track(one["rle"]), square_tracks()[0])
    np.testing.assert_array_equal(decode_track(two["rle"]), square_tracks()[1])
    assert two["rle"][:4] == [None] * 4
    assert two["spans_s"] == [[0.5, 1.0]]


def test_regions_are_kept_with_frame_and_mask(document: dict) -> None:
    (region,) = document["regions"]
    assert (region["name"], region["frame"], region["kind"]) == ("r1", 2, "box")
    np.testing.assert_array_equal(decode_mask(region["rle"]), make_regions()[0].mask)


def test_words_of_any_language_stay_readable() -> None:
    assert "größer" in format_document({"question": "Ist <obj1> größer?"})


def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(MediaError, match=r"Cannot write '.*a\.json': No space left"):
        write_answer_file(target, {})
    monkeypatch.undo()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
