"""J, the region similarity of referring video segmentation: masks of one object in, one IoU per frame out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sama_plugin.errors import MediaError


def check_mask_pair(
    gt_masks: np.ndarray, pred_masks: np.ndarray, names: tuple[str, str] = ("gt_masks", "pred_masks")
) -> None:
    """Check that two mask tracks can be compared: both (T, H, W) bool, same shape.

    Strict about dtype on purpose: 0/255 masks beside 0/1 masks give numbers that look right and are not.

    Args:
        gt_masks: a track.
        pred_masks: another.
        names: what an error calls them.

    Raises:
        MediaError: another number of dimensions, another dtype, or two shapes.
    """
    for name, masks in zip(names, (gt_masks, pred_masks), strict=True):
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise MediaError(
                f"{name} has shape {masks.shape} and dtype {masks.dtype}, expected (T, H, W) bool; "
                "make it so with `masks > 0`, and one object is masks[None] per frame."
            )
    if gt_masks.shape != pred_masks.shape:
        raise MediaError(
            f"{names[0]} has shape {gt_masks.shape} but {names[1]} has {pred_masks.shape}; "
            "score masks of the same frames at the size of the ground truth."
        )


def judged_frames(
    gt_masks: np.ndarray, pred_masks: np.ndarray, void_masks: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames of two tracks without what lies in the void; nothing is copied where there is none.

    Args:
        gt_masks: (T, H, W) bool.
        pred_masks: (T, H, W) bool.
        void_masks: (T, H, W) bool or None; True where neither mask is judged.

    Yields:
        Ground truth and prediction of a frame, each (H, W) bool.

    Raises:
        MediaError: see `check_mask_pair`; the void is held to the same.

    Source: the DAVIS evaluation, which takes the void out of both masks before anything is counted. Differs: no.
    """
    check_mask_pair(gt_masks, pred_masks)
    if void_masks is None:
        yield from zip(gt_masks, pred_masks, strict=True)
        return
    check_mask_pair(gt_masks, void_masks, ("gt_masks", "void_masks"))
    for gt, pred, void in zip(gt_masks, pred_masks, void_masks, strict=True):
        judged = ~void
        yield gt & judged, pred & judged


def region_similarity(
    gt_masks: np.ndarray, pred_masks: np.ndarray, void_masks: np.ndarray | None = None
) -> np.ndarray:
    """Intersection over union of each frame; 1 where both masks are empty.

    Args:
        gt_masks: (T, H, W) bool; True inside.
        pred_masks: (T, H, W) bool; True inside.
        void_masks: (T, H, W) bool; True where neither mask is judged.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: Perazzi et al., CVPR 2016, section 3.1 (DAVIS). Differs: no.
    """
    scores = np.ones(len(gt_masks))
    for t, (gt, pred) in enumerate(judged_frames(gt_masks, pred_masks, void_masks)):
        shared = np.count_nonzero(gt & pred)
        union = np.count_nonzero(gt) + np.count_nonzero(pred) - shared
        if union:
            scores[t] = shared / union
    return scores
