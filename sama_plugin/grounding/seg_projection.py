"""Stage 5: hidden state at each `[SEG]` → prompt embedding of the mask decoder."""

from __future__ import annotations

from torch import nn


def build_seg_projection(hidden_size: int, prompt_dim: int) -> nn.Sequential:
    """Make the two-layer projection (S, N) → (S, M).

    Args:
        hidden_size: N, LLM width.
        prompt_dim: M, width of SAM2's prompts (or of the dot head's frame features).

    Source: official `text_hidden_fcs` (spec §4.1). Differs: no (its dropout is 0).
    """
    return nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, prompt_dim))
