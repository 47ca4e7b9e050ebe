"""Between frames and clips of the tiny preset: `[SEG]` learns the prompts that SAM2 learned to understand.

The SAM2 stage gave every name (size, colour, shape) an embedding that its decoder answers with a mask. Here the hidden
state at `[SEG]`, through the seg projection, is pulled to the embedding of the phrase before it. From there the mask
losses of the clips stage go on; from a random projection, through the decoder alone, they led nowhere in 6,000
examples.
"""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.shapes.world import COLOURS, SHAPES
from sama_plugin.errors import DataError
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.training.sam2_pretrain import NAMES_FILE, SIZES, AttributeEmbedding
from sama_plugin.training.train import make_data_module

logger = logging.getLogger(__name__)

WARMUP_STEPS = 20


def phrase_attributes(phrase: str) -> tuple[int, int, int]:
    """Indices of size, colour and shape in a full name such as `The small red circle`.

    Raises:
        DataError: not a full name.
    """
    words = phrase.split()
    for size, colour, shape in zip(words, words[1:], words[2:], strict=False):
        if size in SIZES and colour in COLOURS and shape in SHAPES:
            return SIZES.index(size), list(COLOURS).index(colour), SHAPES.index(shape)
    raise DataError(f"Phrase {phrase!r} has no size, colour and shape; align on data of the small world.")


def align_seg(
    model: Any,
    tokenizer: Any,
    sam2_folder: Path,
    data_path: Path,
    data_root: Path,
    *,
    seed: int = 0,
    num_steps: int = 150,
    batch_size: int = 24,
    learning_rate: float = 1e-3,
) -> None:
    """Train LLM, tower and projector on language loss plus prompt distance; the decoder is not run.

    Args:
        model: a SAMA model with the SAM2 of `sam2_folder`; changed in place.
        tokenizer: its tokenizer.
        sam2_folder: what `pretrain_sam2` wrote.
        data_path: a mixture file whose answers name every object in full.
        data_root: folder its paths are relative to.
        seed: of the order of samples.
        num_steps: optimiser steps.
        batch_size: examples per step.
        learning_rate: after the warm-up; falls linearly to 0.
    """
    names = AttributeEmbedding(model.sama.sam2.hidden_dim)
    names.load_state_dict(load_file(sam2_folder / NAMES_FILE))
    data_args = SimpleNamespace(data_path=data_path, video_folder=data_root, frame_cache_gb=4.0)
    training_args = SimpleNamespace(model_max_length=model.context_length, seed=seed)
    module = make_data_module(tokenizer, data_args, model, training_args)
    loader = DataLoader(
        module["train_dataset"],
        batch_size=min(batch_size, len(module["train_dataset"])),
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=module["data_collator"],
        num_workers=1,
        drop_last=True,
    )
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / num_steps)
    )
    bar = tqdm(total=num_steps, desc="[SEG] alignment", unit="step")
    while bar.n < num_steps:
        for batch in loader:
            if bar.n == num_steps:
                break
            lm_loss, distance = alignment_losses(model, tokenizer, names, batch)
            optimizer.zero_grad(set_to_none=True)
            (lm_loss + distance).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            bar.update()
            bar.set_postfix(lm=round(float(lm_loss.detach()), 3), prompt=round(float(distance.detach()), 3))
    bar.close()
    model.eval()


def alignment_losses(
    model: Any, tokenizer: Any, names: AttributeEmbedding, batch: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Language loss, and distance of the prompts from their names' embeddings, as a share of the variance of these."""
    outputs = model(**{**batch, "grounding": None})
    attributes = []
    for labels in batch["labels"]:
        answers = tokenizer.decode(labels[labels != IGNORE_INDEX])
        attributes += [phrase_attributes(phrase) for phrase in parse_answer(answers).phrases]
    seg_hidden = outputs.last_hidden_state[batch["input_ids"] == model.config.seg_token_id]
    if not attributes:
        return outputs.losses["lm"], seg_hidden.sum() * 0
    with torch.no_grad():
        targets = names(torch.tensor(attributes))
    return outputs.losses["lm"], F.mse_loss(model.seg_prompts(seg_hidden), targets) / targets.var()
