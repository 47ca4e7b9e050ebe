"""What J and F cost beside `vos-benchmark`, on the same masks in turns in one process: `sama bench scoring`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sama_plugin.errors import HostError, SamaError
from sama_plugin.evaluation.apart import measure_apart, peak_resident_mb, report
from sama_plugin.evaluation.metrics import contour_accuracy, region_similarity

SIZE = (480, 854)
FRAMES = 20
ROUNDS = 5
VIDEOS = (4, 40)
"""How many videos are scored one after another when memory is measured."""

DRIFT = 3
"""Pixels that a prediction lies beside the truth."""


class ScoringCost(NamedTuple):
    """One kind of mask.

    Attributes:
        shape: its name in `SHAPES`.
        sama_ms: per frame; the median of the rounds.
        vos_ms: of `vos-benchmark`.
        difference: largest absolute difference of J or F of any frame.
    """

    shape: str
    sama_ms: float
    vos_ms: float
    difference: float


def _ellipse(yy: np.ndarray, xx: np.ndarray, t: int, height: float, width: float) -> np.ndarray:
    return ((yy - 220 - t) / height) ** 2 + ((xx - 380 - 4 * t) / width) ** 2 < 1


def _small(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    return _ellipse(yy, xx, t, 24, 32)


def _large(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    return _ellipse(yy, xx, t, 190, 300)


def _ragged(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    """An outline with waves, as of an animal or a tree."""
    angle = np.arctan2(yy - 230, xx - 400 - 2 * t)
    return np.hypot(yy - 230, xx - 400 - 2 * t) < 150 + 35 * np.sin(9 * angle) + 12 * np.sin(37 * angle + t)


def _scattered(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    """Some forty parts, as of a flock."""
    return np.sin((yy + t) / 19) * np.sin((xx + 2 * t) / 23) > 0.6


def _thin(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    """A line, as of a rope."""
    return abs(yy - 240 - 120 * np.sin((xx + 5 * t) / 90)) < 3


def _absent(yy: np.ndarray, xx: np.ndarray, t: int) -> np.ndarray:
    return np.zeros(yy.shape, dtype=bool)


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "small": _small,
    "large": _large,
    "ragged": _ragged,
    "scattered": _scattered,
    "thin": _thin,
    "absent": _absent,
}


def draw_pair(shape: str, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction, the latter a little beside, each (T, 480, 854) bool."""
    yy, xx = np.mgrid[: SIZE[0], : SIZE[1]]
    draw = SHAPES[shape]
    gt = np.stack([draw(yy, xx, t) for t in range(num_frames)])
    return gt, np.stack([draw(yy + DRIFT, xx - DRIFT, t) for t in range(num_frames)])


def measure_scoring(
    shapes: Sequence[str] = tuple(SHAPES), *, num_frames: int = FRAMES, rounds: int = ROUNDS
) -> list[ScoringCost]:
    """Score the same masks by both sides in turns.

    Args:
        shapes: some of `SHAPES`.
        num_frames: of each.
        rounds: of each side.

    Raises:
        HostError: `vos-benchmark` is missing.
    """
    theirs = _open_vos_benchmark()
    costs = []
    for shape in shapes:
        pair = draw_pair(shape, num_frames)
        indexed = tuple(side.astype(np.uint8) for side in pair)
        sama_s, vos_s = [], []
        for _ in range(rounds):
            begun = time.perf_counter()
            ours = np.stack([region_similarity(*pair), contour_accuracy(*pair)])
            between = time.perf_counter()
            reference = theirs(*indexed)
            sama_s.append(between - begun)
            vos_s.append(time.perf_counter() - between)
        sama_ms, vos_ms = (1000 * statistics.median(side) / num_frames for side in (sama_s, vos_s))
        costs.append(ScoringCost(shape, sama_ms, vos_ms, float(abs(ours - reference).max())))
    return costs


def _open_vos_benchmark() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Score index masks of one object, (T, H, W) uint8 each, to (2, T) float64: J and F."""
    try:
        from vos_benchmark.evaluator import Evaluator
    except ImportError as error:
        raise HostError(
            f"Measuring against vos-benchmark needs it ({error}): pip install vos-benchmark scikit-image"
        ) from error

    def score(gt_ids: np.ndarray, pred_ids: np.ndarray) -> np.ndarray:
        evaluator: Any = Evaluator()
        evaluator.objects_in_gt.add(1)
        for gt, pred in zip(gt_ids, pred_ids, strict=True):
            evaluator.feed_frame(pred, gt)
        return np.array([evaluator.object_iou[1], evaluator.boundary_f[1]])

    return score


def measure_videos(counts: Sequence[int] = VIDEOS) -> dict[int, float]:
    """Peak of memory of a process that scores so many videos one after another, in megabytes.

    Raises:
        SamaError: a process failed, or was killed.
    """
    peaks = {}
    for count in counts:
        made = measure_apart([__name__, "--videos", str(count)], f"scoring {count} videos")
        if made is None:
            raise SamaError(f"The process that scored {count} videos was killed; free some memory.")
        peaks[count] = made["peak_mb"]
    return peaks


def format_scoring(costs: Sequence[ScoringCost], peaks: dict[int, float]) -> str:
    """A table, and how memory grows with the number of videos."""
    lines = [f"{'masks':<11}{'sama, ms':>10}{'vos-benchmark, ms':>19}{'ratio':>8}{'largest difference':>20}"]
    for cost in costs:
        lines.append(
            f"{cost.shape:<11}{cost.sama_ms:>10.2f}{cost.vos_ms:>19.2f}{cost.vos_ms / cost.sama_ms:>8.1f}"
            f"{cost.difference:>20.1e}"
        )
    ratios = [cost.vos_ms / cost.sama_ms for cost in costs]
    total = sum(cost.vos_ms for cost in costs) / sum(cost.sama_ms for cost in costs)
    lines.append(
        f"J and F of a frame of {SIZE[1]} x {SIZE[0]}: {total:.1f} times as fast, at least {min(ratios):.1f}"
    )
    for count, peak in peaks.items():
        lines.append(f"{count} videos: peak {peak:.0f} MB")
    lines.append(f"largest peak / smallest: {max(peaks.values()) / min(peaks.values()):.3f}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Score videos in this process and print one JSON line; `measure_videos` calls it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, required=True)
    count = parser.parse_args(argv).videos
    report(lambda: {"peak_mb": _score_videos(count)})


def _score_videos(count: int) -> float:
    """Score so many videos one after another; the peak of this process's memory."""
    for _ in range(count):
        pair = draw_pair("small", FRAMES)
        region_similarity(*pair)
        contour_accuracy(*pair)
    return peak_resident_mb()


if __name__ == "__main__":
    main()
