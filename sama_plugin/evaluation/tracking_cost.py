"""What tracking costs beside SAM2's own video predictor, same weights and prompts: `sama bench objects`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sama_plugin.config import Sam2Config
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.object_tracker import TrackedFrame
from sama_plugin.grounding.reference_tracker import build_predictor, track_with_predictor
from sama_plugin.media.decode import VideoClip

COUNTS = (1, 2, 4, 8)
ROUNDS = 3


class TrackingCost(NamedTuple):
    """So many objects through one clip.

    Attributes:
        objects: how many.
        sama_s: seconds of our tracker, SAM2's image features included; the median of the rounds.
        sam2_s: of the predictor.
        least_iou: of the masks of both, over objects and frames.
    """

    objects: int
    sama_s: float
    sam2_s: float
    least_iou: float


def measure_tracking(
    head: Any, config: Sam2Config, video: Path, counts: Sequence[int] = COUNTS, *, rounds: int = ROUNDS
) -> list[TrackingCost]:
    """Track objects that are given on the first frame by squares, in turns.

    Args:
        head: the `Sam2Head` of a model.
        config: sizes of its SAM2.
        video: at least two frames.
        counts: numbers of objects.
        rounds: of each side.
    """
    clip = VideoClip.open(video)
    prompts = _squares(max(counts), clip.height, clip.width)
    predictor = build_predictor(head.sam2, config)
    _ours(head, clip, prompts[:1])  # what is slow only once
    costs = []
    for count in counts:
        ours, theirs = [], []
        for _ in range(rounds):
            begun = time.perf_counter()
            left = _ours(head, clip, prompts[:count])
            between = time.perf_counter()
            right = _theirs(predictor, clip, prompts[:count])
            ours.append(between - begun)
            theirs.append(time.perf_counter() - between)
        ious = [region_similarity(right[:, k], left[:, k]).min() for k in range(count)]
        costs.append(
            TrackingCost(count, statistics.median(ours), statistics.median(theirs), float(min(ious)))
        )
    return costs


def _squares(count: int, height: int, width: int) -> torch.Tensor:
    """(count, H, W) bool; squares side by side in two rows."""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    columns = -(-count // 2)
    for i, mask in enumerate(masks):
        top, left = (i // columns) * height // 2, (i % columns) * width // columns
        mask[
            top + height // 8 : top + 3 * height // 8,
            left + width // (4 * columns) : left + 3 * width // (4 * columns),
        ] = True
    return masks


def _ours(head: Any, clip: VideoClip, prompts: torch.Tensor) -> np.ndarray:
    return _masks(head.propagate(FeatureStore(head, clip), {0: prompts}))


def _theirs(predictor: Any, clip: VideoClip, prompts: torch.Tensor) -> np.ndarray:
    return _masks(track_with_predictor(predictor, clip, {0: prompts}))


def _masks(frames: Iterable[TrackedFrame]) -> np.ndarray:
    """(T, S, h, w) bool of frames in order, all objects on each."""
    return np.stack([(frame.logits > 0).cpu().numpy() for frame in frames])


def format_tracking(costs: Sequence[TrackingCost]) -> str:
    """A table."""
    lines = [f"{'objects':>8}{'sama, s':>10}{'sam2, s':>10}{'ratio':>8}{'least IoU':>11}"]
    for cost in costs:
        lines.append(
            f"{cost.objects:>8}{cost.sama_s:>10.2f}{cost.sam2_s:>10.2f}{cost.sama_s / cost.sam2_s:>8.2f}"
            f"{cost.least_iou:>11.4f}"
        )
    return "\n".join(lines)


def plot_tracking(costs: Sequence[TrackingCost], path: Path) -> None:
    """Draw seconds against objects."""
    from sama_plugin.evaluation.line_plot import plot_lines

    counts = [cost.objects for cost in costs]
    lines = {"sama": [cost.sama_s for cost in costs], "sam2": [cost.sam2_s for cost in costs]}
    plot_lines(path, [("objects at once", counts, lines)], x="objects", y="seconds")
