from __future__ import annotations

import math

import pytest
import torch

from sama_plugin.config import RegionConfig
from sama_plugin.modeling.region_encoder import RegionEncoder, pool_look, spread_boxes

SIDE, WIDTH, QFORMER_WIDTH, SHAPE = 3, 8, 6, 4


def make_regions(look_masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Look masks, shape masks and boxes."""
    count = len(look_masks)
    generator = torch.Generator().manual_seed(1)
    shapes = torch.rand(count, SHAPE, SHAPE, generator=generator)
    return look_masks, shapes, torch.rand(count, 5, generator=generator)


def make_encoder() -> RegionEncoder:
    torch.manual_seed(0)
    return RegionEncoder(WIDTH, QFORMER_WIDTH, RegionConfig(shape_size=SHAPE, shape_hidden=5))


def test_look_is_the_weighted_mean_of_patches() -> None:
    features, masks = torch.randn(2, SIDE * SIDE, WIDTH), torch.rand(2, SIDE, SIDE)
    for r in range(2):
        total = sum(masks[r, y, x] * features[r, y * SIDE + x] for y in range(SIDE) for x in range(SIDE))
        torch.testing.assert_close(
            pool_look(features, masks)[r], total / masks[r].sum(), atol=1e-5, rtol=1e-5
        )


def test_tiny_region_weighs_its_patch_as_a_large_one() -> None:
    features, masks = torch.randn(1, SIDE * SIDE, WIDTH), torch.zeros(1, SIDE, SIDE)
    masks[0, 1, 2] = 0.01  # one pixel in a patch of 10 × 10
    torch.testing.assert_close(pool_look(features, masks)[0], features[0, 5], atol=1e-3, rtol=1e-3)


def test_absent_region_has_a_zero_look() -> None:
    look = pool_look(torch.randn(1, SIDE * SIDE, WIDTH), torch.zeros(1, SIDE, SIDE))
    assert torch.equal(look, torch.zeros(1, WIDTH))


def test_look_comes_before_shape_in_both_copies() -> None:
    encoder, (looks, shapes, boxes) = make_encoder(), make_regions(torch.ones(2, SIDE, SIDE))
    features = torch.randn(2, SIDE * SIDE, WIDTH)
    tokens = encoder(features, looks, shapes, boxes)
    shape = torch.cat([shapes.flatten(1), boxes], dim=1)
    assert tokens.llm.shape == (2, 2, WIDTH)
    assert tokens.aggregator.shape == (2, 2, QFORMER_WIDTH)
    means = features.mean(dim=1)
    torch.testing.assert_close(tokens.llm[:, 0], encoder.look_llm(means), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.aggregator[:, 0], encoder.look_aggregator(means), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.llm[:, 1], encoder.shape_llm(shape))
    torch.testing.assert_close(tokens.aggregator[:, 1], encoder.shape_aggregator(shape))


def test_no_regions_give_no_tokens() -> None:
    tokens = make_encoder()(torch.randn(0, SIDE * SIDE, WIDTH), *make_regions(torch.zeros(0, SIDE, SIDE)))
    assert tokens.llm.shape == (0, 2, WIDTH)
    assert tokens.aggregator.shape == (0, 2, QFORMER_WIDTH)


def test_box_numbers_become_sines_and_cosines() -> None:
    boxes = torch.rand(2, 5)
    spread = spread_boxes(boxes, 3)
    assert spread.shape == (2, 30)
    for r in range(2):
        for number in range(5):
            for k in range(3):
                angle = float(boxes[r, number]) * math.pi * 2**k
                at = number * 6 + k
                assert float(spread[r, at]) == pytest.approx(math.sin(angle), abs=1e-4)
                assert float(spread[r, at + 3]) == pytest.approx(math.cos(angle), abs=1e-4)
    assert spread_boxes(boxes, 0) is boxes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_keeps_where_a_box_is(dtype: torch.dtype) -> None:
    encoder = RegionEncoder(WIDTH, QFORMER_WIDTH, RegionConfig(SHAPE, shape_hidden=5, box_frequencies=8))
    seen = []
    encoder.shape_llm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, SHAPE**2 :]))
    regions = make_regions(torch.ones(6, SIDE, SIDE))
    encoder.to(dtype)(torch.randn(6, SIDE * SIDE, WIDTH, dtype=dtype), *regions)
    assert seen[0].dtype == dtype
    torch.testing.assert_close(seen[0].float(), spread_boxes(regions[2], 8), atol=0.01, rtol=0)
