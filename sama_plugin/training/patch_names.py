"""What lies on each patch of a frame of the small world: labels, heads and loss shared by several stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.shapes.world import FIXED_SIZES, GROWING, TRAINING_COLOURS, TRAINING_SHAPES, Scene
from sama_plugin.media.transforms import look_masks

Vocabularies = Sequence[Sequence[str]]
VOCABULARIES: Vocabularies = ((*FIXED_SIZES, GROWING), tuple(TRAINING_COLOURS), TRAINING_SHAPES)
MIN_COVER = 0.3
"""Share of a patch an object has to cover to be its label."""

OBJECT_WEIGHT = 4.0
"""Patches with an object weigh more than background, of which there is far more."""

COLOUR = 1
"""Column of the colour."""

UNNAMED = IGNORE_INDEX - 1
"""Attribute that has no name; its label is `IGNORE_INDEX`."""


def object_attributes(words: Sequence[Sequence[str]], vocabularies: Vocabularies = VOCABULARIES) -> Tensor:
    """(K, A) long; index of each object's word in each vocabulary."""
    rows = [[v.index(word) for v, word in zip(vocabularies, row, strict=True)] for row in words]
    return torch.tensor(rows)


def scene_attributes(scene: Scene) -> Tensor:
    """(K, 3) long; size, colour and shape of the objects of a scene, `UNNAMED` where a colour has no name."""
    attributes = object_attributes([(o.size, o.colour, o.shape) for o in scene.objects])
    attributes[[not o.named for o in scene.objects], COLOUR] = UNNAMED
    return attributes


def patch_labels(attributes: Tensor, masks: np.ndarray, grid: int) -> Tensor:
    """What lies on each patch.

    Args:
        attributes: (K, A) long, from `object_attributes` or `scene_attributes`.
        masks: (K, H, W) bool; visible pixels of the objects in one frame.
        grid: patches per side.

    Returns:
        (grid², A) long; 0 is background, else 1 + the attribute of the object that covers most of the patch,
        `IGNORE_INDEX` where that has no name.
    """
    cover = torch.as_tensor(look_masks(masks, grid)).flatten(1)  # (K, P)
    share, owner = cover.max(dim=0)
    return (1 + attributes[owner]) * (share >= MIN_COVER)[:, None]


class AttributeNamer(nn.Module):
    """One linear head per attribute; thrown away after its stage.

    Args:
        width: of the features.
        vocabularies: words of each attribute.
    """

    def __init__(self, width: int, vocabularies: Vocabularies = VOCABULARIES) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, 1 + len(words)) for words in vocabularies)

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropy of the labels, and the share of object patches with each attribute right.

        Args:
            features: (..., C) float.
            labels: (..., A) long, from `patch_labels`; `IGNORE_INDEX` counts nowhere.

        Returns:
            () float and (A,) float.
        """
        is_object = labels[..., 0] > 0
        weights = (1 + (OBJECT_WEIGHT - 1) * is_object.float()).flatten()
        total, right = features.new_zeros(()), []
        for i, head in enumerate(self.heads):
            logits, wanted = head(features), labels[..., i]
            losses = F.cross_entropy(
                logits.flatten(0, -2), wanted.flatten(), reduction="none", ignore_index=IGNORE_INDEX
            )
            known = (wanted != IGNORE_INDEX).flatten()
            total = total + (losses * weights).sum() / (weights * known).sum().clamp(min=1)
            asked = is_object & (wanted != IGNORE_INDEX)
            right.append(((logits.argmax(-1) == wanted) & asked).sum() / asked.sum().clamp(min=1))
        return total, torch.stack(right)
