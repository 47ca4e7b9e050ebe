"""mIoU and recall of grounded answers: whole mask volumes of one question against those it should have.

`corrected` matches one to one with the largest sum and lets misses and false alarms count; `official` is what the SAMA
release computes, defect for defect, so that published numbers can be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.object_matching import assign_pairs
from sama_plugin.evaluation.metrics.region_similarity import check_mask_pair

IOU_THRESHOLD = 0.5
TEXT_THRESHOLD = 0.5


class RecallCounts(NamedTuple):
    """What recall and precision are made of; sum the fields over questions.

    Attributes:
        found: objects with a partner that overlaps enough and is called alike.
        wanted: objects the answer should have.
        given: objects the answer has.
    """

    found: int
    wanted: int
    given: int


def volume_iou(gt_masks: np.ndarray, pred_masks: np.ndarray, *, both_empty: float = 1.0) -> float:
    """Intersection over union of two mask volumes, all frames together.

    Args:
        gt_masks: (T, H, W) bool.
        pred_masks: (T, H, W) bool.
        both_empty: the value where neither has a pixel; the SAMA release gives 0.

    Returns:
        In [0, 1].

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: official `compute_iou`. Differs: two empty volumes agree, as two empty frames do in J.
    """
    check_mask_pair(gt_masks, pred_masks)
    shared = np.count_nonzero(gt_masks & pred_masks)
    union = np.count_nonzero(gt_masks) + np.count_nonzero(pred_masks) - shared
    return shared / union if union else both_empty


def iou_matrix(
    gt_tracks: Sequence[np.ndarray], pred_tracks: Sequence[np.ndarray], *, both_empty: float = 1.0
) -> np.ndarray:
    """Volume IoU of every target with every prediction.

    Args:
        gt_tracks: G tracks, each (T, H, W) bool.
        pred_tracks: P tracks, each (T, H, W) bool.
        both_empty: see `volume_iou`.

    Returns:
        (G, P) float64.

    Raises:
        MediaError: tracks that cannot be compared.
    """
    ious = np.zeros((len(gt_tracks), len(pred_tracks)))
    for g, gt in enumerate(gt_tracks):
        for p, pred in enumerate(pred_tracks):
            ious[g, p] = volume_iou(gt, pred, both_empty=both_empty)
    return ious


def mean_iou(ious: np.ndarray) -> float | None:
    """Mean IoU of one question; what has no partner scores 0.

    Args:
        ious: (G, P) float, from `iou_matrix`.

    Returns:
        In [0, 1]; None where nothing is wanted and nothing given: an answerer that never finds anything earns nothing.

    Raises:
        HostError: scipy is missing.

    Source: official `compute_miou`. Differs: the best one-to-one matching instead of a greedy one, and the sum is
    over the larger number of objects instead of the matched ones only.
    """
    if not max(ious.shape):
        return None
    return sum(float(ious[g, p]) for g, p in assign_pairs(ious)) / max(ious.shape)


def count_found(ious: np.ndarray, similarities: np.ndarray) -> RecallCounts:
    """Count the objects of one question that were found and called alike.

    Args:
        ious: (G, P) float, from `iou_matrix`.
        similarities: (G, P) float; of the phrases of the same objects.

    Raises:
        DataError: two shapes.
        HostError: scipy is missing.

    Source: official `evaluate_recall_with_mapping`. Differs: both matrices mean the same pairs, the largest number
    of admissible pairs is looked for, and questions without a prediction count.
    """
    if ious.shape != similarities.shape:
        raise DataError(
            f"IoU is of {ious.shape} objects (wanted, given) but the phrases are of {similarities.shape}; "
            "give one phrase per mask, empty where there is none."
        )
    admissible = (ious >= IOU_THRESHOLD) & (similarities >= TEXT_THRESHOLD)
    found = sum(bool(admissible[g, p]) for g, p in assign_pairs(admissible.astype(float)))
    return RecallCounts(found, *ious.shape)


def official_mean_iou(ious: np.ndarray) -> float:
    """Mean IoU of one question as the SAMA release has it: greedy, matched pairs only.

    Args:
        ious: (G, P) float, from `iou_matrix` with `both_empty=0`.

    Source: official `compute_miou`. Differs: no.
    """
    left = ious.T.copy()  # the release has predictions in rows, which decides between equal pairs
    matched = []
    while left.size and left.max() > 0:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        matched.append(left[row, column])
        left = np.delete(np.delete(left, row, axis=0), column, axis=1)
    return float(np.mean(matched)) if matched else 0.0


def official_count_found(ious: np.ndarray, similarities: np.ndarray) -> RecallCounts:
    """Count found objects of one question as the SAMA release does.

    Its two matrices are transposed to one another and cut to their common size, so that off the diagonal the phrases
    of other objects are compared; the search ends at the first pair that fails; a question with no predicted mask
    or phrase is left out whole.

    Args:
        ious: (G, P) float of masks, from `iou_matrix` with `both_empty=0`.
        similarities: (number of true phrases, number of predicted phrases) float.

    Source: official `find_best_matches` and `evaluate_recall_with_mapping`. Differs: no.
    """
    if not ious.shape[1] or not similarities.shape[1]:
        return RecallCounts(0, 0, 0)
    crossed = ious.T
    rows, columns = np.minimum(crossed.shape, similarities.shape)
    left, alike = crossed[:rows, :columns].copy(), similarities[:rows, :columns]
    found = 0
    while left.size:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        if left[row, column] < IOU_THRESHOLD or alike[row, column] < TEXT_THRESHOLD:
            break
        found += 1
        left[row, :] = 0
        left[:, column] = 0
    return RecallCounts(found, len(similarities), ious.shape[1])
