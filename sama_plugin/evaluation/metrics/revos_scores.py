"""ReVOS: accuracy A and robustness R beside J and F, grouped by type of expression.

The published script holds predictions of 0 and 255 against a ground truth of 0 and 1 in 8-bit arithmetic, so that its A
never counts a hit inside the object and its R falls 255 times too fast; `official_*` reproduces that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.region_similarity import check_mask_pair

REFERRING, REASONING, UNSCORED = 0, 1, 2
"""`type_id` of an expression; the last kind is left out of all groups."""

GROUPS = {"referring": REFERRING, "reasoning": REASONING}
OVERALL = "overall"
SMALL = 1e-6


def pixel_accuracy(gt_masks: np.ndarray, pred_masks: np.ndarray) -> np.ndarray:
    """A: share of pixels of each frame on which both masks agree.

    Args:
        gt_masks: (T, H, W) bool.
        pred_masks: (T, H, W) bool.

    Returns:
        (T,) float64 in [0, 1].

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: VISA's `get_r2vos_accuracy`, as it is meant. Differs: masks are bool.
    """
    check_mask_pair(gt_masks, pred_masks)
    return (gt_masks == pred_masks).mean(axis=(1, 2))


def robustness(gt_masks: np.ndarray, pred_masks: np.ndarray, foreground_masks: np.ndarray) -> np.ndarray:
    """R: how little of each frame is marked by mistake, measured by the area of everything that could be meant.

    Args:
        gt_masks: (T, H, W) bool.
        pred_masks: (T, H, W) bool.
        foreground_masks: (T, H, W) bool; union of all annotated objects of the video.

    Returns:
        (T,) float64 in [0, 1]; 1 - false pixels / foreground pixels, not below 0.

    Raises:
        MediaError: not (T, H, W) bool, or two shapes.

    Source: VISA's `get_r2vos_robustness`, as it is meant. Differs: masks are bool.
    """
    check_mask_pair(gt_masks, pred_masks)
    check_mask_pair(gt_masks, foreground_masks, ("gt_masks", "foreground_masks"))
    false = np.count_nonzero(pred_masks & ~gt_masks, axis=(1, 2))
    return np.maximum(1 - false / (np.count_nonzero(foreground_masks, axis=(1, 2)) + SMALL), 0.0)


def official_pixel_accuracy(gt_counts: np.ndarray, pred_masks: np.ndarray) -> np.ndarray:
    """A as the published script has it: only pixels outside of both masks agree.

    Args:
        gt_counts: (T, H, W) uint8; how many of the meant objects cover a pixel.
        pred_masks: (T, H, W) bool.

    Returns:
        (T,) float64 in [0, 1].

    Source: VISA's and the SAMA release's `get_r2vos_accuracy`. Differs: no.
    """
    return (gt_counts == pred_masks * np.uint8(255)).mean(axis=(1, 2))


def official_robustness(
    gt_counts: np.ndarray, pred_masks: np.ndarray, foreground_masks: np.ndarray
) -> np.ndarray:
    """R as the published script has it: a false pixel weighs 255.

    Args:
        gt_counts: (T, H, W) uint8; how many of the meant objects cover a pixel.
        pred_masks: (T, H, W) bool.
        foreground_masks: (T, H, W) bool.

    Returns:
        (T,) float64 in [0, 1].

    Source: VISA's and the SAMA release's `get_r2vos_robustness`. Differs: no.
    """
    wrong = (np.uint8(1) - gt_counts) * (pred_masks * np.uint8(255))  # wraps around, as there
    weight = wrong.sum(axis=(1, 2), dtype=np.uint64)
    return np.maximum(1 - weight / (np.count_nonzero(foreground_masks, axis=(1, 2)) + SMALL), 0.0)


def average_expressions(
    rows: Sequence[Mapping[str, float]], type_ids: Sequence[int], *, official: bool = False
) -> dict[str, dict[str, float | None]]:
    """Average expressions within their type, then the two types.

    Args:
        rows: metrics of each expression, e.g. `J`, `F`, `A`, `R`, fractions; the same names in each.
        type_ids: of each expression.
        official: round each expression's metrics to hundredths of a percent first.

    Returns:
        `referring`, `reasoning` and `overall` → metric → mean, with `J&F` where there are J and F; None where a group
        has no expression, overall where one of the two has none.

    Raises:
        DataError: two lengths, or an unknown type.

    Source: the published ReVOS script. Differs: official no; otherwise nothing is rounded.
    """
    if len(rows) != len(type_ids) or not {*type_ids} <= {REFERRING, REASONING, UNSCORED}:
        raise DataError(
            f"{len(rows)} expressions with {len(type_ids)} types {sorted({*type_ids})}; expected one type_id "
            f"each, out of {REFERRING}, {REASONING}, {UNSCORED}."
        )
    names = list(rows[0]) if rows else []
    groups: dict[str, dict[str, float | None]] = {}
    for group, type_id in GROUPS.items():
        own = [row for row, its in zip(rows, type_ids, strict=True) if its == type_id]
        groups[group] = {name: _mean([row[name] for row in own], official=official) for name in names}
    groups[OVERALL] = {name: _middle(*(groups[group][name] for group in GROUPS)) for name in names}
    if {"J", "F"} <= {*names}:
        for scores in groups.values():
            scores["J&F"] = _middle(scores["J"], scores["F"])
    return groups


def _mean(values: list[float], *, official: bool) -> float | None:
    if not values:
        return None
    return float(np.mean([round(100 * v, 2) / 100 for v in values] if official else values))


def _middle(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else (first + second) / 2
