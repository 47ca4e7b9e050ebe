"""Stage 2a: each frame → a few spatial query tokens. In: (T, P, N) projected features. Out: (T, Q, E)."""

from __future__ import annotations

from torch import Tensor, nn

from sama_plugin.config import AggregatorConfig
from sama_plugin.modeling.qformer import build_qformer_encoder, new_queries


class SpatialAggregator(nn.Module):
    """Learned queries read one frame at a time through a Q-Former without text.

    Args:
        hidden_size: N, width of the projected features.
        config: aggregator sizes.

    Source: paper §3.3; official `spatial_Qformer` (spec §3.2 steps 2-3). Differs: no. `encoder` and `queries` load
    from an InstructBLIP Q-Former (`layer.N.*`, `query_tokens`).
    """

    def __init__(self, hidden_size: int, config: AggregatorConfig) -> None:
        super().__init__()
        self.feature_proj = nn.Linear(hidden_size, config.encoder_width)
        self.feature_norm = nn.LayerNorm(config.encoder_width)
        self.queries = new_queries(config.spatial_queries, config.qformer_width)
        self.query_norm = nn.LayerNorm(config.qformer_width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = build_qformer_encoder(
            config,
            num_layers=config.spatial_layers,
            cross_every=config.spatial_cross_every,
            encoder_width=config.encoder_width,
            reads_text=False,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Summarise frames independently.

        Args:
            features: (T, P, N) float; frames of any number of clips.

        Returns:
            (T, Q, E) float.
        """
        frames = self.feature_norm(self.feature_proj(features))
        queries = self.dropout(self.query_norm(self.queries)).expand(frames.shape[0], -1, -1)
        return self.encoder(
            queries, encoder_hidden_states=frames, query_length=queries.shape[1]
        ).last_hidden_state
