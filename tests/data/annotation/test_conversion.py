from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sama_plugin.data.annotation.conversion import make_record
from sama_plugin.data.annotation.rounds import TaggedRound
from sama_plugin.data.record_rules import find_defects
from sama_plugin.data.sources.sama239k import read_records
from tests.data.annotation.made_tracks import make_video, rectangle_track

ROUNDS = [
    TaggedRound("What does <obj5> do beside <obj2>?", "It waits.", "referring", "way", answer_key="waits"),
    TaggedRound("Segment both.", "<p> Both of them </p> <obj5> <obj2>.", "multi_turn", "", None, True),
    TaggedRound(
        "And <obj2>?", "<p> The cat </p> <obj2> leaves <p>the dog</p><obj5>.", "grounding", "", (2, 4)
    ),
    TaggedRound("Where is <obj2> then?", "There is nothing.", "none", ""),
]


def test_tags_become_marks_ids_and_segs() -> None:
    video = make_video([rectangle_track([(10 * k + 5, 20)] * 6) for k in range(6)])
    record = make_record(video, {2: 40, 5: 41}, ROUNDS, {5: "A dog that waits."}, 3)
    assert [m["value"] for m in record["conversation"]] == [
        "What does <mask> do beside <mask>?",
        "It waits.",
        "Segment both.",
        "<p> Both of them </p> [SEG].",
        "And <mask>?",
        "<p> The cat </p> [SEG] leaves <p> the dog </p> [SEG].",
        "Where is <mask> then?",
        "There is nothing.",
    ]
    assert record["anno_map"] == [40, 41]
    assert record["obj_masks"] == [[41, 40], [], [40], [40]]
    assert record["groundtruth"] == [[], [[41, 40]], [[40], [41]], []]
    assert record["description"] == {"<obj1>": "A dog that waits."}
    assert [turn["refers"] for turn in record["turns"]] == [[None, None], [], [None], [1]]
    assert record["turns"][2]["span"] == [2, 4]
    assert "frame_step" not in record


def test_the_record_keeps_every_rule_and_is_read(tmp_path: Path) -> None:
    video = make_video([rectangle_track([(10 * k + 5, 20)] * 6) for k in range(6)])
    record = make_record(video, {2: 40, 5: 41}, ROUNDS, {5: "A dog that waits."}, 0)
    masks = {"40": video.objects[2].track, "41": video.objects[5].track}
    assert find_defects(record, masks.get, deep=True) == []
    for name, value in (("records", [record]), ("masks", masks)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (read,) = read_records(tmp_path / "records.json", tmp_path / "masks.json", tmp_path, strict=True)
    assert read.sample.turns[1].target_ids == (("41", "40"),)
    assert np.array_equal([t.task for t in read.sample.turns], [one.task for one in ROUNDS])
