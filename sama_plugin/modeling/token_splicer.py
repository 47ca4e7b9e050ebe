"""Stage 3: visual, context and region tokens → their slots in the text. Counts must agree; nothing is repaired."""

from __future__ import annotations

from torch import Tensor

from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, REGION_TOKEN_INDEX
from sama_plugin.errors import PromptError

SLOT_NAMES = {FRAME_TOKEN_INDEX: "frame", CONTEXT_TOKEN_INDEX: "context", REGION_TOKEN_INDEX: "region"}


def fill_slots(
    inputs_embeds: Tensor, input_ids: Tensor, features: dict[int, Tensor], sample_id: str
) -> Tensor:
    """Put features into the slots of one sample, left to right.

    Args:
        inputs_embeds: (L, N) float; text embeddings, any value at slots.
        input_ids: (L,) long with slot sentinels.
        features: slot sentinel → (n, N) float; a missing key means no features.
        sample_id: for the error.

    Returns:
        (L, N) float, a new tensor.

    Raises:
        PromptError: a kind of slot and its features differ in number.

    Source: spec §1.1. Differs: one sentinel per kind instead of one shared token, and a mismatch is an error
    (official: features are cut or repeated).
    """
    for index, name in SLOT_NAMES.items():
        slots = input_ids == index
        num_slots = int(slots.sum())
        rows = features.get(index)
        num_rows = 0 if rows is None else len(rows)
        if num_slots != num_rows:
            raise PromptError(
                f"Sample '{sample_id}' has {num_slots} {name} slots in its text but {num_rows} {name} features; "
                "build text and features from the same frames, questions and regions."
            )
        if rows is not None:  # none of them, too: what makes them keeps its place in the graph
            inputs_embeds = inputs_embeds.masked_scatter(slots[:, None], rows.to(inputs_embeds.dtype))
    return inputs_embeds
