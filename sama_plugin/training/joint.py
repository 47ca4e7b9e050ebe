"""Stage `joint` of the tiny preset: what `talk` teaches, and masks, in one loop; the mean of its last weights stays.

Of four batches one is of clips with masks, two are of clips without, which cost less, and one of single frames.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from sama_plugin.data.collator import SamaCollator
from sama_plugin.grounding.losses import LossWeights
from sama_plugin.training.pointing import mention_ends
from sama_plugin.training.sam2_pretrain import AttributeEmbedding
from sama_plugin.training.short_loop import ShortLoop, endless_batches
from sama_plugin.training.talk import Namers, SeenDataset, collate_seen, talk_losses

MASK_FRAMES = 2
"""Of each clip, with targets for masks."""

CYCLE = 4
"""Steps: one on clips with masks, for which SAM2 is needed, two on clips without, one on single frames."""

LOG_STEPS = 5 * CYCLE
"""Of clips with masks."""

MEAN_SHARE = 0.2
"""Of the steps, at the end, whose weights make the mean."""


def train_joint(
    model: Any,
    tokenizer: Any,
    names: AttributeEmbedding | None,
    namers: Namers,
    datasets: tuple[SeenDataset, SeenDataset],
    out: Path,
    *,
    mask_weights: LossWeights,
    seed: int = 0,
    num_steps: int,
    batch_size: int = 8,
    learning_rate: float = 5e-4,
    save_every: int = 200,
    workers: int = 1,
) -> None:
    """Train LLM, projector and mask decoder; the tower rests. Resumes from `out` after an interruption.

    Args:
        model: a SAMA model with SAM2 that went through `talk`; changed in place.
        tokenizer: its tokenizer.
        names: prompts of SAM2 for names; None lets `[SEG]` go where masks pull it.
        namers: heads, from `talk`; changed in place.
        datasets: of clips, with targets for masks, and of single frames, without.
        out: folder of the state while running.
        mask_weights: of the mask losses.
        seed: of the order.
        num_steps: optimiser steps.
        batch_size: clips or single frames per step.
        learning_rate: peak rate.
        save_every: steps between two states.
        workers: processes that read clips; those with masks and single frames have one each.
    """
    torch.manual_seed(seed)
    model.loss_weights = mask_weights
    model.train().requires_grad_(True)
    model.get_vision_tower().requires_grad_(False).eval()
    late = AveragedModel(model).requires_grad_(False)
    loop = ShortLoop(
        out,
        (model, namers, late),
        name="joint",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
        betas=(0.9, 0.98),
        use_muon=True,
    )
    model.sam2_head.to(loop.device)  # outside the module tree
    ends = mention_ends(tokenizer).to(loop.device)
    names = None if names is None else names.to(loop.device)
    collate = functools.partial(collate_seen, SamaCollator(tokenizer.pad_token_id))
    make = functools.partial(endless_batches, batch_size=batch_size, collate=collate)
    clips, frames = datasets
    cycles, rest = divmod(loop.start, CYCLE)
    masked = make(clips, seed=seed, start=cycles + (rest > 0))
    bare = make(clips.without_masks(), seed=seed + 1, start=2 * cycles + max(0, rest - 1), workers=workers)
    single = make(frames, seed=seed, start=cycles)
    cycle = (masked, bare, bare, single)
    for step in loop.steps():
        if step > num_steps * (1 - MEAN_SHARE):
            late.update_parameters(model)  # after the step before: saved with it, or not at all
        batch = next(cycle[step % CYCLE]).to(loop.device)
        losses = talk_losses(model, ends, names, namers, batch)
        loop.update(losses.total)
        if step % LOG_STEPS == 0:
            loop.show(**{name: value.detach().mean() for name, value in losses._asdict().items()})
    late.update_parameters(model)
    model.load_state_dict(late.module.state_dict())
    model.requires_grad_(True).eval()
