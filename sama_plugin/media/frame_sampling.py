"""Which frames each stage sees: sparse frames for the aggregator, dense positions among them for the LLM."""

from __future__ import annotations

from itertools import pairwise

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
