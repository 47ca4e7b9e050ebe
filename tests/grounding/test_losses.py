from __future__ import annotations

import math

import pytest
import torch

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.grounding.losses import (
    GroundingLosses,
    LossCounts,
    LossWeights,
    grounding_losses,
    mask_losses,
    sample_at_points,
    score_losses,
    uncertain_points,
)
from sama_plugin.grounding.prediction import SegPrediction
from sama_plugin.schema import GroundingInputs


def constant(value: float, n: int = 1, side: int = 4) -> torch.Tensor:
    return torch.full((n, side, side), value)


def inside(points: torch.Tensor) -> torch.Tensor:
    """Points far enough from the border that bilinear sampling sees no padding."""
    return points * 0.7 + 0.15


def test_values_at_pixel_centres_are_the_pixels() -> None:
    values = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    centres = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]])
    assert sample_at_points(values, centres).tolist() == [[1.0, 2.0, 3.0, 2.5]]


def test_three_quarters_of_the_points_are_where_the_logit_is_smallest() -> None:
    logits = constant(10.0, side=32)
    logits[:, :, 8:24] = 0.0  # about 96 of the 192 points drawn
    points = uncertain_points(logits, 64, [0])
    assert points.shape == (1, 64, 2)
    certainty = sample_at_points(logits, points).abs()
    unsure = (points[0, :48, 0] - 0.5).abs() < 9 / 32
    assert unsure.all()
    assert certainty[0, :48].max() <= certainty[0, 48:].max()
    assert ((points[0, 48:, 0] - 0.5).abs() > 9 / 32).any()


def test_points_are_reproducible_and_carry_no_gradient() -> None:
    logits = torch.randn(2, 8, 8, requires_grad=True)
    points = uncertain_points(logits, 16, [3, 4])
    assert not points.requires_grad
    assert torch.equal(points, uncertain_points(logits, 16, [3, 4]))
    assert torch.equal(points[1:], uncertain_points(logits[1:], 16, [4]))  # in whatever batch
    assert not torch.equal(points[1:], uncertain_points(logits[1:], 16, [3]))


def test_undecided_prediction_costs_log_two_and_known_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sama_plugin.grounding.losses.uncertain_points",
        lambda logits, p, g: inside(torch.rand(len(logits), p, 2)),
    )
    bce, dice = mask_losses(constant(0.0, n=3), constant(1.0, n=3), [0, 1, 2], num_points=10)
    assert bce.tolist() == pytest.approx([math.log(2)] * 3, rel=1e-6)
    # p = 1/2 and g = 1 on 10 points: 1 - (2·5 + 1) / (5 + 10 + 1)
    assert dice.tolist() == pytest.approx([1 - 11 / 16] * 3, rel=1e-6)


def test_empty_target_counts_in_both_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sama_plugin.grounding.losses.uncertain_points",
        lambda logits, p, g: inside(torch.rand(len(logits), p, 2)),
    )
    _, dice = mask_losses(constant(0.0), constant(0.0), [0], num_points=10)
    assert dice.item() == pytest.approx(1 - 1 / 6, rel=1e-3)  # 1 - (0 + 1) / (5 + 0 + 1)
    bce, dice = mask_losses(constant(-30.0), constant(0.0), [0], num_points=10)
    assert bce.item() == pytest.approx(0, abs=1e-6)
    assert dice.item() == pytest.approx(0, abs=1e-6)


def test_right_masks_cost_less_than_wrong_ones() -> None:
    gt = torch.zeros(2, 16, 16)
    gt[:, 4:12, 4:12] = 1
    right = mask_losses((gt * 2 - 1) * 8, gt, [0, 1], 64)
    wrong = mask_losses((1 - gt * 2) * 8, gt, [0, 1], 64)
    assert (right[0] < 0.5).all()
    assert (wrong[0] > 0.5).all()
    assert (right[1] < 0.3).all()
    assert (wrong[1] > 0.3).all()


def test_large_targets_are_shrunk_by_nearest_neighbour() -> None:
    gt = torch.zeros(1, 32, 32)
    gt[:, 8:24, 8:24] = 1
    logits = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
    large = mask_losses(logits, gt, [0], 64)
    small = mask_losses(logits, gt[:, ::2, ::2], [0], 64)
    assert torch.equal(torch.stack(large), torch.stack(small))
    assert torch.equal(torch.stack(mask_losses(logits, gt.bool(), [0], 64)), torch.stack(large))


def test_no_masks_cost_zero_and_keep_the_graph() -> None:
    logits = torch.randn(1, 4, 4, requires_grad=True)
    prediction = SegPrediction(logits[:0, None], logits[:0, 0, :1], logits[:0, 0, :1])
    none = LossCounts.of_batch(torch.zeros(1, 3, dtype=torch.long), [None])
    assert [int(count) for count in none] == [2, 0, 0]
    total = LossWeights().total(grounding_losses(prediction, torch.zeros(0, 4, 4), []).mean(none))
    assert total.item() == 0
    total.backward()
    assert torch.equal(logits.grad, torch.zeros(1, 4, 4))


def test_different_numbers_of_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predicted and 3 target masks"):
        mask_losses(constant(0.0, n=2), constant(0.0, n=3), [0, 1])


def test_scores_are_compared_with_the_actual_iou_where_the_object_is_present() -> None:
    predicted = -torch.ones(2, 4, 4)
    predicted[:, :2] = 1  # 8 cells
    gt = torch.zeros(2, 4, 4)
    gt[0, 1:3] = 1  # shares 4 of 12 cells with the prediction; the second object is absent
    iou = torch.tensor([0.5, 0.9])
    error, presence = score_losses(iou, torch.tensor([0.0, 0.0]), predicted, gt)
    assert error.tolist() == pytest.approx([(0.5 - 1 / 3) ** 2, 0])
    assert presence.tolist() == pytest.approx([math.log(2)] * 2)
    _, sure = score_losses(iou, torch.tensor([20.0, -20.0]), predicted, gt)
    assert sure.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_iou_is_averaged_over_what_is_there_and_the_rest_over_all() -> None:
    gt = torch.zeros(3, 4, 4)
    gt[0, 1:3] = 1
    targets = GroundingInputs(torch.zeros(1, 3, 4, 4), gt[:, None], point_seed=0)
    labels = torch.tensor([[IGNORE_INDEX, 5, 6], [7, IGNORE_INDEX, 8]])
    counts = LossCounts.of_batch(labels, [targets, None])
    assert [int(count) for count in counts] == [3, 3, 1]  # the first label of a row follows nothing
    parts = GroundingLosses(*(torch.tensor([x, 0.0, 2 * x]) for x in (1.0, 2.0, 3.0, 4.0))).mean(counts)
    assert [float(part) for part in parts] == pytest.approx([1, 2, 9, 4])


def test_absent_objects_teach_nothing_about_iou() -> None:
    iou = torch.tensor([0.7], requires_grad=True)
    error, presence = score_losses(iou, torch.zeros(1), constant(1.0), constant(0.0))
    error.sum().backward()
    assert error.item() == 0
    assert iou.grad.item() == 0
    assert presence.item() == pytest.approx(math.log(2))


def test_weights_are_the_official_ones_for_masks() -> None:
    parts = GroundingLosses(*(torch.tensor(x) for x in (1.0, 10.0, 100.0, 1000.0)))
    assert LossWeights(mask_iou=0, presence=0).total(parts).item() == 2.0 * 1 + 0.5 * 10
    assert LossWeights(mask_bce=0, mask_dice=0, mask_iou=1, presence=2).total(parts).item() == 2100
