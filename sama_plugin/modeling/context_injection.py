"""Stage 2c: frame features attend to temporal tokens → one context token per frame per question."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextInjection(nn.Module):
    """Single-head attention from every patch of every frame to the temporal tokens of a question.

    Args:
        hidden_size: N.
        qformer_width: E.

    Source: official `Qformer_temp_attn_*`, `_temp_proj`, `_final_proj` (spec §3.2 step 8). Differs: no.
    """

    def __init__(self, hidden_size: int, qformer_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(qformer_width, hidden_size)
        self.value = nn.Linear(qformer_width, hidden_size)
        self.attention_proj = nn.Linear(hidden_size, hidden_size)
        self.final_proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, features: Tensor, temporal_tokens: list[Tensor]) -> Tensor:
        """Write what the question needs into each frame, then keep one token per frame.

        Args:
            features: (T, P, N) float; projected features of one clip.
            temporal_tokens: list over the clip's P_q questions of (K, E) float, equal K.

        Returns:
            (P_q, T, N) float; (0, T, N) without questions.
        """
        num_frames, num_patches, width = features.shape
        if not temporal_tokens:
            return features.new_zeros(0, num_frames, width)
        tokens = torch.stack(temporal_tokens)  # (P_q, K, E)
        queries = self.query(features).flatten(0, 1).expand(len(tokens), -1, -1)  # (P_q, T·P, N)
        attended = F.scaled_dot_product_attention(queries, self.key(tokens), self.value(tokens))
        attended = attended.view(len(tokens), num_frames, num_patches, width)
        return self.final_proj((features + self.attention_proj(attended)).mean(dim=2))
