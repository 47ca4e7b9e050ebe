from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.temporal_iou import temporal_iou, visibility_iou


@pytest.mark.parametrize(
    ("said", "truth", "iou"),
    [
        ((2, 6), (2, 6), 1),
        ((2, 6), (4, 8), 2 / 6),
        ((0, 2), (4, 8), 0),
        ((0, 10), (4, 6), 0.2),
        ((3, 3), (2, 6), 0),
        ((3, 3), (3, 3), 1),
        (None, (2, 6), 0),
    ],
)
def test_spans_by_hand(said, truth, iou) -> None:
    assert temporal_iou(said, truth) == pytest.approx(iou)


@pytest.mark.parametrize(
    ("said", "truth", "named"),
    [
        ((5, 2), (0, 1), "said"),
        ((0, 1), (5, 2), "true"),
        ((float("nan"), 1), (0, 1), "said"),
        (None, (0, np.inf), "true"),
    ],
)
def test_spans_that_are_none_raise(said, truth, named) -> None:
    with pytest.raises(DataError, match=f"The {named} span is"):
        temporal_iou(said, truth)


def test_frames_where_an_object_shows() -> None:
    gt, pred = np.zeros((2, 5, 3, 3), dtype=bool)
    assert visibility_iou(gt, pred) == 1
    gt[1:4, 0, 0] = True
    pred[2:5, 2, 2] = True
    assert visibility_iou(gt, pred) == 2 / 4
    assert visibility_iou(gt, gt) == 1
