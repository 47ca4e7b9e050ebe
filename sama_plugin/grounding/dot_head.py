"""The ablation without SAM: a mask is the upsampled dot product of a prompt with the patches' features."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from sama_plugin.grounding.prediction import GroundFrame, Grounding, SegPrediction
from sama_plugin.media.transforms import masks_to_video

if TYPE_CHECKING:
    from sama_plugin.grounding.feature_store import FrameSource

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


def dot_grounding(
    clip: FrameSource,
    prompt_embeds: torch.Tensor,
    encode: Callable[[np.ndarray], torch.Tensor],
    *,
    start: int = 0,
    stop: int | None = None,
) -> Grounding:
    """Masks of S objects on every frame, each frame alone, in order.

    Args:
        clip: read lazily.
        prompt_embeds: (S, N) float.
        encode: (n, H, W, 3) uint8 → (n, P, N) projected features.
        start: first frame that is wanted.
        stop: frame after the last; None is the end of the clip, as it is when frames are asked for.
    """
    objects = np.arange(len(prompt_embeds))
    scores = np.zeros(len(prompt_embeds), dtype=np.float32)
    num_given = start

    @torch.inference_mode()
    def frames() -> Iterator[GroundFrame]:
        nonlocal num_given
        for frame_idx, frame in clip.iter_frames(num_given, stop) if len(objects) else ():
            features = encode(frame[None]).expand(len(objects), -1, -1)
            prediction = dot_segment_pairs(features, prompt_embeds)
            np.maximum(scores, prediction.iou[:, 0].cpu().numpy(), out=scores)
            masks = masks_to_video(prediction.mask_logits[:, 0], clip.height, clip.width).cpu().numpy()
            num_given = frame_idx + 1
            yield GroundFrame(frame_idx, objects, masks, prediction.iou[:, 0].cpu().numpy())

    return Grounding(scores, len(objects), frames(), frames)
