"""What a checkpoint folder holds beside the weights of LLM and projector: tower, SAM2, tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from sama_plugin.config import SamaConfig
from sama_plugin.constants import SEG_TOKEN
from sama_plugin.errors import CheckpointError
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.grounding.sam2_model import load_sam2
from sama_plugin.host.checkpoint import SAM2_FOLDER
from sama_plugin.host.vision_tower import load_tower

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""One of them has a tokenizer's words."""


def load_parts(model: Any, folder: Path) -> None:
    """Read what lives outside the LLM's own weights: tower and SAM2, to the model's device, and the tokenizer.

    Args:
        model: a SAMA model; changed in place.
        folder: its checkpoint folder.
    """
    tower = model.get_vision_tower()
    load_tower(tower)
    tower.to(device=model.device, dtype=model.dtype)
    model.tokenizer = load_tokenizer(folder)
    model.newline_ids = tuple(model.tokenizer("\n", add_special_tokens=False).input_ids)
    sama: SamaConfig = model.sama
    if sama.grounding.head == "sam2":
        model.sam2_head = read_sam2_head(folder, sama, model.device)


def read_sam2_head(folder: Path, sama: SamaConfig, device: torch.device | str) -> Sam2Head:
    """SAM2 of a checkpoint folder, of the size that its config says."""
    return Sam2Head(load_sam2(folder / SAM2_FOLDER, sama.sam2, device=device), sama.grounding)


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer.

    Raises:
        CheckpointError: its files are missing or damaged.
    """
    if not (folder / "tokenizer_config.json").is_file():
        raise CheckpointError(
            f"Checkpoint folder {folder} has no tokenizer_config.json; copy the whole folder again."
        )
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"Checkpoint folder {folder} has no {' or '.join(TOKENIZER_FILES)}; copy the whole folder again."
        )
    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers and tokenizers raise many kinds
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {error}") from error


def check_parts(folder: Path, model: Any) -> None:
    """Compare the parts of a folder with each other, which may each be whole and yet of two checkpoints.

    Args:
        folder: for the message.
        model: with its tower and tokenizer.

    Raises:
        CheckpointError: a tower of another width, or a tokenizer with more or other tokens than the model knows.
    """
    width, tokens = model.get_vision_tower().vision_tower.config.hidden_size, len(model.tokenizer)
    seg = model.tokenizer.convert_tokens_to_ids(SEG_TOKEN)
    config = model.config
    for what, found, wanted, fits in (
        ("The vision tower's width", width, config.mm_hidden_size, width == config.mm_hidden_size),
        ("The tokenizer's size", tokens, f"{config.vocab_size} or less", tokens <= config.vocab_size),
        (f"The tokenizer's id of {SEG_TOKEN}", seg, config.seg_token_id, config.seg_token_id in (None, seg)),
    ):
        if not fits:
            raise CheckpointError(
                f"{what} is {found}, by {folder}/config.json it is {wanted}; the folder mixes two checkpoints. Copy it "
                "again."
            )
