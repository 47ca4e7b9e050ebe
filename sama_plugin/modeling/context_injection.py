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

    def forward(
        self, features: list[Tensor], temporal_tokens: list[Tensor], owner: list[int]
    ) -> list[Tensor]:
        """Write what each question needs into each frame of its clip, then keep one token per frame.

        Every layer runs once for the whole batch: processes that share weights have to call them equally often.

        Args:
            features: list over clips of (T, P, N) float; projected features.
            temporal_tokens: list over questions, one or more, of (K, E) float.
            owner: clip of each question.

        Returns:
            list over questions of (T, N) float.
        """
        frames, lengths = torch.cat(features), [len(f) for f in features]
        queries = [q.flatten(0, 1) for q in self.query(frames).split(lengths)]  # (T·P, N)
        tokens, counts = torch.cat(temporal_tokens), [len(t) for t in temporal_tokens]
        keys, values = (layer(tokens).split(counts) for layer in (self.key, self.value))
        alike: dict[tuple[int, int], list[int]] = {}
        for question, clip in enumerate(owner):
            alike.setdefault((lengths[clip], counts[question]), []).append(question)
        attended: dict[int, Tensor] = {}
        for (length, _), asked in alike.items():
            own, key, value = (
                torch.stack(rows)
                for rows in zip(*((queries[owner[q]], keys[q], values[q]) for q in asked), strict=True)
            )
            read = F.scaled_dot_product_attention(own, key, value)
            attended |= zip(asked, read.unflatten(1, (length, -1)).mean(dim=2), strict=True)  # (T, N)
        # The mean over patches comes before the projection, which is linear: the same, for a fraction of the work.
        means = frames.mean(dim=1).split(lengths)
        context = torch.cat([means[clip] for clip in owner])
        context = context + self.attention_proj(torch.cat([attended[q] for q in range(len(owner))]))
        return list(self.final_proj(context).split([lengths[clip] for clip in owner]))
