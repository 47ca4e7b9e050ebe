"""RefCOCO, video GCG and VideoRefer-Bench on tiny sets in their published layouts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import DataError, EndpointError
from sama_plugin.evaluation.benchmarks import grounded_answers
from sama_plugin.evaluation.benchmarks.videorefer_bench_q import chosen_option, official_option
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.metrics.caption_scores import CaptionScores
from sama_plugin.evaluation.results import Results
from sama_plugin.evaluation.scoring import score_predictions
from sama_plugin.evaluation.truth_answerer import TruthAnswerer
from sama_plugin.media.masks import encode_mask, encode_track
from tests.evaluation.benchmarks.made_expressions import (
    LEFT,
    RIGHT,
    answer,
    box,
    write_frames,
    write_json,
    write_predictions,
)


@pytest.fixture(autouse=True)
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions are `metrics`' to test; here they only take time."""

    def nothing(videos: Any, variant: str, **options: Any) -> CaptionScores:
        return CaptionScores({video: {} for video in videos}, {"METEOR": "not asked for"}, None)

    monkeypatch.setattr(grounded_answers, "score_captions", nothing)


def score(name: str, data: Path, dialogues: dict, tmp_path: Path) -> Results:
    folder = write_predictions(tmp_path / "predictions", name, dialogues)
    return score_predictions(open_benchmark(name, data), folder, tmp_path / "out")


def write_refcoco(root: Path, name: str = "refcoco", refs: str = "refs(unc).p") -> Path:
    """A picture with two things: one as a polygon of 6 by 12 pixels, one as two run lengths that overlap."""
    (root / name).mkdir(parents=True)
    (root / "train2014").mkdir()
    Image.new("RGB", (32, 24)).save(root / "train2014" / "COCO_1.jpg")
    part = encode_mask(box(RIGHT)[0])
    instances = {
        "images": [{"id": 1, "file_name": "COCO_1.jpg", "height": 24, "width": 32}],
        "annotations": [
            {"id": 5, "segmentation": [[4, 4, 10, 4, 10, 16, 4, 16]]},
            {"id": 6, "segmentation": part},
        ],
    }
    write_json(root / name / "instances.json", instances)
    sentences = [{"sent": "left one"}, {"sent": "the left"}]
    rows = [
        {"ref_id": 1, "ann_id": 5, "image_id": 1, "split": "val", "sentences": sentences},
        {"ref_id": 2, "ann_id": 6, "image_id": 1, "split": "val", "sentences": [{"sent": "right"}]},
        {"ref_id": 3, "ann_id": 6, "image_id": 1, "split": "train", "sentences": [{"sent": "train"}]},
    ]
    (root / name / refs).write_bytes(pickle.dumps(rows))
    return root


@pytest.mark.parametrize(
    ("name", "refs"), [("refcoco", "refs(unc).p"), ("refcoco+", "refs(unc).p"), ("refcocog", "refs(umd).p")]
)
def test_refcoco_truth_scores_full(name, refs, tmp_path):
    benchmark = open_benchmark(name, write_refcoco(tmp_path / "data", name, refs))
    assert benchmark.dialogue_ids == ["1/0", "1/1", "2/0"]
    assert benchmark.sample("1/0").turns[0].question == "Please segment left one in this image."
    results = evaluate(benchmark, TruthAnswerer(), tmp_path / "out", {})
    assert results.metrics == pytest.approx(dict.fromkeys(results.metrics, 1.0), abs=1e-4)


def test_refcoco_counts_a_sentence_without_mask(tmp_path):
    # left is 72 pixels, right 96; the first is right, the second misses, the third gives both boxes
    right_one = answer("0", box(RIGHT, frames=1), box(LEFT, frames=1))
    dialogues = {"1/0": [answer("0", box(LEFT, frames=1))], "1/1": [answer("0")], "2/0": [right_one]}
    results = score("refcoco", write_refcoco(tmp_path / "data"), dialogues, tmp_path)
    assert results.metrics["cIoU"] == pytest.approx((72 + 96) / (72 + 72 + 168))
    assert results.metrics["gIoU"] == pytest.approx((1 + 0 + 96 / 168) / 3)
    assert results.metrics["official/cIoU"] == pytest.approx(1.0)  # the miss is left out, first objects count
    assert results.counts["without_object"] == 1


def test_refcoco_names_what_the_instances_lack(tmp_path):
    data = write_refcoco(tmp_path)
    (data / "refcoco" / "instances.json").write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DataError, match="ref 1 means annotation 5 of image 1"):
        open_benchmark("refcoco", data)
    with pytest.raises(DataError, match="no references of split 'testA'"):
        open_benchmark("refcoco", write_refcoco(tmp_path / "other"), "testA")


def write_gcg(root: Path) -> Path:
    folder = root / "ytvis" / "vos" / "train" / "JPEGImages" / "v1"
    write_frames(folder)
    video = {
        "file_names": ["v1/00000.jpg", "v1/00005.jpg"],
        "width": 32,
        "height": 24,
        "length": 2,
        "dense_cap": {"caption": "a dog and cats run", "token_pos": [3, 1, 3], "mask_id": [8, 7, 9]},
        "dataset_split": "yt19",
    }
    annotations = [
        {"id": i, "segmentations": encode_track(track)}
        for i, track in ((7, box(LEFT)), (8, box(RIGHT)), (9, box((29, 31))))
    ]
    write_json(
        root / "video_gcg" / "instruction_data" / "test.json", {"videos": [video], "annotations": annotations}
    )
    return root


def test_gcg_marks_words_and_joins_their_masks(tmp_path):
    benchmark = open_benchmark("gcg", write_gcg(tmp_path / "data"))
    (dialogue_id,) = benchmark.dialogue_ids
    turn = benchmark.sample(dialogue_id).turns[0]
    assert turn.answer == "a <p> dog </p> [SEG] and <p> cats </p> [SEG] run"
    assert turn.target_ids == (("7",), ("8", "9"))
    results = evaluate(benchmark, TruthAnswerer(), tmp_path / "out", {})
    assert (results.metrics["mIoU"], results.metrics["recall"]) == (1.0, 1.0)
    assert results.absent["METEOR"] == "not asked for"


def test_gcg_of_another_form_is_refused(tmp_path):
    data = write_gcg(tmp_path)
    path = data / "video_gcg" / "instruction_data" / "test.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "annotations": content["annotations"][:1]}))
    with pytest.raises(DataError, match=r"video 0 means masks \['8', '9'\], which it lacks"):
        open_benchmark("gcg", data)
    path.write_text("{}")
    with pytest.raises(DataError, match="has another form than published: KeyError 'annotations'"):
        open_benchmark("gcg", data)


def write_videorefer(root: Path) -> Path:
    thing = {"3": {"segmentation": encode_mask(box(LEFT)[0])}, "0": {"segmentation": None}}
    base = {"video": "v.mp4", "frame_idx": 3, "annotation": [thing]}
    asked = {"Question": "What is <region>?", "options": ["(A) a dog", "(B) a cat"], "type": "Basic"}
    questions = [
        {**base, **asked, "Answer": "(A) a dog"},
        {**base, **asked, "Answer": "(B) a cat", "type": "Future"},
        {**base, **asked, "Answer": "(B) a cat", "Question": "What?"},
        {**base, **asked, "Answer": "(B) a cat", "frame_idx": 0},
    ]
    write_json(root / "VideoRefer-Bench-Q.json", questions)
    write_json(root / "VideoRefer-Bench-D.json", [{**base, "caption": "A brown dog runs."}])
    return root


def test_videorefer_q_points_on_its_frame_and_counts_types(tmp_path):
    benchmark = open_benchmark("videorefer-bench-q", write_videorefer(tmp_path / "data"))
    turn = benchmark.sample("0").turns[0]
    assert turn.question.startswith("What is <mask>? (A) a dog (B) a cat. Answer with")
    assert [rle is not None for rle in benchmark.sample("0").masks["0"]] == [False] * 3 + [True]
    dialogues = {"0": [{"question_id": "0", "text": "A dog."}], "1": [{"question_id": "0", "text": ""}]}
    results = score("videorefer-bench-q", tmp_path / "data", dialogues, tmp_path)
    assert (results.metrics["accuracy"], results.metrics["accuracy/Basic"]) == (0.5, 1.0)
    assert (results.counts["left_out"], results.counts["empty_answers"]) == (2, 1)


@pytest.mark.parametrize(
    ("said", "chosen", "official"),
    [
        ("(B)", "B", "B"),
        ("b", "B", "B"),
        ("B.", "B", "B"),
        ("The answer is (B) a cat", "B", "B"),
        ("a cat", "B", "A"),  # the published script takes the article for a letter
        ("A: a cat", "A", "A"),
        ("cat", "B", "C"),
        ("", None, None),
        ("neither", None, "N"),
    ],
)
def test_options_are_found_in_answers(said, chosen, official):
    assert chosen_option(said, ["(A) a dog", "(B) a cat"]) == chosen
    assert official_option(said) == official


class Judge:
    """Grades everything 4 of 5, or does not answer."""

    model = "judge"

    def __init__(self, answers: bool = True) -> None:
        self.answers = answers

    def complete(self, messages: Any, schema: Any = None, **options: Any) -> Any:
        if not self.answers:
            raise EndpointError("no connection")
        grades = {"SC": 4, "AD": 4, "TD": 4, "HD": 4}
        return type("Reply", (), {"text": '{"score": 80}', "parsed": grades})()


def test_videorefer_d_has_grades_only_from_a_judge(tmp_path, monkeypatch):
    data = write_videorefer(tmp_path / "data")
    dialogues = {"0": [{"question_id": "0", "text": "A dog."}]}
    without = score("videorefer-bench-d", data, dialogues, tmp_path)
    assert without.metrics["average"] is None
    assert "no judge was named" in without.absent["SC"]
    monkeypatch.setattr("sama_plugin.evaluation.text_scoring.TextScoring.open_judge", lambda _: Judge())
    graded = score("videorefer-bench-d", data, dialogues, tmp_path)
    assert (graded.metrics["average"], graded.metrics["CLAIR"]) == (pytest.approx(0.8), 0.8)
    monkeypatch.setattr("sama_plugin.evaluation.text_scoring.TextScoring.open_judge", lambda _: Judge(False))
    failed = score("videorefer-bench-d", data, dialogues, tmp_path)
    assert failed.metrics["average"] is None
    assert "did not answer: no connection" in failed.absent["average"]


def test_masks_of_a_picture_are_bool(tmp_path):
    benchmark = open_benchmark("refcoco", write_refcoco(tmp_path))
    (rle,) = benchmark.sample("2/0").masks["0"]
    assert rle == encode_mask(box(RIGHT)[0].astype(np.bool_))
