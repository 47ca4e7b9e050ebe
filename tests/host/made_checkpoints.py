"""Checkpoints with another LLM or tower than the tiny preset has."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from sama_plugin.config import GroundingConfig


def save_checkpoint(folder: Path, tokenizer: Any, model_type: str, **overrides: Any) -> Any:
    """Write a checkpoint without SAM2 around the tower in `folder/vision_tower`; gives the model."""
    from sama_plugin.host.presets import TINY_LLM, TINY_SAMA, new_model
    from sama_plugin.host.sama_llava import CLASSES
    from sama_plugin.host.vision_tower import load_tower

    sama = dataclasses.replace(TINY_SAMA, grounding=GroundingConfig(head="none"))
    fields = TINY_LLM | {
        "mm_vision_tower": "vision_tower",
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "sama": sama.to_dict(),
    }
    config = CLASSES[model_type][0](**(fields | overrides))
    config._name_or_path = str(folder)
    torch.manual_seed(0)
    model = new_model(config)
    load_tower(model.get_vision_tower())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()
