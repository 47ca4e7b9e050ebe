"""Stage 1: regions → region tokens. In: projected frame features and region masks. Out: look and shape tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sama_plugin.config import RegionConfig

BOX_FEATURES = 5


class RegionTokens(NamedTuple):
    """Both copies of the tokens of R regions, look before shape.

    Attributes:
        llm: (R, 2, N) float; fill the region slots of the LLM.
        aggregator: (R, 2, E) float; stand in the question the temporal aggregator reads.
    """

    llm: Tensor
    aggregator: Tensor


def pool_look(features: Tensor, look_masks: Tensor) -> Tensor:
    """Mean frame feature inside each region.

    Args:
        features: (R, P, N) float; features of the frame that shows each region, patches row-major.
        look_masks: (R, h, w) float in [0, 1] with h·w = P; share of each patch inside the region.

    Returns:
        (R, N) float; zeros for an empty mask.

    Source: official mask pooling (spec §3.3). Differs: soft shares instead of a nearest-resized binary mask, so that
    a region smaller than a patch still weighs that patch.
    """
    weights = look_masks.flatten(1)
    weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-6)
    return torch.einsum("rp,rpn->rn", weights, features)


def spread_boxes(boxes: Tensor, frequencies: int) -> Tensor:
    """Box numbers as sines and cosines of rising frequency, so that small differences weigh among many mask cells.

    Args:
        boxes: (R, 5) float32 in [0, 1]; half precision has too few digits for the fast sines.
        frequencies: pairs per number; 0 gives `boxes` back.

    Returns:
        (R, 5) or (R, 5 · 2 · frequencies) float.
    """
    if frequencies == 0:
        return boxes
    angles = boxes[..., None] * (
        torch.pi * 2.0 ** torch.arange(frequencies, device=boxes.device, dtype=boxes.dtype)
    )
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)


class RegionEncoder(nn.Module):
    """Two tokens per region: how it looks (pooled features) and its shape (cropped mask and box).

    Args:
        hidden_size: N, width of LLM and projected features.
        qformer_width: E, width of the aggregator's copy.
        config: sizes of the shape branch.

    Source: paper §3.2; official `Qformer_mask_*` layers (spec §3.1, §3.3). Differs: the shape mask is cropped to
    its box and the box is given as five numbers beside it, since a small region all but vanishes in a full-frame
    mask; the region's frame is the one the user pointed at.
    """

    def __init__(self, hidden_size: int, qformer_width: int, config: RegionConfig) -> None:
        super().__init__()
        self.box_frequencies = config.box_frequencies
        shape_inputs = config.shape_size**2 + BOX_FEATURES * max(1, 2 * config.box_frequencies)
        self.look_llm = nn.Linear(hidden_size, hidden_size)
        self.look_aggregator = nn.Linear(hidden_size, qformer_width)
        self.shape_llm = _shape_mlp(shape_inputs, config.shape_hidden, hidden_size)
        self.shape_aggregator = _shape_mlp(shape_inputs, config.shape_hidden, qformer_width)

    def forward(
        self, features: Tensor, look_masks: Tensor, shape_masks: Tensor, boxes: Tensor
    ) -> RegionTokens:
        """Encode R regions, of any number of samples; R may be 0.

        Args:
            features: (R, P, N) float; projected features of the frame that shows each region.
            look_masks: (R, h, w) float, see `RegionInputs`; like the rest on any device.
            shape_masks: (R, s, s) float.
            boxes: (R, 5) float32.

        Returns:
            Tokens of the regions in order.
        """
        look = pool_look(features, look_masks.to(features))  # (R, N)
        spread = spread_boxes(boxes.to(features.device), self.box_frequencies).to(features.dtype)
        shape = torch.cat([shape_masks.to(features).flatten(1), spread], dim=1)
        return RegionTokens(
            llm=torch.stack([self.look_llm(look), self.shape_llm(shape)], dim=1),
            aggregator=torch.stack([self.look_aggregator(look), self.shape_aggregator(shape)], dim=1),
        )


def _shape_mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )
