from __future__ import annotations

import dataclasses
import json

import pytest

from sama_plugin.config import (
    SAM2_PRESETS,
    GroundingConfig,
    RegionConfig,
    SamaConfig,
    SamplingConfig,
    config_from_dict,
)
from sama_plugin.errors import DataError


@dataclasses.dataclass
class Wanted:
    name: str
    size: int
    grid: tuple[int, ...] = ()


def test_config_comes_back_from_json() -> None:
    config = SamaConfig(
        sampling=SamplingConfig(interval=4, max_sparse=16),
        sam2=SAM2_PRESETS["sam2.1_hiera_base_plus"],
        grounding=GroundingConfig(head="dot", min_score=0.25),
        use_aggregator=False,
    )
    assert SamaConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_fields_take_their_defaults() -> None:
    assert SamaConfig.from_dict({}) == SamaConfig()
    assert SamaConfig.from_dict({"region": {"shape_size": 9}}).region == RegionConfig(shape_size=9)


def test_lists_become_tuples() -> None:
    assert config_from_dict(Wanted, {"name": "a", "size": 1, "grid": [1, 2]}, "f").grid == (1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sampling": {"intervals": 3}}, r"here\.sampling: unknown key 'intervals'.*did you mean interval"),
        ({"samplings": {}}, r"here: unknown key 'samplings' for SamaConfig; did you mean sampling"),
        ({"region": 112}, r"here\.region is 112, expected the fields of RegionConfig"),
        ({"grounding": {"head": "sam3"}}, r"grounding\.head is 'sam3', expected one of sam2, dot, none"),
        (
            {"grounding": {"propagation": "x"}},
            r"grounding\.propagation is 'x', expected one of sama, official",
        ),
    ],
)
def test_wrong_config_is_refused(values: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SamaConfig.from_dict(values, "here")


def test_missing_required_fields_are_named() -> None:
    with pytest.raises(DataError, match=r"f\.yaml lacks name, size, which Wanted needs"):
        config_from_dict(Wanted, {}, "f.yaml")
