"""Which frames are seen: sparse ones by the aggregator, dense ones among them by the LLM, a few by a reader."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from sama_plugin.config import SamplingConfig
from sama_plugin.errors import MediaError


def sparse_indices(num_frames: int, sampling: SamplingConfig) -> list[int]:
    """Pick the frames the aggregator sees: every `interval`-th, thinned to `max_sparse`, filled up when few.

    Args:
        num_frames: frames of the clip; 1 or more.
        sampling: `interval`, `max_sparse` and `min_sparse` are used.

    Returns:
        T frame indices, strictly increasing, 1 <= T <= `max_sparse`; T may stay below `min_sparse` in short
        clips.

    Raises:
        MediaError: a clip without frames.

    Source: official `get_sparse_indices_uniform` (its HF copy; the training copy is missing). Differs: no.
    """
    if num_frames < 1:
        raise MediaError(f"Cannot sample frames of a clip with {num_frames} frames, expected at least 1.")
    indices = list(range(0, num_frames, sampling.interval))
    count = len(indices)
    if count > sampling.max_sparse:
        return [indices[i * count // sampling.max_sparse] for i in range(sampling.max_sparse)]
    missing = sampling.min_sparse - count
    if missing > 0:
        extra = ((i + 1) * num_frames // (missing + 1) for i in range(missing))
        indices = sorted({*indices, *extra})
    return indices


def dense_positions(num_sparse: int, num_dense: int) -> list[int]:
    """Pick the sparse frames that become image tokens of the LLM and targets of SAM2, spread over the clip.

    Args:
        num_sparse: T; 1 or more.
        num_dense: D.

    Returns:
        D positions in [0, T), increasing; all T of them where T < D, so that a picture is seen once.

    Raises:
        MediaError: no sparse frames, or no dense frames asked for.

    Source: official training rule (midpoints of D integer segments of [0, T-1]). Differs: for T <= D that rule
        gives -1 and repeats; here every frame is taken once. The official evaluation takes the first D instead; here
        training and inference agree.
    """
    if num_sparse < 1 or num_dense < 1:
        raise MediaError(
            f"Cannot pick {num_dense} dense frames among {num_sparse} sparse ones, expected 1 or more."
        )
    if num_sparse <= num_dense:
        return list(range(num_sparse))
    edges = [k * (num_sparse - 1) // num_dense for k in range(num_dense + 1)]
    return [(start + stop - 1) // 2 for start, stop in pairwise(edges)]


def shown_frames(
    num_frames: int, count: int, wanted: Iterable[int], seen: Iterable[Sequence[int]]
) -> list[int]:
    """Pick frames for a picture, spread over the clip, some moved so that what matters is seen.

    Args:
        num_frames: of the clip; 1 or more.
        count: frames at most.
        wanted: frames to be among them, if there is room.
        seen: of each object, the frames it is visible on, rising; one of them is to be among them, if there is room.

    Returns:
        Rising frame indices.
    """
    spread = np.linspace(0, num_frames - 1, min(count, num_frames)).round().astype(int)
    frames = dict(enumerate(spread.tolist()))  # slot -> frame
    fixed: set[int] = set()

    def show(index: int) -> None:
        free = [slot for slot in frames if slot not in fixed]
        if free and index not in frames.values():
            frames[min(free, key=lambda slot: abs(frames[slot] - index))] = index
        fixed.update(slot for slot, frame in frames.items() if frame == index)

    for index in wanted:
        show(index)
    for visible in seen:
        if visible and not set(visible).intersection(frames.values()):
            show(visible[len(visible) // 2])
    return sorted(frames.values())
