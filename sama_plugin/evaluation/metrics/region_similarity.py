"""J, the region similarity of referring video segmentation: masks of one object in, one IoU per frame out."""

from __future__ import annotations

import numpy as np

from sama_plugin.errors import MediaError


def check_mask_pair(gt_masks: np.ndarray, pred_masks: np.ndarray) -> None:
    """Check that two mask tracks can be compared: both (T, H, W) bool, same shape.

    Strict about dtype on purpose: 0/255 masks beside 0/1 masks give numbers that look right and are not.

    Raises:
        MediaError: another number of dimensions, another dtype, or two shapes.
    """
    for name, masks in (("gt_masks", gt_masks), ("pred_masks", pred_masks)):
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise MediaError(
                f"{name} has shape {masks.shape} and dtype {masks.dtype}, expected (T, H, W) bool; "
                "make it so with `masks > 0`, and one object is masks[None] per frame."
            )
    if gt_masks.shape != pred_masks.shape:
        raise MediaError(
            f"gt_masks has shape {gt_masks.shape} but pred_masks has {pred_masks.shape}; "
            "score masks of the same frames at the size of the ground truth."
        )


def region_similarity(gt_masks: np.ndarray, pred_masks: np.ndarray) -> np.ndarray:
    """Intersection over union of each frame; 1 where both masks are empty.

    Args:
        gt_masks: (T, H, W) bool; True inside.
        pred_masks: (T, H, W) bool; True inside.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: Perazzi et al., CVPR 2016, section 3.1 (DAVIS). Differs: no.
    """
    check_mask_pair(gt_masks, pred_masks)
    scores = np.ones(len(gt_masks))
    for t, (gt, pred) in enumerate(zip(gt_masks, pred_masks, strict=True)):
        shared = np.count_nonzero(gt & pred)
        union = np.count_nonzero(gt) + np.count_nonzero(pred) - shared
        if union:
            scores[t] = shared / union
    return scores
