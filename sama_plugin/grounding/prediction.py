"""What a grounding head gives for prompts on frames; shared by the SAM2 head, the dot head and the losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class SegPrediction:
    """Masks of S objects on n frames, before any threshold.

    Attributes:
        mask_logits: (n, S, h, w) float32; of several candidates the one with the best predicted IoU.
        iou: (n, S) float32 in [0, 1]; predicted IoU of that mask.
        object_logits: (n, S) float32; above 0 the object is in the frame.
    """

    mask_logits: torch.Tensor
    iou: torch.Tensor
    object_logits: torch.Tensor

    @property
    def scores(self) -> torch.Tensor:
        """(n, S) float32 in [0, 1]; presence times predicted IoU, and 0 where the mask is empty."""
        visible = self.mask_logits.flatten(2).gt(0).any(-1)
        return self.object_logits.sigmoid() * self.iou.clamp(0, 1) * visible
