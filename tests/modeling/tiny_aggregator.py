"""Aggregator sizes for tests: everything differs from everything else, so that a mixed-up axis shows."""

from __future__ import annotations

from sama_plugin.config import AggregatorConfig

HIDDEN = 20
TINY_AGGREGATOR = AggregatorConfig(
    pool_stride=2,
    qformer_width=12,
    qformer_heads=3,
    qformer_intermediate=18,
    encoder_width=16,
    spatial_layers=3,
    spatial_cross_every=2,
    spatial_queries=5,
    temporal_layers=2,
    temporal_queries=4,
    window_frames=3,
    dropout=0.1,
)
