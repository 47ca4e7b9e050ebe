from __future__ import annotations

import torch
from transformers import Blip2QFormerConfig, Blip2QFormerModel

from sama_plugin.modeling.spatial_aggregator import SpatialAggregator
from tests.modeling.tiny_aggregator import HIDDEN, TINY_AGGREGATOR

FRAMES, PATCHES = 4, 9


def make_aggregator() -> SpatialAggregator:
    torch.manual_seed(0)
    return SpatialAggregator(HIDDEN, TINY_AGGREGATOR).eval()


def test_equals_blip2_with_the_same_weights() -> None:
    aggregator = make_aggregator()
    theirs = Blip2QFormerModel(
        Blip2QFormerConfig(
            hidden_size=12,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=18,
            cross_attention_frequency=2,
            encoder_hidden_size=16,
        )
    ).eval()
    theirs.encoder.load_state_dict(aggregator.encoder.state_dict())
    theirs.layernorm.load_state_dict(aggregator.query_norm.state_dict())
    features = torch.randn(FRAMES, PATCHES, HIDDEN)
    frames = aggregator.feature_norm(aggregator.feature_proj(features))
    expected = theirs(
        query_embeds=aggregator.queries.expand(FRAMES, -1, -1), encoder_hidden_states=frames
    ).last_hidden_state
    torch.testing.assert_close(aggregator(features), expected, atol=1e-5, rtol=1e-5)


def test_frames_do_not_see_each_other() -> None:
    aggregator, features = make_aggregator(), torch.randn(FRAMES, PATCHES, HIDDEN)
    together = aggregator(features)
    assert together.shape == (FRAMES, 5, 12)
    for t in range(FRAMES):
        torch.testing.assert_close(aggregator(features[t : t + 1])[0], together[t], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_every_second_layer_reads_the_frame() -> None:
    has_cross = [layer.has_cross_attention for layer in make_aggregator().encoder.layer]
    assert has_cross == [True, False, True]
