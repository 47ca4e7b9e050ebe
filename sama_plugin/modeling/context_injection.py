"""Stage 2c: frame features attend to temporal tokens → one context token per frame per question."""

from __future__ import annotations

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

    def forward(self, features: Tensor, temporal_tokens: Tensor, owner: Tensor) -> Tensor:
        """Write what each question needs into each frame of its clip, then keep one token per frame.

        Args:
            features: (C, T, P, N) float; projected features of C equally long clips.
            temporal_tokens: (P_q, K, E) float; of all questions.
            owner: (P_q,) long; clip of each question.

        Returns:
            (P_q, T, N) float.
        """
        queries = self.query(features).flatten(1, 2)[owner]  # (P_q, T·P, N)
        keys, values = self.key(temporal_tokens), self.value(temporal_tokens)
        attended = F.scaled_dot_product_attention(queries, keys, values).unflatten(1, features.shape[1:3])
        # The mean over patches comes before the projection, which is linear: the same, for a fraction of the work.
        return self.final_proj(features.mean(dim=2)[owner] + self.attention_proj(attended.mean(dim=2)))
