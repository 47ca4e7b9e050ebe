from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.evaluation.metrics.referring_image import (
    cumulative_iou,
    generalised_iou,
    measure_overlap,
    official_cumulative_iou,
    official_generalised_iou,
)
from tests.evaluation.metrics.official_case import LEFT, NONE, SENTENCES

PAIRS = [(gt[0], None if pred is None else pred[0]) for gt, pred in SENTENCES]


def test_by_hand() -> None:
    overlaps = [measure_overlap(*pair) for pair in PAIRS]
    assert cumulative_iou(overlaps) == (8 + 2) / (8 + 10 + 8)
    assert generalised_iou(overlaps) == pytest.approx((1 + 0.2 + 0 + 1) / 4)
    assert official_cumulative_iou(overlaps) == pytest.approx((8 + 2) / (8 + 10))
    assert official_generalised_iou(overlaps) == pytest.approx((1 + 0.2 + 0 + 1) / 4, abs=1e-5)


def test_denying_what_is_not_there_is_right_only_when_corrected() -> None:
    overlaps = [measure_overlap(NONE[0], None)]
    assert generalised_iou(overlaps) == 1
    assert official_generalised_iou(overlaps) == 0
    assert cumulative_iou(overlaps) is None


def test_no_sentences_give_no_number() -> None:
    assert generalised_iou([]) is None
    assert official_generalised_iou([]) is None


def test_other_sizes_raise() -> None:
    with pytest.raises(MediaError, match="score masks of the same frames"):
        measure_overlap(LEFT[0], np.zeros((2, 2), bool))
