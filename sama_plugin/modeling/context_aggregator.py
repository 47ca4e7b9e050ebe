"""Stage 2: the spatio-temporal context aggregator, composed of 2a (spatial), 2b (temporal) and 2c (injection)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sama_plugin.config import AggregatorConfig
from sama_plugin.modeling.context_injection import ContextInjection
from sama_plugin.modeling.spatial_aggregator import SpatialAggregator
from sama_plugin.modeling.temporal_aggregator import TemporalAggregator


class ContextAggregator(nn.Module):
    """One token per sparse frame per question, carrying what the question needs from the whole clip.

    Args:
        hidden_size: N.
        config: sizes.
        max_frames: largest number of sparse frames.

    Source: paper §3.3, figure 3; spec §3. Differs: see the three parts.
    """

    def __init__(self, hidden_size: int, config: AggregatorConfig, max_frames: int) -> None:
        super().__init__()
        self.spatial = SpatialAggregator(hidden_size, config)
        self.temporal = TemporalAggregator(hidden_size, config, max_frames)
        self.injection = ContextInjection(hidden_size, config.qformer_width)

    def forward(
        self,
        features: list[Tensor],
        question_embeds: list[list[Tensor]],
        region_slots: list[list[Tensor]],
        region_tokens: list[list[Tensor]],
    ) -> list[Tensor]:
        """Context tokens of a batch of clips.

        Args:
            features: list over clips of (T, P, N) float.
            question_embeds: per clip, per question (l, N) float; LLM token embeddings of the question text.
            region_slots: per clip, per question (l,) bool; True where a region token stands.
            region_tokens: per clip, per question (n, E) float, n = number of True slots.

        Returns:
            list over clips of (P_q, T, N) float.
        """
        spatial = self.spatial(torch.cat(features)).split([len(f) for f in features])
        embeds = [embed for clip in question_embeds for embed in clip]
        if not embeds:
            return [f.new_zeros(0, len(f), f.shape[-1]) for f in features]
        owner = [clip for clip, own in enumerate(question_embeds) for _ in own]
        text = self.temporal.text_proj(torch.cat(embeds))
        slots = torch.cat([slot for clip in region_slots for slot in clip])
        tokens = torch.cat([token for clip in region_tokens for token in clip]).to(text.dtype)
        text = text.masked_scatter(slots[:, None], tokens)
        questions = list(text.split([len(embed) for embed in embeds]))
        temporal = self.temporal(list(spatial), questions, owner)
        written = iter(self.injection(features, temporal, owner))
        return [
            torch.stack([next(written) for _ in own]) if own else f.new_zeros(0, len(f), f.shape[-1])
            for f, own in zip(features, question_embeds, strict=True)
        ]
