"""Prediction files: shards become one set, and what is no prediction is said with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.predictions import Shard, align_predictions
from sama_plugin.media.masks import encode_mask

HEADER = {"schema": "sama.predictions/1", "benchmark": "mevis"}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def line(key: str, *ids: str) -> dict:
    return {"dialogue": key, "answers": [{"question_id": i, "raw": "yes"} for i in ids]}


def test_shards_of_a_run_are_one_set(tmp_path):
    for number, key in ((1, "a"), (2, "b")):
        path = tmp_path / f"predictions-{number}-of-2.jsonl"
        write(path, {**HEADER, "shard": f"{number}/2"}, line(key, "0"))
    found = PredictionSet(tmp_path)
    assert sorted(found.places) == ["a", "b"]
    assert found.header == HEADER
    assert parse_line(found.read("b")) == [{"question_id": "0", "raw": "yes"}]
    assert parse_line(found.read("c")) == []


def test_a_shard_that_is_missing_is_named(tmp_path):
    write(tmp_path / "predictions-1-of-3.jsonl", {**HEADER, "shard": "1/3"}, line("a"))
    with pytest.raises(DataError, match="2/3, 3/3 missing; run them first"):
        PredictionSet(tmp_path)


def test_files_of_different_runs_are_told_apart(tmp_path):
    for number, seed in ((1, 0), (2, 1)):
        path = tmp_path / f"predictions-{number}-of-2.jsonl"
        write(path, {**HEADER, "shard": f"{number}/2", "settings": {"seed": seed}})
    with pytest.raises(DataError, match=r"settings\.seed is 0 there and 1 now"):
        PredictionSet(tmp_path)
    write(tmp_path / "predictions-2-of-2.jsonl", HEADER)
    with pytest.raises(DataError, match="a file that is none"):
        PredictionSet(tmp_path)


def test_a_dialogue_that_is_there_twice_counts_once(tmp_path):
    found = PredictionSet(write(tmp_path / "p.jsonl", HEADER, line("a", "0"), line("a", "1")))
    assert [fault.rule for fault in found.faults] == ["duplicate_predictions"]
    assert parse_line(found.read("a"))[0]["question_id"] == "0"


def test_a_torn_last_line_does_not_count(tmp_path):
    path = write(tmp_path / "p.jsonl", HEADER, line("a", "0"))
    path.write_text(path.read_text() + '{"dialogue": "b", "ans')
    found = PredictionSet(path)
    assert ([fault.rule for fault in found.faults], list(found.places)) == (["torn_lines"], ["a"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "is empty"),
        ([{"schema": "else"}], "schema 'else' and benchmark None"),
        ([HEADER, {"dialogue": "a"}], r"line 2: expected 'dialogue' and a list 'answers'"),
        ([HEADER, ["a"]], "line 2 is no object"),
        ([{**HEADER, "settings": [1]}], r"line 1: 'settings' is '\[1\]', expected an object"),
    ],
)
def test_files_of_another_form_are_refused(rows, said, tmp_path):
    with pytest.raises(DataError, match=said):
        PredictionSet(write(tmp_path / "p.jsonl", *rows))


def test_a_folder_without_predictions_says_how_to_get_some(tmp_path):
    with pytest.raises(DataError, match=r"has no predictions\*\.jsonl; write some with"):
        PredictionSet(tmp_path)


def test_answers_are_put_in_the_order_of_the_questions():
    rows = [{"question_id": 1, "text": "one"}, {"question_id": "0", "raw": ""}, {"question_id": "9"}]
    aligned, faults = align_predictions(["0", "1", "2"], rows)
    assert [(p.question_id, p.raw, p.error) for p in aligned] == [
        ("0", "", None),
        ("1", "one", None),
        ("2", "", "no prediction"),
    ]
    assert sorted(f.rule for f in faults) == ["empty_answers", "extra_predictions", "missing_predictions"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("yes", "expected an object with 'question_id'"),
        ({"question_id": "0", "raw": 3}, "question '0': 'raw' is '3'"),
        ({"question_id": "0", "objects": [{"mask": 1}]}, "question '0', object 0"),
        ({"question_id": "0", "phrases": 7}, "question '0': 'phrases' is '7'"),
    ],
)
def test_answers_of_another_form_are_refused(row, said):
    with pytest.raises(DataError, match=said):
        align_predictions(["0"], [row])


def test_a_line_nested_too_deep_is_no_json(tmp_path):
    path = write(tmp_path / "p.jsonl", HEADER)
    path.write_text(path.read_text() + "[" * 100_000 + "\n")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        PredictionSet(path)


@pytest.mark.parametrize("score", [float("nan"), None, "high", 10**400])
def test_a_score_that_is_no_number_is_named_and_counts_as_0(score):
    rows = [{"question_id": "0", "objects": [{"rle": [], "score": score}]}]
    (found,), faults = align_predictions(["0"], rows)
    assert (found.objects[0].score, [fault.rule for fault in faults]) == (0.0, ["not_numbers"])


@pytest.mark.parametrize(
    "rle", ["abc", 3, [1, 2], {"counts": "abc"}, {"size": [2, 2], "counts": [-1, 5]}, {"size": [10**6] * 2}]
)
def test_masks_that_cannot_be_read_are_named_and_empty_even_where_an_object_has_no_other(rle):
    (found,), faults = align_predictions(
        ["0"], [{"question_id": "0", "objects": [{"rle": [None, rle, rle]}]}]
    )
    assert (found.objects[0].rle, found.shown) == ([None, None, None], [])
    assert [fault.rule for fault in faults] == ["unreadable_masks"]
    assert "question '0', object 0: 2 frames, first frame 1: Not a mask" in faults[0].said


def test_an_object_without_a_pixel_is_not_shown():
    empty, full = (encode_mask(np.full((2, 2), value)) for value in (False, True))
    things = [{"id": "none", "rle": [None, empty]}, {"id": "one", "rle": [empty, full]}]
    (found,), faults = align_predictions(["0"], [{"question_id": "0", "objects": things}])
    assert ([thing.id for thing in found.shown], faults) == (["one"], [])


def test_a_mask_of_no_size_is_named_and_empty():
    rle = {"size": [0, 0], "counts": []}
    (found,), faults = align_predictions(["0"], [{"question_id": "0", "objects": [{"rle": [rle]}]}])
    assert (found.objects[0].rle, [fault.rule for fault in faults]) == ([None], ["unreadable_masks"])


def test_a_refused_question_is_named_with_its_reason():
    _, faults = align_predictions(["0"], [{"question_id": "0", "error": "the video cannot be read"}])
    assert [tuple(fault) for fault in faults] == [
        ("refused_questions", "question '0': the video cannot be read")
    ]


def test_shards_are_every_nth(tmp_path):
    ids = list("abcdefg")
    parts = [Shard(k, 3).part(ids) for k in (1, 2, 3)]
    assert parts == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert str(Shard.parse("2/3")) == "2/3"
    for text in ("0/3", "4/3", "1", "a/b", "1/"):
        with pytest.raises(DataError, match="expected I/N"):
            Shard.parse(text)
