from __future__ import annotations

import math

import pytest
import torch

from sama_plugin.modeling.qformer import additive_mask, new_queries, sine_positions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_masked_keys_get_no_attention_in_any_dtype(dtype: torch.dtype) -> None:
    mask = additive_mask(torch.tensor([[True, False, True]]), dtype)
    assert mask.shape == (1, 1, 1, 3)
    assert mask.dtype == dtype
    assert torch.isfinite(mask).all()
    weights = (torch.zeros(1, 1, 2, 3, dtype=dtype) + mask).float().softmax(-1)
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.0, 0.5]).expand(1, 1, 2, 3))


@pytest.mark.parametrize("width", [6, 7])
def test_sine_positions_follow_the_formula(width: int) -> None:
    table = sine_positions(5, width, torch.zeros(1))
    for position in range(5):
        for i in range(width):
            angle = position / 10000 ** (2 * (i // 2) / width)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert table[position, i] == pytest.approx(expected, abs=1e-5)


def test_queries_start_small_and_learnable() -> None:
    torch.manual_seed(0)
    queries = new_queries(100, 50)
    assert queries.shape == (1, 100, 50)
    assert queries.requires_grad
    assert float(queries.detach().std()) == pytest.approx(0.02, rel=0.1)
