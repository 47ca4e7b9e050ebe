from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.metrics.revos_scores import (
    average_expressions,
    official_pixel_accuracy,
    official_robustness,
    pixel_accuracy,
    robustness,
)
from tests.evaluation.metrics.official_case import LEFT, NONE, revos_masks


def test_accuracy_and_robustness_by_hand() -> None:
    counts, pred, foreground = revos_masks()
    gt = counts > 0
    # frame 0 is perfect, frame 1 has 4 false pixels of 16, frame 2 has 1
    assert pixel_accuracy(gt, pred).tolist() == [1, 12 / 16, 15 / 16]
    assert robustness(gt, pred, foreground) == pytest.approx([1, 1 - 4 / 16, 1 - 1 / 12], abs=1e-6)


def test_a_perfect_prediction_of_half_a_frame_is_half_right_officially() -> None:
    gt = np.repeat(LEFT, 1, axis=0)
    assert pixel_accuracy(gt, gt).tolist() == [1]
    assert official_pixel_accuracy(gt.astype(np.uint8), gt).tolist() == [0.5]


def test_one_false_pixel_in_255_is_all_officially() -> None:
    gt, pred = NONE.copy(), NONE.copy()
    pred[0, 0, 0] = True
    foreground = np.ones_like(gt)
    assert robustness(gt, pred, foreground) == pytest.approx([15 / 16], abs=1e-6)
    assert official_robustness(gt.astype(np.uint8), pred, foreground).tolist() == [0]


def test_without_a_foreground_any_false_pixel_is_all() -> None:
    assert robustness(NONE, NONE, NONE).tolist() == [1]
    assert robustness(NONE, LEFT, NONE).tolist() == [0]


def test_the_foreground_is_checked() -> None:
    with pytest.raises(MediaError, match="foreground_masks has"):
        robustness(LEFT, LEFT, LEFT.astype(np.uint8))


def test_types_count_alike_however_many_there_are() -> None:
    rows = [{"J": j, "F": 1.0, "R": 0.5} for j in (0.2, 0.4, 0.9, 0.0)]
    made = average_expressions(rows, [0, 0, 1, 2])
    assert made["referring"] == pytest.approx({"J": 0.3, "F": 1, "R": 0.5, "J&F": 0.65})
    assert made["overall"] == pytest.approx({"J": 0.6, "F": 1, "R": 0.5, "J&F": 0.8})


def test_official_rounds_each_expression() -> None:
    rows = [{"J": 0.333333}, {"J": 0.666666}]
    assert average_expressions(rows, [0, 1])["overall"]["J"] == pytest.approx(0.4999995, abs=1e-9)
    assert average_expressions(rows, [0, 1], official=True)["overall"]["J"] == pytest.approx(0.5, abs=1e-12)


def test_a_type_without_expressions_has_no_number() -> None:
    made = average_expressions([{"J": 0.5, "F": 0.5}], [0])
    assert made["reasoning"] == {"J": None, "F": None, "J&F": None}
    assert made["overall"]["J&F"] is None


@pytest.mark.parametrize("types", [[0], [0, 3]])
def test_types_that_do_not_fit_raise(types: list[int]) -> None:
    with pytest.raises(DataError, match="2 expressions with"):
        average_expressions([{"J": 1.0}, {"J": 1.0}], types)
