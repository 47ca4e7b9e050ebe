"""Query transformer blocks of both aggregators: `transformers`' BLIP-2 Q-Former layers under one small builder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerEncoder

from sama_plugin.config import AggregatorConfig

QUERY_INIT_STD = 0.02


def build_qformer_encoder(
    config: AggregatorConfig, *, num_layers: int, cross_every: int, encoder_width: int, reads_text: bool
) -> Blip2QFormerEncoder:
    """Make the Q-Former layers whose key names match published BLIP-2 / InstructBLIP weights (`layer.N. ...`).

    Args:
        config: widths, heads and dropout.
        num_layers: layers.
        cross_every: cross-attention in layers 0, n, 2n, ...
        encoder_width: width of what the queries attend to.
        reads_text: whether text tokens pass beside the queries (adds their feed-forward).

    Source: official `spatial_Qformer` / `temporal_Qformer` (spec §3.1). Differs: no.
    """
    return Blip2QFormerEncoder(
        Blip2QFormerConfig(
            hidden_size=config.qformer_width,
            num_hidden_layers=num_layers,
            num_attention_heads=config.qformer_heads,
            intermediate_size=config.qformer_intermediate,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            cross_attention_frequency=cross_every,
            encoder_hidden_size=encoder_width,
            use_qformer_text_input=reads_text,
        )
    )


def new_queries(num_queries: int, width: int) -> nn.Parameter:
    """(1, Q, E) learned queries, N(0, 0.02) as BERT's embeddings."""
    return nn.Parameter(torch.randn(1, num_queries, width) * QUERY_INIT_STD)


def additive_mask(keep: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a (B, K) bool mask, True = attend, into the (B, 1, 1, K) additive mask the layers expect."""
    return (~keep)[:, None, None, :].to(dtype) * torch.finfo(dtype).min


def sine_positions(length: int, width: int, like: Tensor) -> Tensor:
    """(length, width) sine and cosine positions of any length, device and dtype of `like`."""
    steps = torch.arange(length, device=like.device, dtype=torch.float32)[:, None]
    rates = torch.exp(
        torch.arange(0, width, 2, device=like.device, dtype=torch.float32)
        * (-torch.log(torch.tensor(1e4)) / width)
    )
    table = torch.zeros(length, width, device=like.device)
    table[:, 0::2] = torch.sin(steps * rates)
    table[:, 1::2] = torch.cos(steps * rates)[:, : width // 2]
    return table.to(like.dtype)
