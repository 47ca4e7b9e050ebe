"""MeViS, ReVOS and Ref-DAVIS17 on tiny sets in their published layouts, with numbers worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.benchmarks.revos import RevosBenchmark
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.results import Results
from sama_plugin.evaluation.scoring import read_scores, score_predictions
from sama_plugin.evaluation.truth_answerer import TruthAnswerer
from sama_plugin.media.masks import encode_track
from tests.evaluation.benchmarks.made_expressions import (
    LEFT,
    RIGHT,
    SIZE,
    answer,
    box,
    write_davis,
    write_json,
    write_mevis,
    write_predictions,
    write_ref_youtube_vos,
    write_revos,
)


def score(name: str, data: Path, dialogues: dict, tmp_path: Path) -> Results:
    folder = write_predictions(tmp_path / "predictions", name, dialogues)
    return score_predictions(open_benchmark(name, data), folder, tmp_path / "out")


@pytest.mark.parametrize(("name", "write"), [("mevis", write_mevis), ("ref-davis17", write_davis)])
def test_the_truth_scores_full(name, write, tmp_path):
    results = evaluate(open_benchmark(name, write(tmp_path / "data")), TruthAnswerer(), tmp_path / "out", {})
    assert {key: value for key, value in results.metrics.items() if value != 1.0} == {}
    assert results.counts["refused_questions"] == results.counts["missing_predictions"] == 0


def test_questions_are_as_published(tmp_path):
    mevis = open_benchmark("mevis", write_mevis(tmp_path / "m"))
    asked = [mevis.sample(i).turns[0].question for i in mevis.dialogue_ids]
    assert asked == ["Please segment the dog.", "Please segment Both animals."]
    revos = open_benchmark("revos", write_revos(tmp_path / "r"))
    assert revos.sample("set/v1/1").turns[0].question == "Which animal could bark?"
    assert revos.sample("set/v1/1").frame_names == ("00000", "00005")


def test_objects_of_an_answer_are_one_mask_and_officially_the_first(tmp_path):
    dialogues = {"v1/0": [answer("0", box(LEFT))], "v1/1": [answer("1", box(RIGHT), box(LEFT))]}
    results = score("mevis", write_mevis(tmp_path / "data"), dialogues, tmp_path)
    assert results.metrics["J"] == 1.0
    # of 6 + 8 columns the first object has 8
    assert results.metrics["official/J"] == pytest.approx((1 + 8 / 14) / 2)
    assert (results.counts["several_objects"], results.counts["without_object"]) == (1, 0)


def test_missing_extra_and_duplicate_predictions_are_counted_and_scored_by_their_rule(tmp_path):
    dialogues = {
        "v1/0": [answer("0", box(LEFT)), answer("0", box(RIGHT)), answer("9", box(RIGHT))],
        "v2/0": [answer("0", box(LEFT))],
    }
    results = score("mevis", write_mevis(tmp_path / "data"), dialogues, tmp_path)
    assert results.metrics["J"] == pytest.approx((1 + 0) / 2)
    counts = {name: results.counts[f"{name}_predictions"] for name in ("missing", "extra", "duplicate")}
    assert counts == {"missing": 1, "extra": 2, "duplicate": 1}
    faults = read_scores(tmp_path / "out")["v1/1"]["faults"]
    assert faults == [["missing_predictions", "dialogue 'v1/1', question '1'"]]


def test_masks_of_other_lengths_and_sizes_are_counted_and_fitted(tmp_path):
    small = box(LEFT)[:, ::2, ::2]
    broken = {"question_id": "1", "objects": [{"rle": [{"size": [24, 32], "counts": "zz"}, None]}]}
    dialogues = {"v1/0": [answer("0", np.concatenate([small, small]))], "v1/1": [broken]}
    results = score("mevis", write_mevis(tmp_path / "data"), dialogues, tmp_path)
    assert results.metrics["J"] == pytest.approx((1 + 0) / 2)
    counts = {key: value for key, value in results.counts.items() if value and "_" in key}
    assert counts == {"without_object": 1, "long_tracks": 1, "resized_masks": 1, "unreadable_masks": 1}


def test_a_broken_mask_among_good_ones_is_empty_and_counted(tmp_path):
    row = answer("0", box(LEFT))
    row["objects"][0]["rle"][1] = {"size": list(SIZE), "counts": "zz"}
    row["objects"][0]["score"] = float("nan")
    dialogues = {"v1/0": [row], "v1/1": [answer("1", box(LEFT, RIGHT))]}
    results = score("mevis", write_mevis(tmp_path / "data"), dialogues, tmp_path)
    assert results.metrics["J"] == pytest.approx((0.5 + 1) / 2)
    assert (results.counts["unreadable_masks"], results.counts["not_numbers"]) == (1, 1)


def test_masks_where_nothing_is_meant_are_brought_to_the_size_of_the_video(tmp_path):
    small = answer("2", box(LEFT)[:, ::2, ::2])
    dialogues = {"set/v1/2": [small], "set/v1/0": [answer("0", box(LEFT))]}
    results = score("revos", write_revos(tmp_path / "data"), dialogues, tmp_path)
    assert results.counts["resized_masks"] == 1


def test_a_broken_true_mask_is_an_error_not_an_empty_one(tmp_path):
    data = write_mevis(tmp_path / "data")
    broken = {"7": [{"size": list(SIZE), "counts": "zz"}, None], "8": encode_track(box(RIGHT))}
    write_json(data / "valid_u" / "mask_dict.json", broken)
    with pytest.raises(DataError, match="Dialogue 'v1/0' of 'mevis' cannot be scored: ground truth, frame 0"):
        score("mevis", data, {"v1/0": [answer("0", box(LEFT))]}, tmp_path)


def test_frames_that_cannot_be_read_are_counted_and_score_as_no_answer(tmp_path):
    class Blind(TruthAnswerer):
        def start(self, sample):
            if sample.turns[0].question.endswith("dog."):
                raise MediaError("lacks 1 of 2 frames, such as 00005")
            return super().start(sample)

    results = evaluate(open_benchmark("mevis", write_mevis(tmp_path / "data")), Blind(), tmp_path / "out", {})
    assert results.metrics["J"] == pytest.approx((0 + 1) / 2)
    assert (results.counts["refused_questions"], results.counts["missing_predictions"]) == (1, 0)
    row = read_scores(tmp_path / "out")["v1/0"]["questions"][0]
    assert row["error"] == "lacks 1 of 2 frames, such as 00005"


def test_the_server_s_splits_are_not_scored_here(tmp_path):
    data = write_mevis(tmp_path / "data")
    folder = write_predictions(tmp_path / "predictions", "mevis", {})
    with pytest.raises(DataError, match="are with its server; ask with `sama eval run`, then make a zip"):
        score_predictions(open_benchmark("mevis", data, "valid"), folder, tmp_path / "out")
    with pytest.raises(DataError, match="--split is 'test', but 'mevis' has: valid_u, valid"):
        open_benchmark("mevis", data, "test")


def test_revos_averages_types_and_leaves_the_third_out(tmp_path):
    # the foreground is the dog, 6 columns of 12 rows; 3 columns beside it halve R
    beside = box(LEFT, (LEFT[1], LEFT[1] + 3))
    dialogues = {
        "set/v1/0": [answer("0", box(LEFT))],
        "set/v1/1": [answer("1", beside)],
        "set/v1/2": [answer("2", box(RIGHT))],
    }
    metrics = score("revos", write_revos(tmp_path / "data"), dialogues, tmp_path).metrics
    assert metrics["referring/J"] == 1.0
    assert metrics["reasoning/J"] == pytest.approx(6 / 9)
    assert metrics["J"] == pytest.approx((1 + 6 / 9) / 2)
    assert metrics["reasoning/R"] == pytest.approx(0.5)
    assert metrics["reasoning/A"] == pytest.approx(1 - 3 * 12 / (24 * 32))
    # 8-bit: no hit counts and a false pixel weighs 255
    assert metrics["official/R"] == pytest.approx(0.5)
    assert metrics["official/A"] == pytest.approx(1 - (72 + 72 + 36) / 2 / 768, abs=1e-4)


def test_revos_decodes_the_foreground_of_a_video_once(tmp_path, monkeypatch):
    decoded = []

    def note(self, video, shape):
        decoded.append(video)
        return decode(self, video, shape)

    decode = RevosBenchmark._decode_foreground
    monkeypatch.setattr(RevosBenchmark, "_decode_foreground", note)
    dialogues = {"set/v1/0": [answer("0", box(LEFT), box(RIGHT))]}
    assert score("revos", write_revos(tmp_path / "data"), dialogues, tmp_path).metrics["R"] is not None
    assert decoded == ["set/v1"]


def annotated(per_annotator: dict[int, list[dict]]) -> dict:
    """Answers of object 1 then 2 for each annotator → those of the eight expressions."""
    rows = {}
    for annotator, (first, second) in per_annotator.items():
        rows[annotator], rows[4 + annotator] = first, second
    return {"v1": [{**rows[k], "question_id": str(k)} for k in sorted(rows)]}


def test_davis_protocol_merges_objects_and_averages_annotators(tmp_path):
    left, right, nothing = answer("", box(LEFT)), answer("", box(RIGHT)), answer("")
    dialogues = annotated(
        {
            0: [left, right],  # right: 1 and 1
            1: [right, left],  # names swapped: matched 1 and 1, by id 0 and 0
            2: [left, left],  # both claim the left, the first has it: 1 and 0
            3: [nothing, nothing],  # 0 and 0
        }
    )
    metrics = score("ref-davis17", write_davis(tmp_path / "data"), dialogues, tmp_path).metrics
    for name in ("J", "F", "J&F"):
        assert metrics[name] == pytest.approx((1 + 1 + 0.5 + 0) / 4)
        assert metrics[f"by_id/{name}"] == pytest.approx((1 + 0 + 0.5 + 0) / 4)
        assert metrics[f"official/{name}"] == pytest.approx(3 / 8)  # expressions by themselves


def test_davis_gives_a_contested_pixel_to_the_surer_object(tmp_path):
    both = box(LEFT, RIGHT)
    dialogues = annotated(
        {k: [answer("", box(LEFT), score=0.9), answer("", both, score=0.4)] for k in range(4)}
    )
    metrics = score("ref-davis17", write_davis(tmp_path / "data"), dialogues, tmp_path).metrics
    assert metrics["by_id/J"] == 1.0
    assert metrics["official/J"] == pytest.approx((1 + 8 / 14) / 2)


def test_davis_does_not_judge_the_void(tmp_path):
    ids = box(LEFT).astype(np.uint8) + 2 * box(RIGHT).astype(np.uint8)
    ids[:, 4:16, 12:16] = 255
    spilled = answer("", box(LEFT, (12, 16)))
    dialogues = annotated({k: [spilled, answer("", box(RIGHT))] for k in range(4)})
    assert score("ref-davis17", write_davis(tmp_path / "d", ids), dialogues, tmp_path).metrics["J"] == 1.0


def test_davis_refuses_ids_without_expressions_and_unreadable_annotations(tmp_path):
    ids = 3 * box(LEFT).astype(np.uint8)
    dialogues = annotated({k: [answer(""), answer("")] for k in range(4)})
    with pytest.raises(DataError, match="object id 3, but expressions for 2 objects"):
        score("ref-davis17", write_davis(tmp_path / "d", ids), dialogues, tmp_path)
    (tmp_path / "d" / "valid" / "Annotations" / "v1" / "00000.png").write_text("no picture")
    with pytest.raises(DataError, match=r"00000\.png cannot be read"):
        open_benchmark("ref-davis17", tmp_path / "d").sample("v1")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"clips": {}}, "has no 'videos'"),
        ({"videos": {"v1": {"frames": [], "expressions": {}}}}, "video 'v1': expected 'frames'"),
        ({"videos": {"v1": {"frames": ["0"], "expressions": {"3": {}}}}}, "expressions 3 have no 'exp'"),
    ],
)
def test_a_meta_file_of_another_form_is_refused(content, said, tmp_path):
    path = write_ref_youtube_vos(tmp_path) / "meta_expressions" / "valid" / "meta_expressions.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=said):
        open_benchmark("ref-youtube-vos", tmp_path)


def test_masks_that_the_dictionary_lacks_are_named(tmp_path):
    data = write_mevis(tmp_path)
    (data / "valid_u" / "mask_dict.json").write_text("{}")
    with pytest.raises(DataError, match="expression '0' means mask ids 7, which"):
        open_benchmark("mevis", data)
