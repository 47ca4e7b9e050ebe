"""Referring segmentation of images (RefCOCO, RefCOCO+, RefCOCOg): cIoU and gIoU, one sentence at a time.

The SAMA release leaves a sentence without a predicted mask out of the intersections and unions of cIoU, so that
giving no mask costs nothing there; `official` reproduces that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.evaluation.metrics.region_similarity import check_mask_pair

OFFICIAL_SMALL = 1e-5
OFFICIAL_TINY = 1e-10


class Overlap(NamedTuple):
    """Pixels of one sentence; sums of both over sentences make cIoU.

    Attributes:
        shared: in both masks.
        union: in either.
        is_given: whether there was a prediction at all.
    """

    shared: int
    union: int
    is_given: bool = True


def measure_overlap(gt_mask: np.ndarray, pred_mask: np.ndarray | None) -> Overlap:
    """Count the pixels of one sentence.

    Args:
        gt_mask: (H, W) bool.
        pred_mask: (H, W) bool; None where the answer has no mask, which is an empty one.

    Raises:
        MediaError: not (H, W) bool, or two shapes.
    """
    pred = np.zeros_like(gt_mask) if pred_mask is None else pred_mask
    check_mask_pair(gt_mask[None], pred[None])
    return Overlap(
        int(np.count_nonzero(gt_mask & pred)), int(np.count_nonzero(gt_mask | pred)), pred_mask is not None
    )


def cumulative_iou(overlaps: Iterable[Overlap]) -> float | None:
    """cIoU: all intersections over all unions.

    Args:
        overlaps: of all sentences.

    Returns:
        In [0, 1]; None where no mask has a pixel.
    """
    shared, union = _sums(overlaps)
    return shared / union if union else None


def generalised_iou(overlaps: Sequence[Overlap]) -> float | None:
    """gIoU: the mean of IoU over sentences; 1 where both masks are empty.

    Args:
        overlaps: of all sentences.

    Returns:
        In [0, 1]; None without sentences.
    """
    if not overlaps:
        return None
    return float(np.mean([one.shared / one.union if one.union else 1.0 for one in overlaps]))


def official_cumulative_iou(overlaps: Iterable[Overlap]) -> float:
    """The SAMA release's cIoU: sentences without a prediction are left out.

    Args:
        overlaps: of all sentences.

    Source: official `RESDataset.evaluate`. Differs: no.
    """
    shared, union = _sums(one for one in overlaps if one.is_given)
    return shared / (union + OFFICIAL_TINY)


def official_generalised_iou(overlaps: Sequence[Overlap]) -> float | None:
    """The SAMA release's gIoU: a sentence without a prediction scores 0, also where there is nothing to find.

    Args:
        overlaps: of all sentences.

    Source: official `RESDataset.evaluate`. Differs: no; there in single precision.
    """
    if not overlaps:
        return None
    scores = [
        (one.shared / (one.union + OFFICIAL_SMALL) + (one.union == 0)) * one.is_given for one in overlaps
    ]
    return float(np.mean(scores))


def _sums(overlaps: Iterable[Overlap]) -> tuple[int, int]:
    shared = union = 0
    for one in overlaps:
        shared += one.shared
        union += one.union
    return shared, union
