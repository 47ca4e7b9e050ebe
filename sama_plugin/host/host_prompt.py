"""The host's own calling style (`<image>` once in `input_ids`, `images=[frames]`) → SAMA slots and inputs.

So harnesses written for LLaVA-NeXT run a SAMA model unchanged: no regions, one video per row. The layout is that of a
conversation's first turn, token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sama_plugin.config import SamaConfig
from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX
from sama_plugin.errors import PromptError
from sama_plugin.media.frame_sampling import dense_positions
from sama_plugin.prompting.tokenization import SlotLayout
from sama_plugin.schema import RegionInputs, VideoInputs


class HostPrompt(NamedTuple):
    """One row of a host call in SAMA's form: (L,) long ids with slots, and its video."""

    input_ids: Tensor
    video: VideoInputs


def expand_host_prompt(
    input_ids: Tensor,
    frames: Tensor,
    sama: SamaConfig,
    layout_of: Callable[[int, int], SlotLayout],
    *,
    newline_ids: Sequence[int] = (),
    end_ids: Collection[int] = (),
) -> HostPrompt:
    """Open the single `<image>` index of a host prompt into frame and context slots.

    Args:
        input_ids: (l,) long with exactly one `FRAME_TOKEN_INDEX`.
        frames: (T, 3, s, s) float; all given frames are the sparse frames (T at most `max_sparse`, else uniform).
        sama: the model's settings.
        layout_of: (num_dense, num_sparse) → slots.
        newline_ids: tokens of a newline; follow each frame's slots and the context slots, as in training.
        end_ids: tokens that end a turn; the question that the aggregator reads ends before the first of them.

    Raises:
        PromptError: no or several `<image>` in the row, or no frames.
    """
    at = (input_ids == FRAME_TOKEN_INDEX).nonzero().flatten()
    if len(at) != 1:
        raise PromptError(
            f"A host-style prompt needs exactly one <image>, got {len(at)}; use VideoSession for more."
        )
    if frames.ndim == 3:
        frames = frames[None]
    if len(frames) == 0:
        raise PromptError("A host-style prompt came with 0 frames; give at least one.")
    keep = torch.linspace(0, len(frames) - 1, min(len(frames), sama.sampling.max_sparse)).round().long()
    frames = frames[keep.to(frames.device)]
    dense = dense_positions(len(frames), sama.sampling.num_dense)
    layout = layout_of(len(dense), len(frames))
    before, rest = input_ids[: at[0]], input_ids[at[0] + 1 :].tolist()
    newline = list(newline_ids)
    if newline and rest[: len(newline)] == newline:  # the host's own, after its <image>
        rest = rest[len(newline) :]
    slots = ([FRAME_TOKEN_INDEX] * layout.tokens_per_frame + newline) * layout.num_dense
    slots += [CONTEXT_TOKEN_INDEX] * layout.num_context + (newline if layout.num_context else [])
    end = next((i for i, token in enumerate(rest) if token in end_ids), len(rest))
    ids = torch.cat([before, before.new_tensor([*slots, *rest])])
    question = before.new_tensor(rest[:end])
    return HostPrompt(
        ids, VideoInputs(frames, len(frames), torch.tensor(dense), [question], empty_regions(sama))
    )


def empty_regions(sama: SamaConfig) -> RegionInputs:
    """Region inputs of a sample that has none; the patch grid of the look masks broadcasts."""
    size = sama.region.shape_size
    none = torch.zeros(0, dtype=torch.long)
    return RegionInputs(torch.zeros(0, 1, 1), torch.zeros(0, size, size), torch.zeros(0, 5), none)
