"""Objects of one answer against the objects it should have: which is which, and how well masks agree in all.

Misses and false alarms count: what has no partner scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.errors import HostError
from sama_plugin.evaluation.metrics.contour_accuracy import contour_accuracy
from sama_plugin.evaluation.metrics.region_similarity import region_similarity


class ObjectScores(NamedTuple):
    """How well two sets of objects agree.

    Attributes:
        region: J, mean over frames and over the larger number of objects.
        contour: F, likewise.
        partners: for each target the index of its prediction; None where it has none.
    """

    region: float
    contour: float
    partners: list[int | None]


def score_objects(gt_tracks: Sequence[np.ndarray], pred_tracks: Sequence[np.ndarray]) -> ObjectScores:
    """Match predicted objects to targets one to one, the sum of J being largest, and score them.

    Args:
        gt_tracks: targets, each (T, H, W) bool.
        pred_tracks: predictions, each (T, H, W) bool.

    Returns:
        Scores in [0, 1]; 1 where there are neither targets nor predictions.

    Raises:
        MediaError: tracks that cannot be compared.
        HostError: scipy is missing.

    Source: matching as in the multi-object DAVIS protocol. Differs from the SAMA release: there only matched
    pairs count, so that misses and false alarms are free.
    """
    partners: list[int | None] = [None] * len(gt_tracks)
    most = max(len(gt_tracks), len(pred_tracks))
    if not most:
        return ObjectScores(1.0, 1.0, partners)
    similarity = np.zeros((len(gt_tracks), len(pred_tracks)))
    for g, gt in enumerate(gt_tracks):
        for p, pred in enumerate(pred_tracks):
            similarity[g, p] = region_similarity(gt, pred).mean()
    contour = 0.0
    region = 0.0
    for g, p in assign_pairs(similarity):
        partners[g] = p
        region += float(similarity[g, p])
        contour += float(contour_accuracy(gt_tracks[g], pred_tracks[p]).mean())
    return ObjectScores(region / most, contour / most, partners)


def check_scipy() -> None:
    """See that several objects can be scored.

    Raises:
        HostError: scipy is missing.
    """
    try:
        import scipy.optimize  # noqa: F401
    except ImportError as error:
        raise HostError(
            "Scoring several objects needs scipy, which is missing: pip install 'sama-plugin[eval]'."
        ) from error


def assign_pairs(similarity: np.ndarray) -> list[tuple[int, int]]:
    """Match rows and columns one to one so that the sum is largest.

    Args:
        similarity: (G, P) float.

    Returns:
        min(G, P) pairs (row, column), rows ascending.

    Raises:
        HostError: scipy is missing.
    """
    if similarity.size == 0:
        return []
    if similarity.size == 1:
        return [(0, 0)]
    check_scipy()
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(similarity, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]
