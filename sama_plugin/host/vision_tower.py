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
from safetensors import safe_open
from torch import nn
from transformers import SiglipImageProcessor

from sama_plugin.errors import CheckpointError

TOWER_FOLDER = "vision_tower"
LOCAL_TOWERS = {"clip_vision_model": CLIPVisionTower, "siglip_vision_model": SigLipVisionTower}


def tower_location(config: Any) -> str:
    """Folder of the tower, relative names resolved against the checkpoint, or a hub id as it is.

    Args:
        config: model config with `mm_vision_tower` and the `_name_or_path` it was read from.
    """
    if not isinstance(config.mm_vision_tower, str):
        raise CheckpointError(
            f"{config._name_or_path or '.'}/config.json: mm_vision_tower is {config.mm_vision_tower!r}, expected a "
            "folder or hub id."
        )
    inside = Path(config._name_or_path or ".") / config.mm_vision_tower
    return str(inside.absolute()) if inside.is_dir() else config.mm_vision_tower


def build_vision_tower(config: Any) -> nn.Module:
    """Make the tower without its weights; `load_model()` reads them.

    Args:
        config: model config (`mm_vision_tower`, `mm_vision_select_layer`, `mm_vision_select_feature`).

    Raises:
        CheckpointError: a local folder that is no CLIP or SigLIP vision model, or a checkpoint that lacks its own.
    """
    location = tower_location(config)
    if location == TOWER_FOLDER:
        raise CheckpointError(
            f"Checkpoint folder {config._name_or_path or '.'} has no {TOWER_FOLDER}/; copy the whole folder again."
        )
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
    try:
        model_type = json.loads(config_file.read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{config_file} is no config of a vision tower ({error!r}); copy it again."
        ) from error
    if model_type not in LOCAL_TOWERS:
        raise CheckpointError(
            f"{config_file}: model_type is '{model_type}', expected one of {', '.join(LOCAL_TOWERS)}."
        )
    return LOCAL_TOWERS[model_type](location, settings, delay_load=True)


def load_tower(tower: Any) -> None:
    """Read the tower's weights, unless they are there already.

    Args:
        tower: from `build_vision_tower`; changed in place.

    Raises:
        CheckpointError: its folder lacks a file or a weight, or is damaged; a hub id that cannot be had.
    """
    if tower.is_loaded:
        return
    folder = Path(tower.vision_tower_name)
    where = f"Vision tower folder {folder}" if folder.is_dir() else f"Vision tower '{folder}' of the hub"
    try:
        tower.load_model()
        stored = _stored_keys(folder)
    except Exception as error:  # transformers and safetensors raise many kinds
        raise CheckpointError(f"{where} cannot be read: {error}") from error
    wanted, given = (
        getattr(tower.config, "image_size", None),
        getattr(tower.image_processor, "crop_size", None),
    )
    side = given.get("height") if isinstance(given, dict) else None
    if side is not None and wanted is not None and side != wanted:
        raise CheckpointError(
            f"{where}: its preprocessor makes pictures of {side} pixels, the tower expects {wanted}; copy it again."
        )
    missing = [key for key in tower.vision_tower.state_dict() if stored and key not in stored]
    if missing:
        raise CheckpointError(
            f"{where} lacks {len(missing)} weights: {', '.join(missing[:5])}; copy it again."
        )


def save_image_processor(tower: Any, folder: Path) -> None:
    """Write `preprocessor_config.json`, which `AutoImageProcessor` reads.

    Args:
        tower: with its image processor; the host's own one for SigLIP is written as that of `transformers`.
        folder: where; made if missing.
    """
    processor = tower.image_processor
    if not hasattr(processor, "save_pretrained"):
        height, width = processor.size
        processor = SiglipImageProcessor(
            size={"height": height, "width": width},
            resample=processor.resample,
            rescale_factor=processor.rescale_factor,
            image_mean=list(processor.image_mean),
            image_std=list(processor.image_std),
        )
    processor.save_pretrained(folder)


def _stored_keys(folder: Path) -> set[str]:
    """Names of all tensors in a folder's safetensors files; empty for a hub id."""
    keys: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            keys |= set(tensors.keys())
    return keys
