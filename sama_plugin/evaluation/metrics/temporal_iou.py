"""When something happens: a said span against the true one, and the frames where an object shows."""

from __future__ import annotations

import numpy as np

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.region_similarity import check_mask_pair


def temporal_iou(said: tuple[float, float] | None, truth: tuple[float, float]) -> float:
    """Intersection over union of two spans of time.

    Args:
        said: (start, end) in the unit of the truth; None where the answer has no span, which scores 0.
        truth: (start, end), start before or at the end.

    Returns:
        In [0, 1]; of two moments 1 if they are the same, else 0.

    Raises:
        DataError: a span that ends before it starts, or holds NaN or infinity.

    Source: temporal grounding, as VidSTG's tIoU. Differs: no.
    """
    for name, span in (("said", said), ("true", truth)):
        if span is not None and not (np.isfinite(span).all() and span[0] <= span[1]):
            raise DataError(f"The {name} span is {span}, expected finite numbers with start <= end.")
    if said is None:
        return 0.0
    shared = min(said[1], truth[1]) - max(said[0], truth[0])
    union = max(said[1], truth[1]) - min(said[0], truth[0])
    if union == 0:
        return 1.0
    return max(shared, 0.0) / union


def visibility_iou(gt_masks: np.ndarray, pred_masks: np.ndarray) -> float:
    """Share of frames where both show the object among those where either does.

    Args:
        gt_masks: (T, H, W) bool.
        pred_masks: (T, H, W) bool.

    Returns:
        In [0, 1]; 1 where it shows on no frame of either.

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.
    """
    check_mask_pair(gt_masks, pred_masks)
    gt_shown, pred_shown = (masks.any(axis=(1, 2)) for masks in (gt_masks, pred_masks))
    either = np.count_nonzero(gt_shown | pred_shown)
    return float(np.count_nonzero(gt_shown & pred_shown) / either) if either else 1.0
