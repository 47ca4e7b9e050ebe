"""Losses on masks and on SAM2's two scores, and what all losses of a training step are divided by.

Mask losses look at sampled points only: most of them where the prediction is unsure. In go mask logits and targets of n
masks, out comes a loss for each; which of them to average, and the weights (2.0 BCE, 0.5 Dice beside the LM loss), are
the caller's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.grounding.prediction import SegPrediction
from sama_plugin.schema import GroundingInputs

NUM_POINTS = 12544
"""Points per mask in the official release."""

OVERSAMPLE_RATIO = 3.0
IMPORTANCE_RATIO = 0.75


class LossCounts(NamedTuple):
    """What the sums of losses are divided by, () each.

    Counted over a whole step, all its micro-batches and processes, they make the loss and its gradient the same however
    the step is cut into pieces.

    Attributes:
        tokens: to be learned.
        pairs: of a target and a frame.
        present: those of them whose object is there.
    """

    tokens: torch.Tensor
    pairs: torch.Tensor
    present: torch.Tensor

    @classmethod
    def of_batch(cls, labels: torch.Tensor, grounding: Sequence[GroundingInputs | None]) -> LossCounts:
        """Those of one batch.

        Args:
            labels: (B, L) long.
            grounding: list of B.
        """
        masks = [target.gt_masks.flatten(0, 1) for target in grounding if target is not None]
        present = sum(int(is_present(own).sum()) for own in masks)
        pairs, present = labels.new_tensor([sum(map(len, masks)), present])
        return cls((labels[:, 1:] != IGNORE_INDEX).sum(), pairs, present)


class GroundingLosses(NamedTuple):
    """Unweighted parts in float32: (K,) of pairs, or () of a step."""

    mask_bce: torch.Tensor
    mask_dice: torch.Tensor
    mask_iou: torch.Tensor
    presence: torch.Tensor

    def mean(self, counts: LossCounts) -> GroundingLosses:
        """() each; sums over the pairs, divided by the number there is of them."""
        pairs, present = counts.pairs.clamp(min=1), counts.present.clamp(min=1)
        return GroundingLosses(
            self.mask_bce.sum() / pairs,
            self.mask_dice.sum() / pairs,
            self.mask_iou.sum() / present,
            self.presence.sum() / pairs,
        )


@dataclass(frozen=True)
class LossWeights:
    """Weights beside the LM loss (1.0).

    Source: official §4.3 for BCE and Dice. Differs: `mask_iou` and `presence` teach the fine-tuned decoder's
        two scores, which choose frames and decide about absence; the official release leaves them untrained.
    """

    mask_bce: float = 2.0
    mask_dice: float = 0.5
    mask_iou: float = 0.5
    presence: float = 0.5

    @property
    def is_off(self) -> bool:
        """No mask loss at all: the mask head need not run."""
        return not (self.mask_bce or self.mask_dice or self.mask_iou or self.presence)

    def total(self, losses: GroundingLosses) -> torch.Tensor:
        """Weighted sum."""
        return (
            self.mask_bce * losses.mask_bce
            + self.mask_dice * losses.mask_dice
            + self.mask_iou * losses.mask_iou
            + self.presence * losses.presence
        )


def is_present(gt_masks: torch.Tensor) -> torch.Tensor:
    """(n,) bool; whether a target (n, h, w) has anything in it."""
    return (gt_masks > 0.5).flatten(1).any(1)


def grounding_losses(
    prediction: SegPrediction, gt_masks: torch.Tensor, seeds: Sequence[int], num_points: int = NUM_POINTS
) -> GroundingLosses:
    """All losses of K (frame, object) pairs, (K,) each.

    Args:
        prediction: of `Sam2Head.segment_pairs`, K rows.
        gt_masks: (K, h, w) float in [0, 1]; all zero where the object is absent.
        seeds: of the points of each.
        num_points: points per mask at most; never more than the mask has cells.
    """
    logits = prediction.mask_logits[:, 0]
    points = min(num_points, logits.shape[-1] * logits.shape[-2])
    bce, dice = mask_losses(logits, gt_masks, seeds, points)
    iou, presence = score_losses(prediction.iou[:, 0], prediction.object_logits[:, 0], logits, gt_masks)
    return GroundingLosses(bce, dice, iou, presence)


def sample_at_points(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Bilinear values at points.

    Args:
        values: (n, h, w) float.
        points: (n, P, 2) float in [0, 1]; x then y, (0, 0) is the outer corner of the first pixel.

    Returns:
        (n, P) float; outside the image counts as 0.
    """
    grid = (2 * points - 1)[:, :, None]  # (n, P, 1, 2)
    return F.grid_sample(values[:, None], grid.to(values.dtype), align_corners=False)[:, 0, :, 0]


def uncertain_points(mask_logits: torch.Tensor, num_points: int, seeds: Sequence[int]) -> torch.Tensor:
    """Where to compare masks: 75 % the least certain of three times as many random points, the rest random.

    Args:
        mask_logits: (n, h, w) float.
        num_points: P.
        seeds: n; of each mask's points, the same in whatever batch it is.

    Returns:
        (n, P, 2) float32 in [0, 1], without gradient; x then y.

    Source: official §4.3 (PointRend). Differs: every mask has its own seed.
    """
    num_drawn = int(num_points * OVERSAMPLE_RATIO)
    num_important = int(num_points * IMPORTANCE_RATIO)
    num_free = num_points - num_important
    points = torch.empty(len(seeds), num_drawn + num_free, 2)
    for row, seed in zip(points, seeds, strict=True):
        row.uniform_(generator=torch.Generator().manual_seed(seed))
    drawn, free = points.to(mask_logits.device).split([num_drawn, num_free], dim=1)
    with torch.no_grad():
        certainty = sample_at_points(mask_logits.float(), drawn).abs()
    order = certainty.topk(num_important, dim=1, largest=False).indices
    important = drawn.gather(1, order[..., None].expand(-1, -1, 2))
    return torch.cat([important, free], dim=1)


def mask_losses(
    mask_logits: torch.Tensor,
    gt_masks: torch.Tensor,
    seeds: Sequence[int],
    num_points: int = NUM_POINTS,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Point-sampled BCE and Dice of n masks; an empty target counts like any other.

    Args:
        mask_logits: (n, h, w) float.
        gt_masks: (n, h2, w2) float in [0, 1] or bool; resized to (h, w) by nearest neighbour if they differ.
        seeds: n; of the points of each.
        num_points: points per mask.

    Returns:
        BCE and Dice, (n,) float32 each.

    Raises:
        ValueError: the numbers of masks differ.

    Source: official §4.3. Differs: averaged by the caller, without 1e-4 in the denominator.
    """
    n = mask_logits.shape[0]
    if gt_masks.shape[0] != n:
        raise ValueError(
            f"mask_losses got {n} predicted and {gt_masks.shape[0]} target masks, expected as many."
        )
    mask_logits = mask_logits.float()
    points = uncertain_points(mask_logits, num_points, seeds)
    target = sample_at_points(_resize_targets(gt_masks, mask_logits), points)
    sampled = sample_at_points(mask_logits, points)
    bce = F.binary_cross_entropy_with_logits(sampled, target, reduction="none").mean(1)
    return bce, _dice(sampled.sigmoid(), target)


def score_losses(
    iou: torch.Tensor, object_logits: torch.Tensor, mask_logits: torch.Tensor, gt_masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """How wrong the two scores are that choose frames and decide about absence.

    Args:
        iou: (n,) float; predicted IoU.
        object_logits: (n,) float.
        mask_logits: (n, h, w) float; what `iou` is about.
        gt_masks: (n, h2, w2) float in [0, 1] or bool; all zero where the object is absent.

    Returns:
        Squared error of `iou`, 0 where the object is absent, and BCE of presence; (n,) float32 each.
    """
    with torch.no_grad():
        target = _resize_targets(gt_masks, mask_logits.float()) > 0.5
        present = is_present(gt_masks).float()
        predicted = mask_logits > 0
        both = (predicted & target).flatten(1).sum(1).float()
        either = (predicted | target).flatten(1).sum(1).float()
        actual = both / either.clamp(min=1)
    error = (iou.float() - actual).square() * present
    return error, F.binary_cross_entropy_with_logits(object_logits.float(), present, reduction="none")


def _dice(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(n,) one minus Dice with linear denominators, smoothed by 1."""
    both = (probabilities * target).sum(1)
    return 1 - (2 * both + 1) / (probabilities.sum(1) + target.sum(1) + 1)


def _resize_targets(gt_masks: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
    """Targets as (n, h, w) in the dtype and at the size of the logits."""
    target = gt_masks.to(mask_logits)
    if target.shape[-2:] == mask_logits.shape[-2:]:
        return target
    return F.interpolate(target[:, None], size=mask_logits.shape[-2:], mode="nearest")[:, 0]
