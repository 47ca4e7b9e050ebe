"""The ablation without SAM: a mask is the dot product of a prompt with the features of each patch, upsampled."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from sama_plugin.grounding.prediction import SegPrediction

UPSAMPLE = 2
"""Logit grid per patch side; bilinear, as there is nothing finer to look at."""


def dot_segment_pairs(features: torch.Tensor, prompt_embeds: torch.Tensor) -> SegPrediction:
    """Masks of K (frame, object) pairs.

    Args:
        features: (K, P, N) float; projected frame features, square grid, patches row-major.
        prompt_embeds: (K, N) float.

    Returns:
        One candidate per pair: (K, 1, h, w), (K, 1), (K, 1). The largest logit decides about presence, its mean
        certainty stands for the IoU.

    Source: paper, ablation "no SAM". Differs: the paper gives no details.
    """
    num_pairs, num_patches, width = features.shape
    side = math.isqrt(num_patches)
    logits = torch.einsum("kpn,kn->kp", features, prompt_embeds.to(features.dtype)) / math.sqrt(width)
    grid = logits.view(num_pairs, 1, side, side).float()
    masks = F.interpolate(grid, scale_factor=UPSAMPLE, mode="bilinear", align_corners=False)
    peak = masks.flatten(1).amax(1, keepdim=True) if num_pairs else masks.new_zeros(0, 1)
    return SegPrediction(masks, peak.sigmoid(), peak)
