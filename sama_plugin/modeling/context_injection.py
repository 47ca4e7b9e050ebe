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
        self, features: list[Tensor], temporal_tokens: Tensor, counts: list[int], owner: list[int]
    ) -> Tensor:
        """Write what each question needs into each frame of its clip, then keep one token per frame.

        Every layer runs once for the whole batch: processes that share weights have to call them equally often.

        Args:
            features: list over clips of (T, P, N) float; projected features.
            temporal_tokens: (K, E) float; those of all questions one after the other.
            counts: how many each question has; K in all.
            owner: clip of each question.

        Returns:
            (n, N) float; questions one after the other, T rows each. Without questions there are no rows, and the
            layers keep their place in the graph.
        """
        frames, lengths = torch.cat(features), [len(f) for f in features]
        asking, offered, told = self.query(frames), self.key(temporal_tokens), self.value(temporal_tokens)
        queries = [q.flatten(0, 1) for q in asking.split(lengths)]  # (T·P, N)
        keys, values = offered.split(counts), told.split(counts)
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
        none = asking.flatten(0, 1)[:0] + offered[:0] + told[:0]
        context = torch.cat([none, *(means[clip] for clip in owner)])
        context = context + self.attention_proj(torch.cat([none, *(attended[q] for q in range(len(owner)))]))
        return self.final_proj(context)
