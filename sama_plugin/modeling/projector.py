"""Stage 2 as a projector variant: the host's base projector plus every trainable SAMA part, under one key."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from sama_plugin.errors import HostError
from sama_plugin.modeling.context_aggregator import ContextAggregator
from sama_plugin.modeling.region_encoder import RegionEncoder

PROJECTOR_PREFIX = "sama_"


def base_projector_type(projector_type: str) -> str:
    """`sama_mlp2x_gelu` → `mlp2x_gelu`.

    Raises:
        HostError: not a SAMA projector type.
    """
    if not projector_type.startswith(PROJECTOR_PREFIX) or projector_type == PROJECTOR_PREFIX:
        raise HostError(
            f"mm_projector_type is '{projector_type}', expected '{PROJECTOR_PREFIX}<host projector type>', "
            "e.g. 'sama_mlp2x_gelu'."
        )
    return projector_type.removeprefix(PROJECTOR_PREFIX)


def pool_grid(features: Tensor, stride: int) -> Tensor:
    """Pool a square patch grid, as the host pools video frames (bilinear, size rounded up).

    Args:
        features: (T, P, N) float; P = side².
        stride: 1 or more.

    Returns:
        (T, ceil(side / stride)², N) float.

    Source: LLaVA-NeXT `get_2dPool`, mode bilinear. Differs: the stride is honoured.
    """
    if stride == 1:
        return features
    side = math.isqrt(features.shape[1])
    grid = features.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    pooled = F.interpolate(grid, size=(math.ceil(side / stride),) * 2, mode="bilinear")
    return pooled.flatten(2).transpose(1, 2)


class SamaProjector(nn.Module):
    """`mm_projector` of a SAMA model.

    The base layers keep the host's names (`mm_projector.0.weight`, ...), so the projector of a LLaVA-OneVision or
    LLaVA-Video checkpoint loads unchanged. Everything else SAMA trains hangs beside them, since the host freezes,
    saves and sets learning rates by the key `mm_projector`.

    Args:
        base: the host's projector, tower width C → N.
        region_encoder: stage 1.
        aggregator: stage 2; None in the ablation without it.
        seg_projection: hidden state of `[SEG]` → mask prompt; None without a grounding head.
        seg_decoder: fine-tuned copy of SAM2's mask decoder; None without SAM2.
    """

    def __init__(
        self,
        base: nn.Module,
        region_encoder: RegionEncoder,
        aggregator: ContextAggregator | None,
        seg_projection: nn.Module | None,
        seg_decoder: nn.Module | None,
    ) -> None:
        super().__init__()
        self.base_names = (
            [name for name, _ in base.named_children()] if isinstance(base, nn.Sequential) else []
        )
        for name, layer in base.named_children() if self.base_names else [("base", base)]:
            self.add_module(name, layer)
        self.base_names = self.base_names or ["base"]
        self.region_encoder = region_encoder
        self.aggregator = aggregator
        self.seg_projection = seg_projection
        self.seg_decoder = seg_decoder

    def added_names(self) -> set[str]:
        """Names of the weights that a host's projector does not have."""
        return {name for name in self.state_dict() if name.split(".", 1)[0] not in self.base_names}

    def forward(self, features: Tensor) -> Tensor:
        """Project tower features, as the host's projector does: (T, P, C) → (T, P, N)."""
        for name in self.base_names:
            features = self.get_submodule(name)(features)
        return features
