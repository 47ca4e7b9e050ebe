"""F, the contour accuracy of referring video segmentation: masks in, one score per frame out."""

from __future__ import annotations

import math

import numpy as np

from sama_plugin.evaluation.metrics.region_similarity import check_mask_pair, judged_frames


def contour_accuracy(
    gt_masks: np.ndarray,
    pred_masks: np.ndarray,
    bound_th: float = 0.008,
    void_masks: np.ndarray | None = None,
) -> np.ndarray:
    """F-measure of the boundary pixels of each frame, with a tolerance that grows with the image.

    A mask that is empty or fills the whole frame has no boundary: 1 where neither mask has one, 0 where only
    one has.

    Args:
        gt_masks: (T, H, W) bool; True inside.
        pred_masks: (T, H, W) bool; True inside.
        bound_th: tolerance as a share of the image diagonal, rounded up to pixels; at 1 or more it is pixels.
        void_masks: (T, H, W) bool; True where neither mask is judged. Where a mask meets the void it has a
            boundary, as in DAVIS.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: Perazzi et al., CVPR 2016, section 3.1 (DAVIS). Differs: no; boundary pixels look up their
    surroundings in running counts instead of whole images being dilated by a disk.
    """
    check_mask_pair(gt_masks, pred_masks)
    height, width = gt_masks.shape[1:]
    radius = math.floor(bound_th) if bound_th >= 1 else math.ceil(bound_th * math.hypot(height, width))
    scores = np.empty(len(gt_masks))
    for t, (gt, pred) in enumerate(judged_frames(gt_masks, pred_masks, void_masks)):
        scores[t] = frame_contour_accuracy(gt, pred, radius)
    return scores


def frame_contour_accuracy(gt_mask: np.ndarray, pred_mask: np.ndarray, radius: int) -> float:
    """F-measure of one frame; masks (H, W) bool, tolerance `radius` in pixels."""
    crop = _union_crop(gt_mask, pred_mask)
    gt_boundary = boundary_map(gt_mask[crop])
    pred_boundary = boundary_map(pred_mask[crop])
    num_gt = np.count_nonzero(gt_boundary)
    num_pred = np.count_nonzero(pred_boundary)
    if not num_gt or not num_pred:
        return float(num_gt == num_pred)
    precision = _count_near(pred_boundary, gt_boundary, radius) / num_pred
    recall = _count_near(gt_boundary, pred_boundary, radius) / num_gt
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def boundary_map(mask: np.ndarray) -> np.ndarray:
    """Boundary of a mask, one pixel wide: what differs from its right, lower or lower-right neighbour.

    On the last row only the right neighbour counts, on the last column only the lower one: the frame's own
    edge is no boundary.

    Args:
        mask: (H, W) bool.

    Returns:
        (H, W) bool.

    Source: Martin et al., the Berkeley segmentation benchmark, as DAVIS uses it. Differs: no.
    """
    boundary = np.zeros_like(mask)
    right = mask[:, :-1] ^ mask[:, 1:]
    below = mask[:-1] ^ mask[1:]
    boundary[:, :-1] = right
    boundary[:-1] |= below
    boundary[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return boundary


def _union_crop(first: np.ndarray, second: np.ndarray) -> tuple[slice, slice]:
    """Box around two (H, W) masks with one pixel to spare; an empty box if both are empty."""
    either = first | second
    rows = np.flatnonzero(either.any(axis=1))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(either[rows[0] : rows[-1] + 1].any(axis=0))
    return (
        slice(max(rows[0] - 1, 0), rows[-1] + 2),
        slice(max(columns[0] - 1, 0), columns[-1] + 2),
    )


def _count_near(points: np.ndarray, others: np.ndarray, radius: int) -> int:
    """How many True pixels of `points` have a True pixel of `others` within `radius`; both (h, w) bool."""
    width = points.shape[1]
    places = np.flatnonzero(others)
    # before[i]: how many others lie ahead of flat index i; a stretch of a row holds one if it grows there
    before = np.repeat(
        np.arange(len(places) + 1, dtype=np.int32), np.diff(places, prepend=-1, append=others.size)
    )
    ys, xs = np.divmod(np.flatnonzero(points & ~others), width)
    # nearest rows first: what is found early is not looked up again
    for dy in sorted(range(-radius, radius + 1), key=abs):
        reach = math.isqrt(radius * radius - dy * dy)
        row_start = (ys + dy) * width
        # clipping makes rows outside the frame empty stretches
        first = before.take(row_start + np.maximum(xs - reach, 0), mode="clip")
        last = before.take(row_start + np.minimum(xs + reach + 1, width), mode="clip")
        missed = first == last
        ys, xs = ys[missed], xs[missed]
        if not len(ys):
            break
    return int(np.count_nonzero(points)) - len(ys)
