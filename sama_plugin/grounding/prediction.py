"""What a grounding head gives, for frames and for clips; shared by both heads and the losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sama_plugin.schema import Rle


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


@dataclass(frozen=True)
class GroundedTrack:
    """One object through a clip.

    Attributes:
        score: in [0, 1]; best over the frames; low for an object that is not in the clip.
        rle: one `Rle` or None (absent) per video frame.
    """

    score: float
    rle: list[Rle | None]
