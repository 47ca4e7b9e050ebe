from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data.sources.sama239k import INTERLEAVED_REQUEST, read_records
from sama_plugin.errors import DataError

RECORD: dict[str, Any] = {
    "video": "mevis/train/JPEGImages/ab12cd34",
    "video_id": "ab12cd34",
    "height": 720,
    "width": 1280,
    "frames": ["00000", "00001", "00002"],
    "anno_map": [41, 42],
    "conversation": [
        {"from": "human", "value": "What does <mask> do once <mask> turns left?"},
        {
            "from": "gpt",
            "value": "<p> The small goat </p> [SEG] trots behind <p> the tall goat </p> [SEG].",
        },
    ],
    "obj_masks": [[41, 42]],
    "groundtruth": [[[41], [42]]],
    "description": {"<obj0>": "A small white goat.", "<obj1>": "A tall brown goat."},
}
RLE = {"size": [720, 1280], "counts": "0"}
MASKS = {"41": [RLE, None, RLE], "42": [None, None, RLE], "43": [RLE, RLE, RLE]}


def read(folder: Path, records: Any, masks: Any = MASKS, **settings: Any) -> list:
    (folder / "records.json").write_text(json.dumps(records))
    (folder / "masks.json").write_text(json.dumps(masks))
    return list(read_records(folder / "records.json", folder / "masks.json", folder / "root", **settings))


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(RECORD) | values


def test_example_of_the_format_is_read(tmp_path: Path) -> None:
    ((sample, raw),) = read(tmp_path, [RECORD])
    assert raw == RECORD
    assert sample.sample_id == "ab12cd34/0"
    assert sample.video_path == str(tmp_path / "root" / "mevis/train/JPEGImages/ab12cd34")
    assert sample.source == "sama239k"
    assert sample.masks == {"41": MASKS["41"], "42": MASKS["42"]}
    (turn,) = sample.turns
    assert turn.question == "What does <mask> do once <mask> turns left?" + INTERLEAVED_REQUEST
    assert turn.answer == RECORD["conversation"][1]["value"]
    assert turn.region_ids == ("41", "42")
    assert turn.target_ids == (("41",), ("42",))


def test_old_tokens_mean_the_new_ones(tmp_path: Path) -> None:
    old = [
        RECORD["conversation"][0],
        {"from": "gpt", "value": "<g_s> The goat <g_e> <seg> and <g_s>it<g_e><seg>"},
    ]
    ((sample, _),) = read(tmp_path, [changed(conversation=old)])
    assert sample.turns[0].answer == "<p> The goat </p> [SEG] and <p>it</p>[SEG]"


@pytest.mark.parametrize("mark", ["<image>\n", "<video>\n", "\n<image>", "<image>"])
def test_media_mark_is_taken_out(tmp_path: Path, mark: str) -> None:
    question = "What does <mask> do once <mask> turns left?"
    asked = question + mark if mark.startswith("\n") else mark + question
    conversation = [{"from": "human", "value": asked}, RECORD["conversation"][1]]
    ((sample, _),) = read(tmp_path, [changed(conversation=conversation)])
    assert sample.turns[0].question == question + INTERLEAVED_REQUEST


def test_only_published_sets_are_asked_for_masks(tmp_path: Path) -> None:
    ((sample, _),) = read(tmp_path, [changed(video="mine/goats")])
    assert sample.turns[0].question == "What does <mask> do once <mask> turns left?"


def test_request_for_masks_is_added_once_where_masks_are_answered(tmp_path: Path) -> None:
    rounds = [
        *RECORD["conversation"],
        {"from": "human", "value": "And then? Response with interleaved segmentation masks."},
        {"from": "gpt", "value": "It stops [SEG]."},
        {"from": "human", "value": "Why?"},
        {"from": "gpt", "value": "It eats."},
    ]
    record = changed(
        conversation=rounds, obj_masks=[[41, 42], [], []], groundtruth=[[[41], [42]], [[41]], []]
    )
    ((sample, _),) = read(tmp_path, [record])
    assert [turn.question for turn in sample.turns] == [
        "What does <mask> do once <mask> turns left? Response with interleaved segmentation masks.",
        "And then? Response with interleaved segmentation masks.",
        "Why?",
    ]


def test_several_ids_for_one_seg_and_entries_that_stand_for_none(tmp_path: Path) -> None:
    ((sample, _),) = read(tmp_path, [changed(groundtruth=[[[41, 43], [], [42]]])])
    assert sample.turns[0].target_ids == (("41", "43"), ("42",))


def test_odd_tail_is_left_out(tmp_path: Path) -> None:
    longer = changed(conversation=[*RECORD["conversation"], {"from": "human", "value": "And?"}])
    ((sample, _),) = read(tmp_path, [longer])
    assert len(sample.turns) == 1


@pytest.mark.parametrize(
    ("part", "ids"),
    [
        ("either", ["ab12cd34/0/description", "ab12cd34/1"]),
        ("conversation", ["ab12cd34/1"]),
        ("description", ["ab12cd34/0/description", "ab12cd34/1/description"]),
        ("both", ["ab12cd34/0/description", "ab12cd34/1", "ab12cd34/1/description"]),
    ],
)
def test_descriptions_are_questions_about_one_region(tmp_path: Path, part: str, ids: list[str]) -> None:
    told = changed()
    del told["conversation"]
    samples = [sample for sample, _ in read(tmp_path, [told, RECORD], part=part)]
    assert [sample.sample_id for sample in samples] == ids
    for sample in samples:
        if sample.sample_id.endswith("/description"):
            first, second = sample.turns
            assert first.question == "Please describe the region <mask> in the video in detail."
            assert (first.answer, second.answer) == ("A small white goat.", "A tall brown goat.")
            assert (first.region_ids, second.region_ids) == (("41",), ("42",))
            assert {turn.task for turn in sample.turns} == {"referring"}


def test_details_of_turns_are_kept(tmp_path: Path) -> None:
    ((sample, _),) = read(
        tmp_path, [changed(turns=[{"task": "when", "kind": "motion", "span": [1, 2], "more": 3}])]
    )
    turn = sample.turns[0]
    assert (turn.task, turn.kind, turn.span) == ("when", "motion", (1, 2))


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda r: r.update(obj_masks=[[41]]), r"round 0: .* 2 <mask> but 1 ids of regions \(region-count\)"),
        (
            lambda r: r.update(groundtruth=[[[41], []]]),
            r"round 0: .* 2 \[SEG\] but 1 entries .* \(seg-count\)",
        ),
        (lambda r: r.update(obj_masks=[]), r"round 0: 'obj_masks' has 0 entries.*\(round-form\)"),
        (lambda r: r.pop("groundtruth"), r"round 0: 'groundtruth' has 0 entries.*\(round-form\)"),
        (lambda r: r.update(obj_masks=[[41, 99]]), r"mask 99: the mask dictionary does not have it"),
        (lambda r: r.pop("video"), r"'video' is None, expected a path \(record-form\)"),
        (lambda r: r["conversation"][1].pop("value"), r"round 0: a message is .*\(round-form\)"),
        (
            lambda r: r.update(groundtruth=[[41, 42]]),
            r"'groundtruth' has \[41, 42\], expected a list of lists",
        ),
        (lambda r: r.update(conversation=["Q", "A"]), r"a message is 'Q', expected 'from' and 'value'"),
    ],
)
def test_strict_reader_names_what_is_broken(
    tmp_path: Path, breaks: Callable[[dict[str, Any]], Any], message: str
) -> None:
    broken = changed()
    breaks(broken)
    with pytest.raises(DataError, match=rf"records\.json, record 1.*{message}"):
        read(tmp_path, [RECORD, broken], strict=True)


def test_broken_rounds_are_left_out_counted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = [
        *RECORD["conversation"],
        {"from": "human", "value": "Where is <mask>?"},
        {"from": "gpt", "value": "There."},
    ]
    broken = changed(conversation=rounds, obj_masks=[[41], [42]], groundtruth=[[[41], [42]], []])
    ((sample, _),) = read(tmp_path, [None, broken, changed(obj_masks=[[41]])])
    assert [turn.question for turn in sample.turns] == ["Where is <mask>?"]
    assert "2 region-count, 1 record-form" in caplog.text


@pytest.mark.parametrize("record", [None, "goat", ["goat"]])
def test_record_that_is_no_mapping_is_refused(tmp_path: Path, record: Any) -> None:
    with pytest.raises(DataError, match=r"record 0: .*expected an object \(record-form\)"):
        read(tmp_path, [record], strict=True)


def test_file_that_is_no_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"records\.json holds an object, expected a list"):
        read(tmp_path, RECORD)


def test_missing_and_malformed_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('[{"41": [')
    with pytest.raises(DataError, match=r"bad\.json is not valid JSON"):
        list(read_records(tmp_path / "bad.json", tmp_path / "bad.json", tmp_path))
    with pytest.raises(DataError, match=r"none\.json does not exist; check the folder"):
        list(read_records(tmp_path / "none.json", tmp_path / "none.json", tmp_path))
