"""SAM2's own video predictor on the same weights: what our tracking is measured against; nothing else uses it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sam2.sam2_video_predictor import SAM2VideoPredictor

from sama_plugin.config import Sam2Config
from sama_plugin.grounding.feature_store import FrameSource
from sama_plugin.grounding.object_tracker import TrackedFrame
from sama_plugin.grounding.sam2_model import SamaSam2, build_sam2
from sama_plugin.media.transforms import sam2_frames


def build_predictor(sam2: SamaSam2, config: Sam2Config) -> SAM2VideoPredictor:
    """SAM2's predictor with our weights (shared), on their device.

    Args:
        sam2: as loaded.
        config: the sizes it was built with.
    """
    predictor = build_sam2(config, device="meta", kind=SAM2VideoPredictor)
    predictor.load_state_dict(sam2.state_dict(), assign=True)
    return predictor.requires_grad_(False)


def track_with_predictor(
    predictor: SAM2VideoPredictor, clip: FrameSource, prompts: Mapping[int, torch.Tensor]
) -> Iterator[TrackedFrame]:
    """Track S objects by `SAM2VideoPredictor`: forward from the first prompted frame, then backward from it.

    It holds the whole clip, and what it found on every frame.

    Args:
        predictor: from `build_predictor`.
        clip: read whole.
        prompts: frame → (S, h, w) bool masks of all objects.
    """
    state = predictor_state(predictor, clip)
    for frame_idx, masks in prompts.items():
        for row, mask in enumerate(masks):
            predictor.add_new_mask(state, frame_idx, row, mask)
    first = min(prompts)
    for is_reverse in (False, True):
        for frame_idx, _, _ in predictor.propagate_in_video(state, reverse=is_reverse):
            if not is_reverse or frame_idx < first:
                yield _found(state, frame_idx)


def predictor_state(predictor: SAM2VideoPredictor, clip: FrameSource) -> dict[str, Any]:
    """The predictor's inference state of a clip.

    It opens paths only: a blank picture stands there until the clip's frames take its place.
    """
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", (clip.width, clip.height)).save(Path(folder) / "0.jpg")
        state = predictor.init_state(folder)
    size = predictor.image_size
    state["images"] = torch.cat([sam2_frames(f[None], size) for _, f in clip.iter_frames()]).to(
        predictor.device
    )
    state["num_frames"] = len(state["images"])
    state["cached_features"].clear()
    return state


def _found(state: dict[str, Any], frame_idx: int) -> TrackedFrame:
    per_object = state["output_dict_per_obj"].values()
    found = [
        o["cond_frame_outputs"].get(frame_idx) or o["non_cond_frame_outputs"][frame_idx] for o in per_object
    ]
    return TrackedFrame(
        frame_idx,
        np.arange(len(found)),
        torch.cat([one["pred_masks"][:, 0] for one in found]),
        torch.cat([one["object_score_logits"][:, 0] for one in found]),
    )
