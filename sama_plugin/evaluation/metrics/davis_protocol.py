"""Ref-DAVIS17: the expressions of one annotator make one index mask, scored as DAVIS scores objects; then the mean.

The SAMA release scores each expression by itself instead, so that objects may overlap and annotators do not count
equally; that number is a plain mean of J and F over expressions and needs nothing from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.metrics.contour_accuracy import contour_accuracy
from sama_plugin.evaluation.metrics.object_matching import assign_pairs
from sama_plugin.evaluation.metrics.region_similarity import region_similarity

NUM_ANNOTATORS = 4


class ObjectRow(NamedTuple):
    """One object of one video as one annotator described it.

    Attributes:
        region: J, mean over frames.
        contour: F, mean over frames.
    """

    region: float
    contour: float


def expression_place(index: int) -> tuple[int, int]:
    """Which object and which annotator the expression at a place of a video's list means.

    Args:
        index: 0-based, in the order of the file: the four expressions of the first object, of the second, ...

    Returns:
        (object, annotator), both 0-based.

    Source: Khoreva et al., ACCV 2018, as all published inference scripts read it. Differs: no.
    """
    return divmod(index, NUM_ANNOTATORS)


def merge_objects(tracks: Sequence[np.ndarray], scores: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """One index mask of all objects of an annotator: a pixel belongs to one object.

    Args:
        tracks: one (T, H, W) bool per object, at least one, at most 254.
        scores: (T, H, W) float per object, higher for surer pixels; without them, and where they are equal, a pixel
            that several objects claim goes to the first of them.

    Returns:
        (T, H, W) uint8; 0 background, k + 1 for object k.

    Raises:
        MediaError: tracks or scores of several shapes, or another number of them.

    Source: published Ref-DAVIS17 inference, argmax over objects above 0.5. Differs: no; binary masks are a tie.
    """
    shapes = {track.shape for track in (*tracks, *(scores or ()))}
    if len(shapes) != 1 or len(tracks) >= 255 or len(scores or tracks) != len(tracks):
        raise MediaError(
            f"{len(tracks)} tracks and {len(scores or ())} score maps of shapes {sorted(shapes)}; expected 1 to 254 "
            "tracks of one (T, H, W), and as many score maps or none."
        )
    merged = np.zeros(tracks[0].shape, dtype=np.uint8)
    best = np.full(tracks[0].shape, -np.inf)
    for k, track in enumerate(tracks):
        own = np.zeros(track.shape) if scores is None else scores[k]
        wins = track & ((own > best) | (merged == 0))
        merged[wins] = k + 1
        best[wins] = own[wins]
    return merged


def score_annotator(
    gt_tracks: Sequence[np.ndarray],
    merged: np.ndarray,
    void_masks: np.ndarray | None = None,
    *,
    matched: bool = True,
) -> list[ObjectRow]:
    """Score the index masks of one annotator on one video.

    Args:
        gt_tracks: (T, H, W) bool of each object, in the order of their ids.
        merged: (T, H, W) integers, from `merge_objects` or read from files; id k + 1 means object k.
        void_masks: (T, H, W) bool; not judged.
        matched: pair objects and ids so that J&F is largest, as the official protocol does (its task is
            `unsupervised`); False holds each id to its own object, which is stricter.

    Returns:
        One row per object of the ground truth; an object without a prediction is held against empty masks.

    Raises:
        DataError: ids beyond the number of objects.
        MediaError: masks that cannot be compared.
        HostError: scipy is missing.

    Source: `davis2017-evaluation`, tasks `unsupervised` and `semi-supervised`. Differs: spare ids are an error here;
    there the first task takes up to 20 of them as more proposals.
    """
    highest = int(merged.max(initial=0))
    if highest > len(gt_tracks):
        raise DataError(
            f"The index masks hold the id {highest}, but there are {len(gt_tracks)} objects; one id each is expected."
        )
    predictions = [merged == k + 1 for k in range(len(gt_tracks))]
    if not matched:
        return [_row(gt, pred, void_masks) for gt, pred in zip(gt_tracks, predictions, strict=True)]
    rows = [[_row(gt, pred, void_masks) for pred in predictions] for gt in gt_tracks]
    quality = np.array([[(row.region + row.contour) / 2 for row in own] for own in rows])
    return [rows[g][p] for g, p in assign_pairs(quality)]


def _row(gt: np.ndarray, pred: np.ndarray, void_masks: np.ndarray | None) -> ObjectRow:
    return ObjectRow(
        float(region_similarity(gt, pred, void_masks).mean()),
        float(contour_accuracy(gt, pred, void_masks=void_masks).mean()),
    )


def average_annotators(rows: Mapping[int, Sequence[ObjectRow]]) -> dict[str, float]:
    """The benchmark's numbers: means over the objects of all videos per annotator, then over annotators.

    Args:
        rows: annotator → objects of all videos, from `score_annotator`.

    Returns:
        `J`, `F` and `J&F` in [0, 1].

    Raises:
        DataError: not four annotators, or they have not all the same number of objects.

    Source: published Ref-DAVIS17 protocol. Differs: no.
    """
    counts = {annotator: len(own) for annotator, own in rows.items()}
    if len(counts) != NUM_ANNOTATORS or len({*counts.values()}) != 1 or not all(counts.values()):
        raise DataError(
            f"Objects per annotator: {counts}; expected {NUM_ANNOTATORS} annotators with the same number, 1 or more."
        )
    region = float(np.mean([np.mean([row.region for row in own]) for own in rows.values()]))
    contour = float(np.mean([np.mean([row.contour for row in own]) for own in rows.values()]))
    return {"J": region, "F": contour, "J&F": (region + contour) / 2}
