"""Stage 3: visual, context and region tokens → their slots in the text. Counts must agree; nothing is repaired."""

from __future__ import annotations

import torch
from torch import Tensor

from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, REGION_TOKEN_INDEX
from sama_plugin.errors import PromptError

SLOT_NAMES = {FRAME_TOKEN_INDEX: "frame", CONTEXT_TOKEN_INDEX: "context", REGION_TOKEN_INDEX: "region"}


def fill_slots(
    inputs_embeds: Tensor, input_ids: Tensor, features: dict[int, list[Tensor]], sample_ids: list[str]
) -> Tensor:
    """Put features into the slots of a batch, left to right.

    Args:
        inputs_embeds: (B, L, N) float; text embeddings, any value at slots.
        input_ids: (B, L) long with slot sentinels.
        features: slot sentinel → list of B × (n, N) float; a missing key means no features.
        sample_ids: list of B; for the error.

    Returns:
        (B, L, N) float, a new tensor.

    Raises:
        PromptError: a kind of slot and its features differ in number.

    Source: spec §1.1. Differs: one sentinel per kind instead of one shared token, and a mismatch is an error
    (official: features are cut or repeated).
    """
    for index, name in SLOT_NAMES.items():
        slots = input_ids == index
        rows = features.get(index)
        given = [0] * len(input_ids) if rows is None else [len(own) for own in rows]
        for sample_id, num_slots, num_rows in zip(sample_ids, slots.sum(dim=1).tolist(), given, strict=True):
            if num_slots != num_rows:
                raise PromptError(
                    f"Sample '{sample_id}' has {num_slots} {name} slots in its text but {num_rows} {name} features; "
                    "build text and features from the same frames, questions and regions."
                )
        if rows is not None:  # none of them, too: what makes them keeps its place in the graph
            filled = torch.cat(rows).to(inputs_embeds.dtype)
            inputs_embeds = inputs_embeds.masked_scatter(slots[..., None], filled)
    return inputs_embeds
