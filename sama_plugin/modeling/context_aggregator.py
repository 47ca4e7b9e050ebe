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
        text: Tensor,
        is_region: Tensor,
        region_tokens: Tensor,
        lengths: list[int],
        owner: list[int],
        spatial: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Context tokens of a batch of clips.

        Every part runs once, without questions too: processes that share weights have to call them equally often.

        Args:
            features: list over clips, one or more, of (T, P, N) float; T is 0 where there is nothing to see.
            text: (L, N) float; LLM token embeddings of all questions, clip by clip.
            is_region: (L,) bool; True where a region token stands.
            region_tokens: (n, E) float, n = number of True slots, in their order.
            lengths: of each question; L in all.
            owner: clip of each question, ascending; one with frames.
            spatial: list over clips of (T, Q, E) float, from `summarise`; made here if None.

        Returns:
            list over clips of (P_q, T, N) float.
        """
        spatial = self.summarise(features) if spatial is None else spatial
        words = self.temporal.text_proj(text)
        words = words.masked_scatter(is_region[:, None], region_tokens.to(words.dtype))
        temporal, counts = self.temporal(spatial, words, lengths, owner)
        written = self.injection(features, temporal, counts, owner)
        shapes = [(owner.count(clip), len(own)) for clip, own in enumerate(features)]
        parts = written.split([questions * frames for questions, frames in shapes])
        return [part.unflatten(0, shape) for part, shape in zip(parts, shapes, strict=True)]

    def summarise(self, features: list[Tensor]) -> list[Tensor]:
        """The part that no question changes: list over clips of (T, P, N) float → (T, Q, E) float."""
        return list(self.spatial(torch.cat(features)).split([len(f) for f in features]))
