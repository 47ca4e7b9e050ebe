"""What was pointed at on some frames → masks on every frame, by SAM2 with its published weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.media.transforms import masks_to_video
from sama_plugin.schema import RegionPrompt, Rle


def track_prompts(
    head: Sam2Head, clip: VideoClip, prompts: Sequence[Sequence[RegionPrompt]]
) -> list[list[Rle | None]]:
    """Follow objects through a clip, all in one batch per frame.

    Args:
        head: SAM2.
        clip: the video.
        prompts: of each object, at least one, each on a frame of its own.

    Returns:
        Of each object one `Rle` or None (absent) per frame.

    Raises:
        PromptError: SAM2 finds nothing there.
    """
    store = FeatureStore(head, clip)
    try:
        masks = [{p.frame: torch.from_numpy(head.mask_from_prompt(p, store)) for p in own} for own in prompts]
        starts: dict[int, torch.Tensor] = {}
        owners: dict[int, np.ndarray] = {}
        for frame in sorted(set().union(*masks)):
            owners[frame] = np.array([frame in own for own in masks])
            starts[frame] = torch.stack([own[frame] for own in masks if frame in own])
        tracks: list[list[Rle | None]] = [[None] * clip.num_frames for _ in prompts]
        for tracked in head.propagate(store, starts, owners):
            found = masks_to_video(tracked.logits.float(), clip.height, clip.width).cpu().numpy()
            is_there = (tracked.object_logits > 0).cpu().numpy()
            for row, mask, is_seen in zip(tracked.rows, found, is_there, strict=True):
                if is_seen and mask.any():
                    tracks[row][tracked.frame_idx] = encode_mask(mask)
    finally:
        store.close()
    return tracks
