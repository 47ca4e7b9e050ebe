"""What a grounding head gives, for frames and for clips; shared by both heads and the losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
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


@dataclass(frozen=True)
class GroundFrame:
    """Masks of some objects on one video frame.

    Attributes:
        frame_idx: 0-based.
        objects: (G,) int; which of the S objects.
        masks: (G, H, W) bool, video pixels; all False where an object is absent.
        scores: (G,) float32 in [0, 1]; how sure it is that each object is in this frame.
    """

    frame_idx: int
    objects: np.ndarray
    masks: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Grounding:
    """What S prompts mean in a clip.

    Attributes:
        scores: (S,) float32 in [0, 1]; best over the frames tried; low for an object that is not in the clip. The
            dot head tries frames while they are read: its scores rise from 0 with them.
        num_tracked: objects that are in the clip.
        frames: each frame of the clip once for each object that is in it. Made while it is read, and reading may
            stop at any frame. The SAM2 head goes forward from each object's first prompted frame and back from there,
            both ways beside each other where it can.
        extend: frames that a growing clip got since, for the same objects, forward from the last frame that was
            given; nothing given before changes. To be called, as often as wanted, when `frames` will not be read
            any more. The same masks as if the clip had been that long at the start, if it had 16 frames then (of
            shorter clips SAM2 takes fewer object pointers).
    """

    scores: np.ndarray
    num_tracked: int
    frames: Iterator[GroundFrame]
    extend: Callable[[], Iterator[GroundFrame]]
