from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.volume_overlap import (
    count_found,
    iou_matrix,
    mean_iou,
    official_count_found,
    official_mean_iou,
    volume_iou,
)
from tests.evaluation.metrics.official_case import LEFT, NONE, RIGHT, TOP, volume

MATRICES = st.integers(0, 4).flatmap(
    lambda rows: st.integers(0, 4).flatmap(
        lambda columns: st.lists(
            st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), min_size=rows * columns, max_size=rows * columns
        ).map(lambda values: np.array(values).reshape(rows, columns))
    )
)


@pytest.mark.parametrize(
    ("gt", "pred", "iou"),
    [
        (LEFT, LEFT, 1.0),
        (LEFT, RIGHT, 0.0),
        (LEFT, TOP, 2 / 10),
        (NONE, LEFT, 0.0),
        (NONE, NONE, 1.0),
        (volume("1", "11"), volume("1", "0011"), 1 / 5),
    ],
)
def test_volumes_by_hand(gt: np.ndarray, pred: np.ndarray, iou: float) -> None:
    assert volume_iou(gt, pred) == pytest.approx(iou)


def test_two_empty_volumes_are_the_callers() -> None:
    assert volume_iou(NONE, NONE, both_empty=0.0) == 0


def test_misses_and_false_alarms_count() -> None:
    assert mean_iou(iou_matrix([LEFT, RIGHT], [LEFT])) == 1 / 2
    assert mean_iou(iou_matrix([LEFT], [LEFT, RIGHT, TOP])) == 1 / 3
    assert mean_iou(iou_matrix([LEFT], [])) == 0
    assert mean_iou(iou_matrix([], [LEFT])) == 0
    assert mean_iou(iou_matrix([], [])) is None


def test_matching_is_the_best_not_the_greedy() -> None:
    ious = np.array([[0.9, 0.8], [0.8, 0.0]])
    assert mean_iou(ious) == pytest.approx(0.8)
    assert official_mean_iou(ious) == pytest.approx(0.9)  # greedy: 0.9, then nothing is left above 0


def test_as_many_pairs_as_can_be_are_found() -> None:
    ious = np.array([[0.9, 0.6], [0.6, 0.0]])
    assert count_found(ious, np.ones((2, 2))) == (2, 2, 2)
    alike = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert count_found(ious, alike) == (1, 2, 2)


def test_thresholds_are_at_least_one_half() -> None:
    assert count_found(np.array([[0.5]]), np.array([[0.5]])).found == 1
    assert count_found(np.array([[0.49]]), np.array([[1.0]])).found == 0
    assert count_found(np.array([[1.0]]), np.array([[0.49]])).found == 0


def test_an_unanswered_question_counts_only_when_corrected() -> None:
    ious, alike = np.zeros((2, 0)), np.zeros((2, 0))
    assert count_found(ious, alike) == (0, 2, 0)
    assert official_count_found(ious, alike) == (0, 0, 0)


def test_official_compares_crossed_phrases() -> None:
    ious = np.array([[0.0, 0.9], [0.0, 0.0]])  # object 0 is prediction 1
    alike = np.array([[0.0, 1.0], [0.0, 0.0]])  # and so are their phrases
    assert count_found(ious, alike).found == 1
    assert official_count_found(ious, alike).found == 0


def test_one_phrase_per_mask_is_needed() -> None:
    with pytest.raises(DataError, match=r"IoU is of \(1, 2\) objects .* phrases are of \(1, 1\)"):
        count_found(np.zeros((1, 2)), np.zeros((1, 1)))


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_scores_keep_their_bounds_and_do_not_depend_on_order(ious: np.ndarray) -> None:
    score = mean_iou(ious)
    assert (score is None) == (ious.shape == (0, 0))
    if score is not None:
        assert 0 <= score <= 1
        assert mean_iou(ious[::-1, ::-1]) == pytest.approx(score)
        assert mean_iou(ious.T) == pytest.approx(score)
    if ious.size:
        assert score <= official_mean_iou(ious) + 1e-12 or official_mean_iou(ious) < ious.max()
    found, wanted, given_ = count_found(ious, np.ones_like(ious))
    assert found <= min(wanted, given_)
