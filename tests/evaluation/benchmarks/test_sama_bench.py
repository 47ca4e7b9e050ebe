"""SAMA-Bench in its three forms, on the published shards and on what `sama shapes` writes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmarks import grounded_answers
from sama_plugin.evaluation.benchmarks.sama_bench_dialogue import earlier_objects
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.metrics.caption_scores import CaptionScores
from sama_plugin.evaluation.scoring import read_scores, score_predictions
from sama_plugin.evaluation.truth_answerer import TruthAnswerer
from sama_plugin.media.masks import encode_track
from sama_plugin.schema import Turn
from tests.data.published_fixture import change_record, write_published
from tests.evaluation.benchmarks.made_expressions import write_predictions
from tests.evaluation.fake_answerers import (
    BLUE,
    LEFT_BOX,
    RED,
    RIGHT_BOX,
    FakeAnswerer,
    OracleDialogue,
    box_track,
    make_turn,
    write_shapes,
)

FORMS = ("sama-bench-g", "sama-bench-c", "sama-bench-dialogue")
BOTH = "<p> The red star </p> [SEG] and <p> the blue star </p> [SEG]."
TALK = [
    make_turn("Segment all stars.", BOTH, targets=[[RED], [BLUE]], answer_key=None),
    make_turn("What colour is <mask>?", "Blue.", regions=[BLUE], answer_key="blue"),
    make_turn(
        "Where is <mask>?", "<p> The star </p> [SEG].", regions=[RED], targets=[[RED]], answer_key=None
    ),
]


@pytest.fixture(autouse=True)
def lengths_for_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions are `metrics`' to test; here the share of answers that equal their reference stands for them."""

    def equal(videos: Any, variant: str, **options: Any) -> CaptionScores:
        scores = {
            v: {"METEOR": float(np.mean([p.answer == p.reference for p in ps]))} for v, ps in videos.items()
        }
        return CaptionScores(scores, {}, None)

    monkeypatch.setattr(grounded_answers, "score_captions", equal)


@pytest.fixture
def shapes(tmp_path):
    return write_shapes(tmp_path / "shapes", [TALK])


@pytest.mark.parametrize("form", FORMS)
def test_the_truth_of_the_published_shards_scores_full(form, tmp_path):
    published = write_published(tmp_path / "bench", "val")
    benchmark = open_benchmark(form, published.root)
    results = evaluate(benchmark, TruthAnswerer(), tmp_path / "out", {})
    wanted = {"METEOR"} if form == "sama-bench-c" else {"METEOR", "mIoU", "recall"}
    assert {results.metrics[name] for name in wanted} == {1.0}
    assert {results.metrics[f"lvvis/{name}"] for name in wanted} == {1.0}
    assert (results.counts["videos"], results.counts["questions"]) == (5, 5)
    assert "no judge was named" in results.absent["CLAIR"]


def test_questions_have_the_ids_of_the_file(tmp_path):
    published = write_published(tmp_path / "bench", "val")
    assert open_benchmark("sama-bench-g", published.root).dialogue_ids == ["5", "2", "3", "1", "4"]
    assert sorted(open_benchmark("sama-bench-c", published.root).dialogue_ids) == [
        *("501", "502", "503", "504", "505")
    ]
    sample = open_benchmark("sama-bench-g", published.root).sample("2")
    assert sample.turns[0].question.endswith("heading? Response with interleaved segmentation masks.")
    assert sample.frame_names == ("00000", "00001")


def test_an_id_that_is_there_twice_is_counted_and_both_are_asked(tmp_path):
    published = write_published(tmp_path / "bench", "val")

    def repeat(record):
        record["conversation"] *= 2
        record["obj_masks"] *= 2
        record["groundtruth"] *= 2

    change_record(0, repeat)(published)
    benchmark = open_benchmark("sama-bench-g", published.root)
    assert len(benchmark.dialogue_ids) == 6
    results = evaluate(benchmark, TruthAnswerer(), tmp_path / "out", {})
    assert (results.counts["duplicate_questions"], results.metrics["mIoU"]) == (1, 1.0)


def test_a_round_that_breaks_a_rule_is_left_out_and_counted(tmp_path):
    published = write_published(tmp_path / "bench", "val")
    change_record(0, lambda record: record["obj_masks"][0].clear())(published)
    results = evaluate(open_benchmark("sama-bench-g", published.root), TruthAnswerer(), tmp_path / "out", {})
    assert (results.counts["questions"], results.counts["defects/region-count"]) == (4, 1)


def test_tracks_shorter_than_the_clip_are_padded(shapes, tmp_path):
    path = shapes / "records.json"
    records = json.loads(path.read_text())
    records[0]["frames"] = [f"{k:05d}" for k in range(6)]
    path.write_text(json.dumps(records))
    benchmark = open_benchmark("sama-bench-g", shapes)
    sample = benchmark.sample(benchmark.dialogue_ids[0])
    assert {len(track) for track in sample.masks.values()} == {6}


def test_ids_are_made_where_the_file_has_none(shapes):
    assert open_benchmark("sama-bench-g", shapes).dialogue_ids == [f"test_00000/0/{k}" for k in range(3)]
    assert open_benchmark("sama-bench-dialogue", shapes).dialogue_ids == ["test_00000/0"]


def test_misses_and_false_alarms_cost(shapes, tmp_path):
    def thing(phrase, columns):
        return {"phrase": phrase, "rle": encode_track(box_track(columns))}

    rows = {
        "test_00000/0/0": [{"question_id": "test_00000/0/0", "objects": [thing("red star", LEFT_BOX)]}],
        "test_00000/0/1": [{"question_id": "test_00000/0/1", "text": "Blue."}],
        "test_00000/0/2": [
            {
                "question_id": "test_00000/0/2",
                "objects": [thing("star", LEFT_BOX), thing("other", RIGHT_BOX)],
            }
        ],
    }
    folder = write_predictions(tmp_path / "p", "sama-bench-g", rows)
    benchmark = open_benchmark("sama-bench-g", shapes)
    results = score_predictions(benchmark, folder, tmp_path / "out")
    # one of two found; one found beside a false alarm; where nothing is to be found, nothing is to be earned
    assert results.metrics["mIoU"] == 0.5
    assert results.metrics["recall"] == pytest.approx(2 / 3)
    assert results.metrics["precision"] == pytest.approx(2 / 3)
    assert results.metrics["official/mIoU"] is None
    assert "averages videos of VidSTG only" in results.absent["official/mIoU"]
    scores = read_scores(tmp_path / "out")
    assert scores["test_00000/0/0"]["scores"]["mIoU"] == 0.5  # of the video, once
    assert scores["test_00000/0/1"]["scores"] == {}
    assert scores["test_00000/0/0"]["video"] == "videos/00000.mp4"


@pytest.mark.parametrize(("folder", "official"), [("VidSTG", ["VidSTG/00000.mp4"]), ("videos", [])])
def test_officially_only_videos_that_the_release_averages_are_scored(folder, official, tmp_path, monkeypatch):
    shapes = write_shapes(tmp_path / "shapes", [TALK, TALK])
    path = shapes / "records.json"
    records = json.loads(path.read_text())
    records[0]["video"] = f"{folder}/00000.mp4"
    path.write_text(json.dumps(records))
    scored = {"corrected": [], "official": []}

    def note(videos, variant, **options):
        scored[variant] += videos
        return CaptionScores({video: {"METEOR": 0.5} for video in videos}, {}, None)

    monkeypatch.setattr(grounded_answers, "score_captions", note)
    results = evaluate(open_benchmark("sama-bench-g", shapes), TruthAnswerer(), tmp_path / "out", {})
    assert scored == {"corrected": [f"{folder}/00000.mp4", "videos/00001.mp4"], "official": official}
    for name, best in (
        ("mIoU", pytest.approx(2 / 3)),
        ("METEOR", 0.5),
    ):  # a question without objects counts 0
        assert results.metrics[f"official/{name}"] == (best if official else None)
        assert results.counts[f"official/{name}"] == len(official)


def test_a_dialogue_means_objects_the_model_has_shown_and_points_at_others(shapes, tmp_path):
    class OnlyFirst(OracleDialogue):
        def reply(self, question):
            raw, tracks = super().reply(question)
            return ("<p> The red star </p> [SEG].", tracks[:1]) if len(tracks) == 2 else (raw, tracks)

    answerer = FakeAnswerer(OnlyFirst)
    results = evaluate(open_benchmark("sama-bench-dialogue", shapes), answerer, tmp_path / "out", {})
    assert answerer.dialogues[0].asked == [
        "Segment all stars.",
        "What colour is <r1>?",  # never shown
        "Where is <obj1>?",
    ]
    assert results.counts["not_asked"] == 0
    assert results.metrics["first_turn/mIoU"] == 0.5
    assert results.metrics["later_turns/mIoU"] == 1.0
    assert results.counts["earlier_object/mIoU"] == 1


def test_alone_every_question_begins_anew(shapes, tmp_path):
    answerer = FakeAnswerer(OracleDialogue)
    evaluate(open_benchmark("sama-bench-g", shapes), answerer, tmp_path / "out", {})
    assert [len(dialogue.asked) for dialogue in answerer.dialogues] == [1, 1, 1]
    assert "<r1>" in answerer.dialogues[2].asked[0]


def test_the_last_object_with_a_mask_is_meant():
    turns = [
        Turn("a", "[SEG] [SEG]", (), (("1",), ("2", "3"))),
        Turn("<mask>", "[SEG]", ("1",), (("1",),)),
        Turn("<mask> <mask> <mask>", "", ("1", "2", "4")),
    ]
    assert earlier_objects(turns) == [[], [0], [2, None, None]]


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no \*\.json with records"):
        open_benchmark("sama-bench-g", tmp_path)
