"""The host's vision tower, found by what its folder says, not by its name, and loaded after the LLM.

Towers are always built delayed: a nested `from_pretrained` inside the LLM's own would leave meta or random weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from llava.model.multimodal_encoder.builder import build_vision_tower as build_host_tower
from llava.model.multimodal_encoder.clip_encoder import CLIPVisionTower
from llava.model.multimodal_encoder.siglip_encoder import SigLipVisionTower
from torch import nn

from sama_plugin.errors import CheckpointError

TOWER_FOLDER = "vision_tower"
LOCAL_TOWERS = {"clip_vision_model": CLIPVisionTower, "siglip_vision_model": SigLipVisionTower}


def tower_location(config: Any) -> str:
    """Folder of the tower, relative names resolved against the checkpoint, or a hub id as it is.

    Args:
        config: model config with `mm_vision_tower` and the `_name_or_path` it was read from.
    """
    inside = Path(config._name_or_path or ".") / config.mm_vision_tower
    return str(inside) if inside.is_dir() else config.mm_vision_tower


def build_vision_tower(config: Any) -> nn.Module:
    """Make the tower without its weights; `load_model()` reads them.

    Args:
        config: model config (`mm_vision_tower`, `mm_vision_select_layer`, `mm_vision_select_feature`).

    Raises:
        CheckpointError: a local folder that is no CLIP or SigLIP vision model.
    """
    location = tower_location(config)
    settings = SimpleNamespace(
        mm_vision_tower=location,
        mm_vision_select_layer=config.mm_vision_select_layer,
        mm_vision_select_feature=getattr(config, "mm_vision_select_feature", "patch"),
    )
    if not Path(location).is_dir():
        return build_host_tower(settings, delay_load=True)
    config_file = Path(location) / "config.json"
    if not config_file.is_file():
        raise CheckpointError(
            f"Vision tower folder {location} has no config.json; copy the whole checkpoint again."
        )
    model_type = json.loads(config_file.read_text()).get("model_type")
    if model_type not in LOCAL_TOWERS:
        raise CheckpointError(
            f"{config_file}: model_type is '{model_type}', expected one of {', '.join(LOCAL_TOWERS)}."
        )
    return LOCAL_TOWERS[model_type](location, settings, delay_load=True)
