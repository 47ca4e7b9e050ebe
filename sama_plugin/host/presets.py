"""Model presets by name: sizes of LLM, tower, aggregator and SAM2; `tiny` is built anywhere, the rest are published.

`new_model` gives fresh weights, on the meta device for a plan; `save_tiny_start` writes the start of the tiny preset.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, PreTrainedTokenizerBase

from sama_plugin.config import (
    SAM2_PRESETS,
    AggregatorConfig,
    GroundingConfig,
    RegionConfig,
    SamaConfig,
    SamplingConfig,
)
from sama_plugin.constants import SEG_TOKEN
from sama_plugin.errors import DataError
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.grounding.sam2_model import SamaSam2
from sama_plugin.host.sama_llava import CLASSES, LlavaSamaQwenConfig, build_projector
from sama_plugin.host.vision_tower import TOWER_FOLDER, load_tower

logger = logging.getLogger(__name__)

SIGLIP: dict[str, Any] = {"mm_vision_tower": "google/siglip-so400m-patch14-384", "mm_hidden_size": 1152}
QWEN2: dict[str, dict[str, Any]] = {
    "0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "vocab_size": 152064,
        "tie_word_embeddings": False,
    },
}
TINY_TOWER: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 128,
    "patch_size": 8,
    "projection_dim": 96,
}
TINY_LLM: dict[str, Any] = {
    "hidden_size": 160,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "rope_theta": 10000.0,
    "mm_hidden_size": TINY_TOWER["hidden_size"],
    "mm_vision_select_layer": -1,
    "mm_projector_type": "sama_mlp2x_gelu",
}
TINY_SAMA = SamaConfig(
    sampling=SamplingConfig(interval=4, max_sparse=16, min_sparse=8),
    region=RegionConfig(shape_size=24, shape_hidden=128, box_frequencies=4),
    aggregator=AggregatorConfig(
        qformer_width=96,
        qformer_heads=3,
        qformer_intermediate=192,
        encoder_width=96,
        spatial_layers=2,
        spatial_cross_every=1,
        spatial_queries=12,
        temporal_layers=2,
        temporal_queries=8,
        window_frames=16,
        dropout=0.0,
    ),
    sam2=SAM2_PRESETS["tiny"],
    # Growing objects fit no size well, and score below the default.
    grounding=GroundingConfig(min_score=0.25),
)
PRESETS = ("tiny", *QWEN2)


def preset_config(name: str, sam2: str = "sam2.1_hiera_large", **overrides: Any) -> LlavaSamaQwenConfig:
    """Model config of a full-size preset.

    Args:
        name: `0.5b` or `7b`.
        sam2: a key of `SAM2_PRESETS`.
        **overrides: config fields to change.

    Raises:
        DataError: unknown name.
    """
    for value, known in ((name, QWEN2), (sam2, SAM2_PRESETS)):
        if value not in known:
            raise DataError(f"Unknown preset '{value}'; known are {', '.join(known)}.")
    fields = (
        QWEN2[name]
        | SIGLIP
        | {
            "max_position_embeddings": 32768,
            "rope_theta": 1000000.0,
            "mm_projector_type": "sama_mlp2x_gelu",
            "mm_vision_select_layer": -2,
            "sama": SamaConfig(sam2=SAM2_PRESETS[sam2]).to_dict(),
        }
    )
    return LlavaSamaQwenConfig(**(fields | overrides))


def new_model(config: Any, *, device: str = "cpu") -> Any:
    """A model with fresh weights and no tower weights.

    Args:
        config: a SAMA config.
        device: `meta` for a plan without memory.
    """
    with torch.device(device):
        return CLASSES[config.model_type][1](config)


def save_tiny_tower(folder: Path, seed: int) -> None:
    """Write a small CLIP vision model with fresh weights, in the host's local-folder form."""
    torch.manual_seed(seed)
    CLIPVisionModel(CLIPVisionConfig(**TINY_TOWER)).save_pretrained(folder)
    side = TINY_TOWER["image_size"]
    CLIPImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    ).save_pretrained(folder)


def save_tiny_start(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    sam2: SamaSam2,
    *,
    seed: int,
    sama: SamaConfig = TINY_SAMA,
    tower: Path | None = None,
) -> None:
    """Write a whole SAMA checkpoint of the tiny preset, untrained but for SAM2.

    Args:
        folder: new checkpoint folder.
        tokenizer: with SAMA's tokens.
        sam2: pretrained; the fine-tuned decoder starts as a copy of its decoder.
        seed: of all fresh weights.
        sama: settings, e.g. of an ablation.
        tower: folder of a trained tower; a fresh one if None.
    """
    if tower is None:
        save_tiny_tower(folder / TOWER_FOLDER, seed)
    else:
        shutil.copytree(
            tower, folder / TOWER_FOLDER, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pt")
        )
    torch.manual_seed(seed)
    config = LlavaSamaQwenConfig(
        **TINY_LLM,
        mm_vision_tower=TOWER_FOLDER,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        sama=sama.to_dict(),
    )
    config._name_or_path = str(folder)
    config.seg_token_id = tokenizer.convert_tokens_to_ids(SEG_TOKEN)
    model = new_model(config)
    model.get_model().mm_projector = build_projector(config)  # torch's own initialisation, not the LLM's
    load_tower(model.get_vision_tower())
    if sama.grounding.head == "sam2":
        model.sam2_head = Sam2Head(sam2, replace(sama.grounding))
        model.projector.seg_decoder.load_state_dict(sam2.sam_mask_decoder.state_dict())
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    logger.info("Wrote the untrained tiny checkpoint to %s", folder)
