"""The ablation without SAM: a mask is the upsampled dot product of a prompt with the patches' features."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from sama_plugin.grounding.prediction import GroundedTrack, SegPrediction
from sama_plugin.media.masks import encode_mask
from sama_plugin.media.transforms import masks_to_video

if TYPE_CHECKING:
    from sama_plugin.media.decode import VideoClip

UPSAMPLE = 2
"""Logit grid per patch side; bilinear, as there is nothing finer to look at."""


def dot_segment_pairs(features: torch.Tensor, prompt_embeds: torch.Tensor) -> SegPrediction:
    """Masks of K (frame, object) pairs.

    Args:
        features: (K, P, N) float; projected frame features, square grid, patches row-major.
        prompt_embeds: (K, N) float.

    Returns:
        One candidate per pair: (K, 1, h, w), (K, 1), (K, 1). The largest logit decides about presence, its
        sigmoid stands for the IoU.

    Source: paper, ablation "no SAM". Differs: the paper gives no details.
    """
    num_pairs, num_patches, width = features.shape
    side = math.isqrt(num_patches)
    logits = torch.einsum("kpn,kn->kp", features, prompt_embeds.to(features.dtype)) / math.sqrt(width)
    grid = logits.view(num_pairs, 1, side, side).float()
    masks = F.interpolate(grid, scale_factor=UPSAMPLE, mode="bilinear", align_corners=False)
    peak = masks.flatten(1).amax(1, keepdim=True) if num_pairs else masks.new_zeros(0, 1)
    return SegPrediction(masks, peak.sigmoid(), peak)


@torch.no_grad()
def dot_tracks(
    clip: VideoClip, prompt_embeds: torch.Tensor, encode: Callable[[np.ndarray], torch.Tensor]
) -> list[GroundedTrack]:
    """Masks of S objects on every frame, each frame alone.

    Args:
        clip: read lazily.
        prompt_embeds: (S, N) float.
        encode: (n, H, W, 3) uint8 → (n, P, N) projected features.
    """
    tracks: list[GroundedTrack] = [GroundedTrack(0.0, [None] * clip.num_frames) for _ in prompt_embeds]
    scores = torch.zeros(len(prompt_embeds))
    for frame_idx, frame in clip.iter_frames():
        features = encode(frame[None]).expand(len(prompt_embeds), -1, -1)
        prediction = dot_segment_pairs(features, prompt_embeds)
        scores = torch.maximum(scores, prediction.iou[:, 0].cpu())
        masks = masks_to_video(prediction.mask_logits[:, 0], clip.height, clip.width).cpu().numpy()
        for track, mask in zip(tracks, masks, strict=True):
            track.rle[frame_idx] = encode_mask(mask) if mask.any() else None
    return [GroundedTrack(float(score), track.rle) for score, track in zip(scores, tracks, strict=True)]
