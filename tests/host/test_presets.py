from __future__ import annotations

from typing import Any

import pytest
import torch

import sama_plugin
from sama_plugin.config import SAM2_PRESETS
from sama_plugin.errors import DataError

SAM2_SIZES = [name for name in SAM2_PRESETS if name != "tiny"]
LLM_PARAMETERS = {"0.5b": 494_032_768, "7b": 7_615_616_512}
"""Of Qwen2 as published."""

PROJECTOR_PARAMETERS = {"0.5b": (150e6, 200e6), "7b": (220e6, 300e6)}
"""Least and most: Q-Formers and shape MLPs are 160 million of them, the rest is as wide as the LLM."""


@pytest.fixture(autouse=True)
def _registered() -> None:
    sama_plugin.register()


def count(module: Any) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("sam2", SAM2_SIZES)
@pytest.mark.parametrize("size", ["0.5b", "7b"])
def test_full_size_preset_builds_without_memory(size: str, sam2: str) -> None:
    from sama_plugin.host.presets import new_model, preset_config

    model = new_model(preset_config(size, sam2), device="meta")
    assert all(p.is_meta for p in model.parameters())
    projector = model.get_model().mm_projector
    assert count(model) - count(projector) == LLM_PARAMETERS[size]
    assert model.sama.sam2 == SAM2_PRESETS[sam2]
    least, most = PROJECTOR_PARAMETERS[size]
    assert least < count(projector) < most
    layout = model.slot_layout(5, 32)
    assert (layout.tokens_per_frame, layout.num_context) == (14 * 14, 32)


def test_seg_decoder_is_sam2s_own() -> None:
    from sama_plugin.grounding.sam2_model import build_sam2
    from sama_plugin.host.presets import new_model, preset_config

    decoder = new_model(preset_config("0.5b", "sam2.1_hiera_tiny"), device="meta").projector.seg_decoder
    shapes = {key: tensor.shape for key, tensor in decoder.state_dict().items()}
    whole = [build_sam2(SAM2_PRESETS[sam2], device="meta") for sam2 in SAM2_SIZES]
    for sam2 in whole:
        own = sam2.sam_mask_decoder.state_dict()
        assert {key: tensor.shape for key, tensor in own.items()} == shapes
    sizes = [count(sam2) for sam2 in whole]
    assert sizes == sorted(sizes)  # tiny, small, base+, large
    assert 35e6 < sizes[0] < 45e6
    assert 210e6 < sizes[-1] < 235e6


@pytest.mark.parametrize(("name", "sam2"), [("13b", "tiny"), ("tiny", "tiny"), ("7b", "sam3")])
def test_unknown_preset_is_named_with_the_known_ones(name: str, sam2: str) -> None:
    from sama_plugin.host.presets import preset_config

    unknown = sam2 if name == "7b" else name
    with pytest.raises(DataError, match=f"Unknown preset '{unknown}'; known are "):
        preset_config(name, sam2)


def test_fields_of_a_preset_can_be_changed() -> None:
    from sama_plugin.host.presets import preset_config

    config = preset_config("0.5b", "tiny", max_position_embeddings=1000)
    assert config.max_position_embeddings == 1000
    assert config.sama["sam2"]["image_size"] == 192


def test_tiny_model_is_small_and_starts_alike_from_its_seed(loaded: Any) -> None:
    model = loaded.model
    total = count(model) + count(model.get_vision_tower()) + count(model.sam2_head.sam2)
    assert total < 10e6
    decoder, own = (
        model.projector.seg_decoder.state_dict(),
        model.sam2_head.sam2.sam_mask_decoder.state_dict(),
    )
    assert all(torch.equal(decoder[key], own[key]) for key in own)


def test_fresh_tiny_parts_are_not_left_at_the_llms_initialisation(loaded: Any) -> None:
    spread = loaded.model.projector.region_encoder.look_llm.weight.std()
    assert float(spread) == pytest.approx(1 / (3 * 160) ** 0.5, rel=0.1)  # torch's own, uniform by fan-in
