from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.metrics import volume_overlap
from sama_plugin.evaluation.metrics.phrase_similarity import LexicalSimilarity
from sama_plugin.evaluation.metrics.sama_bench_scores import (
    GroundedText,
    QuestionScores,
    average_videos,
    score_question,
    score_video,
)
from sama_plugin.evaluation.metrics.volume_overlap import volume_iou
from tests.evaluation.metrics.official_case import LEFT, RIGHT, TOP, question

ALIKE = LexicalSimilarity()


def score(
    text: str, tracks: list, truth: str = "<p> cat </p> [SEG]", gt: list | None = None
) -> QuestionScores:
    return score_question(
        GroundedText(truth, [LEFT] if gt is None else gt), GroundedText(text, tracks), ALIKE
    )


def test_a_mask_beyond_the_answers_marks_has_no_phrase() -> None:
    row = score("The cat.", [LEFT])
    assert row.corrected.mean_iou == 1
    assert row.corrected.counts == (0, 1, 1)
    assert row.faults == {"masks_without_phrase": 1}


def test_a_mark_without_a_mask_is_no_object() -> None:
    row = score("<p> cat </p> [SEG] and <p> dog </p> [SEG]", [LEFT])
    assert row.corrected.counts == (1, 1, 1)
    assert row.faults == {"phrases_without_mask": 1}


def test_a_bare_mark_is_counted_too() -> None:
    assert score("[SEG]", [LEFT]).faults == {"masks_without_phrase": 1}


def test_an_empty_answer_is_a_miss() -> None:
    row = score("", [])
    assert row.corrected == (0, (0, 1, 0))
    assert row.faults == {}


def test_an_empty_entry_counts_only_officially() -> None:
    row = score("<p> cat </p> [SEG]", [LEFT], gt=[LEFT, None])
    assert row.corrected == (1, (1, 1, 1))
    assert row.official.mean_iou == 1
    assert row.official.counts == (1, 1, 1)


def test_two_empty_volumes_agree_only_when_corrected() -> None:
    nothing = np.zeros_like(LEFT)
    row = score("<p> cat </p> [SEG]", [nothing], gt=[nothing])
    assert row.corrected == (1, (1, 1, 1))
    assert row.official == (0, (0, 1, 1))


def test_both_variants_come_from_one_look_at_the_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []

    def count(gt: np.ndarray, pred: np.ndarray, **options: float) -> float:
        pairs.append((gt, pred))
        return volume_iou(gt, pred, **options)

    monkeypatch.setattr(volume_overlap, "volume_iou", count)
    row = score("<p> cat </p> [SEG]", [LEFT, RIGHT], gt=[None, LEFT])
    assert (row.corrected.mean_iou, row.official.mean_iou) == (0.5, 1)
    assert len(pairs) == 2


def test_a_ground_truth_that_does_not_fit_itself_raises() -> None:
    with pytest.raises(DataError, match=r"has 1 \[SEG\] but 2 masks"):
        score("", [], gt=[LEFT, RIGHT])


def test_tracks_of_two_shapes_raise() -> None:
    with pytest.raises(MediaError, match="score masks of the same frames"):
        score("<p> cat </p> [SEG]", [LEFT[:, :2]])


def test_a_video_is_the_sum_of_its_questions() -> None:
    rows = [
        score("<p> the cats </p> [SEG]", [LEFT]),
        score("<p> dog </p> [SEG]", [LEFT]),
        score("", []),
    ]
    assert score_video(rows) == {"mIoU": pytest.approx(2 / 3), "recall": 1 / 3, "precision": 1 / 2}
    assert score_video(rows, "official") == {"mIoU": pytest.approx(2 / 3), "recall": 1 / 2}
    nothing = score("Nothing.", [], truth="Nothing.", gt=[])
    assert score_video([*rows, nothing]) == score_video(rows)


def test_a_video_without_objects_has_no_scores() -> None:
    rows = [score("Nothing.", [], truth="Nothing.", gt=[])]
    assert score_video(rows) == {"mIoU": None, "recall": None, "precision": None}
    assert score_video(rows, "official") == {"mIoU": 0, "recall": 0}


@pytest.mark.parametrize(("rows", "variant"), [([], "corrected"), ([score("", [])], "exact")])
def test_no_question_or_an_unknown_variant_raises(rows: list, variant: str) -> None:
    with pytest.raises(DataError, match="expected 1 or more, one of"):
        score_video(rows, variant)


def test_videos_count_once_each_and_officially_only_one_data_set() -> None:
    videos = {"VidSTG/a": {"mIoU": 0.2, "recall": None}, "mevis/b": {"mIoU": 0.8, "recall": 0.5}}
    assert average_videos(videos) == {"mIoU": 0.5, "recall": 0.5}
    assert average_videos(videos, "official") == {"mIoU": 0.2, "recall": None}


def test_the_order_of_objects_does_not_matter_when_corrected() -> None:
    crossed = question(["cat", "dog", "bird"], ["dog", "bird", "cat"], [LEFT, RIGHT, TOP], [RIGHT, TOP, LEFT])
    row = score_question(crossed.truth, crossed.given, ALIKE)
    assert row.corrected == (1, (3, 3, 3))
    assert row.official.counts.found < 3
