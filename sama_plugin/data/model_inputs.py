"""Frames and regions → the tensors the model takes; the same builder for training and inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sama_plugin.config import SamaConfig
from sama_plugin.media.transforms import box_geometry, look_masks, shape_crops, tower_frames
from sama_plugin.schema import RegionInputs, VideoInputs


@dataclass(frozen=True)
class RegionUse:
    """A region where a question means it.

    Attributes:
        mask: (H, W) bool, not empty.
        frame_slot: row of the sample's `pixel_values` that shows it.
    """

    mask: np.ndarray
    frame_slot: int


class InputBuilder:
    """Turns decoded frames and regions into model inputs.

    Args:
        sama: the model's settings.
        image_processor: the vision tower's; gives side, mean and standard deviation.
        patches_per_side: patch grid of the tower.
    """

    def __init__(self, sama: SamaConfig, image_processor: Any, patches_per_side: int) -> None:
        self.sama = sama
        self.frame_size = _side(image_processor.size)
        self.mean = tuple(image_processor.image_mean)
        self.std = tuple(image_processor.image_std)
        self.patches_per_side = patches_per_side

    def tower_pixels(self, frames: np.ndarray) -> Tensor:
        """(n, H, W, 3) uint8 → (n, 3, s, s) float32, normalised for the tower."""
        return torch.as_tensor(tower_frames(frames, self.frame_size, self.mean, self.std))

    def video_inputs(
        self,
        pixel_values: Tensor | None,
        num_sparse: int,
        dense_positions: Sequence[int],
        question_ids: list[Tensor],
        regions: Sequence[RegionUse],
    ) -> VideoInputs:
        """Bundle one sample's vision side.

        Args:
            pixel_values: (T + X, 3, s, s) float; sparse frames, then frames that only regions need; None at
                inference, where features are kept.
            num_sparse: T.
            dense_positions: D positions among the sparse frames.
            question_ids: per question, from `DialogueTokenizer`.
            regions: in the order of their slots.
        """
        return VideoInputs(
            pixel_values=pixel_values,
            num_sparse=num_sparse,
            dense_positions=torch.tensor(list(dense_positions), dtype=torch.long),
            question_ids=question_ids,
            regions=self._region_inputs(regions),
        )

    def _region_inputs(self, regions: Sequence[RegionUse]) -> RegionInputs:
        grid, size = self.patches_per_side, self.sama.region.shape_size
        looks, shapes, boxes = torch.zeros(0, grid, grid), torch.zeros(0, size, size), torch.zeros(0, 5)
        if regions:
            per_region = [region.mask[None] for region in regions]
            looks = torch.cat([torch.as_tensor(look_masks(mask, grid)) for mask in per_region])
            shapes = torch.cat([torch.as_tensor(shape_crops(mask, size)) for mask in per_region])
            boxes = torch.cat([torch.as_tensor(box_geometry(mask)) for mask in per_region])
        return RegionInputs(
            look_masks=looks,
            shape_masks=shapes,
            boxes=boxes,
            frame_slots=torch.tensor([r.frame_slot for r in regions], dtype=torch.long),
        )


def _side(size: Any) -> int:
    """Side of the square an image processor makes: a dict in `transformers`, (height, width) in the host's SigLIP."""
    if isinstance(size, (tuple, list)):
        return int(size[0])
    return int(size["height"] if "height" in size else size["shortest_edge"])
