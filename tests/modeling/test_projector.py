from __future__ import annotations

import pytest
import torch
from torch import nn

from sama_plugin.config import RegionConfig
from sama_plugin.errors import HostError
from sama_plugin.modeling.projector import SamaProjector, base_projector_type, pool_grid
from sama_plugin.modeling.region_encoder import RegionEncoder


def make_projector(base: nn.Module) -> SamaProjector:
    return SamaProjector(base, RegionEncoder(8, 6, RegionConfig(4, 5)), None, None, None)


def test_base_layers_keep_the_hosts_names_and_give_its_values() -> None:
    base = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8))
    stored = {key: value.clone() for key, value in base.state_dict().items()}
    projector = make_projector(nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8)))
    outcome = projector.load_state_dict(stored, strict=False)
    assert not outcome.unexpected_keys
    assert all(key.startswith("region_encoder.") for key in outcome.missing_keys)
    features = torch.randn(2, 3, 4)
    assert torch.equal(projector(features), base(features))


def test_base_that_is_no_sequence_works_too() -> None:
    base = nn.Linear(4, 8)
    assert torch.equal(make_projector(base)(torch.ones(1, 2, 4)), base(torch.ones(1, 2, 4)))


def test_base_type_is_what_follows_the_prefix() -> None:
    assert base_projector_type("sama_mlp2x_gelu") == "mlp2x_gelu"


@pytest.mark.parametrize("name", ["mlp2x_gelu", "sama_", "", "xsama_linear"])
def test_foreign_projector_type_is_refused(name: str) -> None:
    with pytest.raises(HostError, match=f"mm_projector_type is '{name}', expected 'sama_<host projector"):
        base_projector_type(name)


def test_stride_one_pools_nothing() -> None:
    features = torch.randn(2, 9, 3)
    assert pool_grid(features, 1) is features


def test_stride_two_averages_each_two_by_two_cells() -> None:
    grid = torch.arange(16.0).view(4, 4)
    pooled = pool_grid(grid.view(1, 16, 1), 2).view(2, 2)
    expected = torch.stack(
        [torch.stack([grid[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in (0, 1)]) for y in (0, 1)]
    )
    torch.testing.assert_close(pooled, expected)


def test_odd_grid_is_rounded_up() -> None:
    assert pool_grid(torch.randn(2, 27 * 27, 3), 2).shape == (2, 14 * 14, 3)
    assert pool_grid(torch.ones(1, 9, 2), 2).eq(1).all()
