"""First stage of the tiny preset: the vision tower learns to see, as published towers come pretrained.

Every patch of single frames of the small world says which size, colour and shape lies on it (or nothing). The heads are
thrown away; what stays are features that name things where they are, with sine positions to start from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers import CLIPImageProcessor, CLIPVisionModel

from sama_plugin.data.shapes.render import render_frame
from sama_plugin.data.shapes.world import sample_scene
from sama_plugin.media.transforms import tower_frames
from sama_plugin.training.patch_names import AttributeNamer, patch_labels, scene_attributes
from sama_plugin.training.short_loop import ShortLoop, worker_batches

LOG_STEPS = 20


class PatchBatch(NamedTuple):
    """Frames and what lies on their patches.

    Attributes:
        pixel_values: (B, 3, s, s) float, tower input.
        labels: (B, P, 3) long; 0 is background, else 1 + index of size, colour, shape.
    """

    pixel_values: Tensor
    labels: Tensor


class FrameStream(IterableDataset[PatchBatch]):
    """Endless batches of single frames, drawn by (seed, batch number)."""

    def __init__(
        self, seed: int, batch_size: int, processor: CLIPImageProcessor, grid: int, start: int = 0
    ) -> None:
        self.seed, self.batch_size, self.grid, self.start = seed, batch_size, grid, start
        self.size = int(processor.size["shortest_edge"])
        self.mean, self.std = tuple(processor.image_mean), tuple(processor.image_std)

    def __iter__(self) -> Iterator[PatchBatch]:
        for step in worker_batches(self.start):
            rng = np.random.default_rng([self.seed, step])
            frames, labels = zip(*(self._frame(rng) for _ in range(self.batch_size)), strict=True)
            pixels = torch.as_tensor(tower_frames(np.stack(frames), self.size, self.mean, self.std))
            yield PatchBatch(pixels, torch.stack(labels))

    def _frame(self, rng: np.random.Generator) -> tuple[np.ndarray, Tensor]:
        scene = sample_scene(rng, "unnamed")
        frame, masks = render_frame(scene, int(rng.integers(scene.num_frames)))
        return frame, patch_labels(scene_attributes(scene), masks, self.grid)


def start_positions(tower: CLIPVisionModel) -> None:
    """Set the position embeddings to two-dimensional sines, of the size of the patch embeddings' own noise or more.

    From CLIP's random start, places are told apart only after long training, and nothing about motion can be learned.
    """
    table = tower.vision_model.embeddings.position_embedding.weight
    side = int((len(table) - 1) ** 0.5)
    quarter = table.shape[1] // 4
    rates = torch.pi * 2.0 ** torch.linspace(0, 4, quarter)
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    angles = [place.flatten()[:, None] * rates for place in (x, y)]
    waves = torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)
    with torch.no_grad():
        table[1:, : 4 * quarter] = waves


def pretrain_tower(
    folder: Path,
    out: Path,
    *,
    seed: int = 0,
    num_steps: int,
    batch_size: int = 24,
    learning_rate: float = 1.5e-3,
    save_every: int = 200,
    workers: int = 1,
) -> None:
    """Train a tower on patch labels; resumes from `out` after an interruption.

    Args:
        folder: a CLIP vision folder, as `host.presets.save_tiny_tower` writes it; where to start.
        out: the trained tower, in the same form, and the state while running.
        seed: of the data and the heads.
        num_steps: optimiser steps.
        batch_size: frames per step.
        learning_rate: peak rate.
        save_every: steps between two states.
        workers: processes that render.
    """
    from sama_plugin.host.pretrained import folder_transaction

    torch.manual_seed(seed)
    tower = CLIPVisionModel.from_pretrained(folder).train()
    processor = CLIPImageProcessor.from_pretrained(folder)
    start_positions(tower)
    namer = AttributeNamer(tower.config.hidden_size)
    loop = ShortLoop(
        out,
        (tower, namer),
        name="tower",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
    )
    grid = tower.config.image_size // tower.config.patch_size
    stream = FrameStream(seed, batch_size, processor, grid, loop.start)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=4)
    for step, batch in zip(loop.steps(), loader, strict=False):
        pixels, labels = (part.to(loop.device) for part in batch)
        hidden = tower(pixels, output_hidden_states=True).hidden_states[-1]
        loss, right = namer(hidden[:, 1:], labels)
        loop.update(loss)
        if step % LOG_STEPS == 0:
            loop.show(loss=loss.detach(), shapes=right[-1])
    with folder_transaction(out) as staged:
        tower.eval().save_pretrained(staged)
        processor.save_pretrained(staged)
