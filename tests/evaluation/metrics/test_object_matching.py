import sys

import numpy as np
import pytest

from sama_plugin.errors import HostError
from sama_plugin.evaluation.metrics.object_matching import score_objects


def columns(x0: int, x1: int) -> np.ndarray:
    """(2, 6, 12) bool; full columns."""
    track = np.zeros((2, 6, 12), dtype=bool)
    track[:, :, x0:x1] = True
    return track


def test_matching_takes_the_largest_sum_not_the_best_pair_first():
    # J: target 0 with either prediction 2/4, 4/5; target 1 with them 0, 3/6; greedy would give 4/5 + 0
    targets = [columns(0, 4), columns(2, 6)]
    predictions = [columns(0, 2), columns(0, 5)]
    scores = score_objects(targets, predictions)
    assert scores.partners == [0, 1]
    assert scores.region == pytest.approx((2 / 4 + 3 / 6) / 2)


def test_misses_and_false_alarms_score_zero():
    assert score_objects([columns(0, 3), columns(6, 9)], [columns(0, 3)])[:2] == (0.5, 0.5)
    assert score_objects([columns(0, 3)], [columns(0, 3), columns(6, 9)])[:2] == (0.5, 0.5)
    assert score_objects([columns(0, 3)], []) == (0.0, 0.0, [None])
    assert score_objects([], [columns(0, 3)]) == (0.0, 0.0, [])


def test_nothing_wanted_and_nothing_given_is_full():
    assert score_objects([], []) == (1.0, 1.0, [])


def test_without_scipy_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(HostError, match=r"sama-plugin\[eval\]"):
        score_objects([columns(0, 3), columns(6, 9)], [columns(0, 3)])
