"""SAM2 of the tiny preset, from nothing on the small world: clicks, boxes, masks, names, and propagation.

Full-size presets start from published SAM2.1 weights instead. Names enter by a small table of attribute embeddings;
they make the image features tell colours, shapes and sizes apart, which clicks alone do not ask for, and later show
`[SEG]` what a prompt that SAM2 understands looks like. Two stages: from nothing on small frames, which is cheap, then
on larger ones, names first and longer clips afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from sama_plugin.config import Sam2Config
from sama_plugin.data.shapes.render import render_frame
from sama_plugin.data.shapes.world import HELD_OUT_PAIRS, sample_scene
from sama_plugin.grounding.sam2_model import (
    ClipPrediction,
    ClipPrompt,
    SamaSam2,
    build_sam2,
    load_sam2,
    save_sam2,
)
from sama_plugin.media.masks import box_of_mask
from sama_plugin.media.transforms import sam2_frames
from sama_plugin.training.patch_names import (
    UNNAMED,
    VOCABULARIES,
    AttributeNamer,
    object_attributes,
    patch_labels,
    scene_attributes,
)
from sama_plugin.training.short_loop import ShortLoop, worker_batches

KINDS = ("language", "point", "box", "mask")
MAX_STRIDE = 4
ABSENT_SHARE = 0.15
BOX_JITTER = 1.5
NEG_CLICK_SHARE = 0.3
FULL_NAME_SHARE = 0.5
KEPT_SHARE = 0.6
"""Of the attributes of other names, besides the one that is always kept."""

SCORE_WEIGHT = 0.5
LOG_STEPS = 100
CELL = 8
"""Pixels of the cells that are named: a quarter of a cell of the image embedding, which the decoder upsamples."""

NAMING_WEIGHT = 1.0
"""Of naming what lies on each cell of the first frame; one prompt alone says little about all else that is there."""

LOCATION_GAIN = 2.5
LOCATION_BIAS = 1.5
NAMES_FILE = "names.safetensors"
"""The attribute embeddings; `seg_alignment` teaches `[SEG]` from them."""


class Phase(NamedTuple):
    """A part of the stage: shares of the prompt kinds, clip length of mask prompts, share of clips among the others."""

    kind_weights: tuple[float, float, float, float]
    clip_frames: int
    clip_share: float


SPATIAL = Phase(kind_weights=(0.0, 0.35, 0.35, 0.3), clip_frames=2, clip_share=0.0)
ALL_PROMPTS = Phase(kind_weights=(0.5, 0.15, 0.15, 0.2), clip_frames=3, clip_share=0.2)
NAMES = Phase(kind_weights=(0.7, 0.15, 0.15, 0.0), clip_frames=1, clip_share=0.0)
LONG_CLIPS = Phase(kind_weights=(0.45, 0.1, 0.1, 0.35), clip_frames=5, clip_share=0.35)
SPATIAL_SHARE = 1 / 4
"""Prompts that say where come first: with names from the start, clicks and memory never begin to work."""

NAMES_SHARE = 5 / 9
"""A step of single frames takes half of the time of one of long clips, and shows twice as many cells to name."""

FROM_NOTHING = (SPATIAL, SPATIAL_SHARE, ALL_PROMPTS)
FROM_SMALLER = (NAMES, NAMES_SHARE, LONG_CLIPS)
"""First phase, its share of the steps, second phase."""

Schedule = tuple[tuple[int, Phase], ...]
"""First step of each phase, from 0 on."""


class ClipItem(NamedTuple):
    """One object in one short clip.

    Attributes:
        frames: (T, 3, s, s) float, SAM2 input.
        masks: (T, s, s) bool, at SAM2's input size.
        attributes: (3,) long; size, colour, shape of what is asked for, `UNNAMED` where that is open.
        names: (P, 3) long; what lies on the cells of the first frame, see `patch_labels`.
        points_xy: (2, 2) float; clicks or box corners.
        point_labels: (2,) long.
    """

    frames: Tensor
    masks: Tensor
    attributes: Tensor
    names: Tensor
    points_xy: Tensor
    point_labels: Tensor


class ClipStream(IterableDataset[tuple[str, list[ClipItem]]]):
    """Endless batches of clips, one prompt kind per batch, drawn by (seed, batch number)."""

    def __init__(
        self, seed: int, batch_size: int, image_size: int, schedule: Schedule, start: int = 0
    ) -> None:
        self.seed, self.batch_size, self.image_size = seed, batch_size, image_size
        self.schedule, self.start = schedule, start

    def __iter__(self) -> Iterator[tuple[str, list[ClipItem]]]:
        for step in worker_batches(self.start):
            rng = np.random.default_rng([self.seed, step])
            phase = [phase for first, phase in self.schedule if first <= step][-1]
            kind = str(rng.choice(KINDS, p=phase.kind_weights))
            num_frames = phase.clip_frames if kind == "mask" or rng.random() < phase.clip_share else 1
            batch = self.batch_size if num_frames == 1 else max(1, self.batch_size // 2)
            has_negative = rng.random() < NEG_CLICK_SHARE
            yield kind, [self._item(rng, kind, num_frames, has_negative) for _ in range(batch)]

    def _item(self, rng: np.random.Generator, kind: str, num_frames: int, has_negative: bool) -> ClipItem:
        while True:
            scene = sample_scene(rng, "unnamed")
            to_name = scene_attributes(scene)
            stride = int(rng.integers(1, MAX_STRIDE + 1))
            first = int(rng.integers(0, scene.num_frames - (num_frames - 1) * stride))
            drawn = [render_frame(scene, first + i * stride) for i in range(num_frames)]
            chosen = int(rng.integers(len(scene.objects)))
            masks = np.stack([masks[chosen] for _, masks in drawn])  # (T, H, W)
            names = patch_labels(to_name, drawn[0][1], self.image_size // CELL)
            attributes = _partial_name(rng, to_name[chosen])
            if kind == "language" and rng.random() < ABSENT_SHARE:
                attributes, masks = _absent_name(rng, to_name), masks & False
            elif kind == "language" and int(_fits(attributes, to_name).sum()) > 1:
                continue
            if kind != "language" and not masks[0].any():
                continue
            frames = torch.as_tensor(sam2_frames(np.stack([frame for frame, _ in drawn]), self.image_size))
            resized = F.interpolate(
                torch.from_numpy(masks)[:, None].float(), size=(self.image_size,) * 2, mode="area"
            )
            small = resized[:, 0] > 0.5
            if kind != "language" and not small[0].any():
                continue
            points, labels = _clicks(rng, kind, small.numpy()[0], has_negative)
            return ClipItem(frames, small, attributes, names, points, labels)


def _partial_name(rng: np.random.Generator, attributes: Tensor) -> Tensor:
    """(3,) long; a full name, or one that leaves attributes open, so that each is learned by itself."""
    if rng.random() < FULL_NAME_SHARE:
        return attributes
    kept = rng.random(3) < KEPT_SHARE
    kept[rng.integers(3)] = True
    return attributes.where(torch.from_numpy(kept), UNNAMED)


def _fits(name: Tensor, objects: Tensor) -> Tensor:
    """(K,) bool; objects (K, 3) that have every attribute of a name (3,); one that is open fits all."""
    return ((name == objects) | (name == UNNAMED)).all(dim=1)


def _absent_name(rng: np.random.Generator, objects: Tensor) -> Tensor:
    """(3,) long; a name that fits no object (K, 3), no held-out pair in it."""
    while True:
        words = [str(rng.choice(words)) for words in VOCABULARIES]
        name = _partial_name(rng, object_attributes([words])[0])
        has_pair = bool((name[1:] != UNNAMED).all()) and (words[1], words[2]) in HELD_OUT_PAIRS
        if not has_pair and not _fits(name, objects).any():
            return name


def _clicks(
    rng: np.random.Generator, kind: str, mask: np.ndarray, has_negative: bool
) -> tuple[Tensor, Tensor]:
    """Two labelled points: a click (and a negative one or padding), or jittered box corners."""
    if kind == "box":
        x0, y0, x1, y1 = box_of_mask(mask)
        corners = np.array([[x0, y0], [x1, y1]], dtype=np.float32) + rng.uniform(
            -BOX_JITTER, BOX_JITTER, (2, 2)
        )
        return torch.tensor(corners, dtype=torch.float32), torch.tensor([2, 3])
    if kind != "point":
        return torch.zeros(2, 2), torch.full((2,), -1)
    inside, outside = np.argwhere(mask), np.argwhere(~mask)
    y, x = inside[rng.integers(len(inside))]
    negative_y, negative_x = outside[rng.integers(len(outside))]
    label = 0 if has_negative else -1
    return torch.tensor([[x, y], [negative_x, negative_y]], dtype=torch.float32) + 0.5, torch.tensor(
        [1, label]
    )


class AttributeEmbedding(nn.Module):
    """Size + colour + shape → prompt embedding, (B, 3) long → (B, M) float; never part of a checkpoint.

    What is `UNNAMED` adds nothing.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(len(names), dim) for names in VOCABULARIES)

    def forward(self, attributes: Tensor) -> Tensor:
        """Sum of the embeddings."""
        known = attributes != UNNAMED
        rows = [
            table(attributes[:, i] * known[:, i]) * known[:, i, None] for i, table in enumerate(self.tables)
        ]
        return torch.stack(rows).sum(0)


def load_names(sam2_folder: Path, width: int) -> AttributeEmbedding:
    """The embeddings of names that `pretrain_sam2` wrote beside its weights, at rest.

    Args:
        sam2_folder: what `pretrain_sam2` wrote.
        width: M.
    """
    names = AttributeEmbedding(width)
    names.load_state_dict(load_file(sam2_folder / NAMES_FILE))
    return names.requires_grad_(False)


class CellNamer(nn.Module):
    """Names what lies on the image embedding's cells, upsampled once; thrown away after the stage.

    Args:
        dim: M.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.namer = AttributeNamer(dim)

    def forward(self, embedding: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, h, w) float and (B, 4·h·w, 3) long → loss and shares named right, see `AttributeNamer`."""
        cells = F.gelu(self.upsample(embedding)).flatten(2).transpose(1, 2)
        return self.namer(cells, labels)


@torch.no_grad()
def ease_location(sam2: SamaSam2) -> None:
    """Start attention where it has to end: at the place the query speaks of.

    From random weights, a click and the image cell under it do not match, and a frame does not look at its own place in
    memory; thousands of steps pass before either begins. With equal query and key projections (decoder) and equal
    constant biases under rotary positions (memory), nearness scores highest from the first step.

    Args:
        sam2: fresh weights; changed in place.
    """
    decoder = sam2.sam_mask_decoder.transformer
    attentions = [layer.cross_attn_token_to_image for layer in decoder.layers]
    attentions += [layer.cross_attn_image_to_token for layer in decoder.layers]
    for attention in [*attentions, decoder.final_attn_token_to_image]:
        attention.q_proj.weight.mul_(LOCATION_GAIN)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
    for layer in sam2.memory_attention.layers:
        layer.cross_attn_image.q_proj.bias.fill_(LOCATION_BIAS)
        layer.cross_attn_image.k_proj.bias.fill_(LOCATION_BIAS)


def clip_loss(prediction: ClipPrediction, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mask loss, predicted-IoU error and presence of every frame; all three candidates learn the same mask.

    Args:
        prediction: of B clips.
        masks: (B, T, s, s) bool.

    Returns:
        Loss, and mean IoU of the chosen masks where the object is visible; scalars.

    Source: SAM2 paper, appendix on training losses. Differs: plain BCE instead of focal, masks at logit size, and every
    candidate learns instead of the best one, since prompts of the small world are never ambiguous.
    """
    side = prediction.mask_logits.shape[-1]
    target = F.interpolate(masks.float(), size=(side, side), mode="area")  # (B, T, h, w)
    present = masks.flatten(2).any(-1).float()
    total = masks.new_zeros((), dtype=torch.float32)
    for t, (logits, iou) in enumerate(
        zip(prediction.candidate_logits, prediction.candidate_iou, strict=True)
    ):
        wanted = target[:, t : t + 1].expand_as(logits)
        bce = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean((-1, -2))
        probability = logits.sigmoid()
        overlap = (probability * wanted).sum((-1, -2))
        dice = 1 - (2 * overlap + 1) / (probability.sum((-1, -2)) + wanted.sum((-1, -2)) + 1)
        seen = present[:, t, None]
        mask_loss = (10 * bce + dice) * seen + 2 * bce * (1 - seen)
        actual = soft_iou(logits.detach(), wanted)
        total = total + mask_loss.mean() + SCORE_WEIGHT * ((iou - actual).square() * seen).mean()
    total = total / len(prediction.candidate_logits)
    total = total + SCORE_WEIGHT * F.binary_cross_entropy_with_logits(prediction.object_logits, present)
    chosen = soft_iou(prediction.mask_logits.detach(), target)
    return total, (chosen * present).sum() / present.sum().clamp(min=1)


def soft_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of (…, h, w) logits above 0 with targets above 0.5; (…)."""
    predicted, wanted = logits > 0, target > 0.5
    both, either = (predicted & wanted).sum((-1, -2)), (predicted | wanted).sum((-1, -2))
    return both / either.clamp(min=1)


def pretrain_sam2(
    out: Path,
    config: Sam2Config,
    *,
    start: Path | None = None,
    seed: int = 0,
    num_steps: int,
    batch_size: int = 24,
    learning_rate: float = 5e-4,
    save_every: int = 500,
    workers: int = 1,
) -> SamaSam2:
    """Train a small SAM2; resumes from `out` after an interruption.

    Args:
        out: folder for the weights (`model.safetensors`), the state while running and `log.jsonl`.
        config: sizes.
        start: what this function wrote for a smaller image size, where to go on from. None: from nothing.
        seed: of weights and data.
        num_steps: optimiser steps.
        batch_size: objects per step; half as many for clips.
        learning_rate: peak rate; warms up, then falls to 0 by a cosine.
        save_every: steps between two states.
        workers: processes that render.
    """
    torch.manual_seed(seed)
    if start is None:
        sam2, names = build_sam2(config), AttributeEmbedding(config.hidden_dim)
        ease_location(sam2)
    else:
        sam2, names = load_sam2(start, config), load_names(start, config.hidden_dim).requires_grad_(True)
    sam2.train()
    cells = CellNamer(config.hidden_dim)
    loop = ShortLoop(
        out,
        (sam2, names, cells),
        name="SAM2",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
        use_muon=start is not None,
    )
    first, share, second = FROM_NOTHING if start is None else FROM_SMALLER
    schedule = ((0, first), (round(share * num_steps), second))
    stream = ClipStream(seed, batch_size, config.image_size, schedule, loop.start)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=_collate, prefetch_factor=4)
    seen: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for step, (kind, made) in zip(loop.steps(), loader, strict=False):
        batch = ClipItem(*(part.to(loop.device) for part in made))
        prediction = sam2.track_clip(batch.frames, _prompt(kind, batch, names))
        loss, iou = clip_loss(prediction, batch.masks)
        first = prediction.features.levels[2].unflatten(0, batch.frames.shape[:2])[:, 0]
        naming, right = cells(first, batch.names)
        loop.update(loss + NAMING_WEIGHT * naming)
        seen[kind].append(float(iou))
        if (step + 1) % LOG_STEPS == 0:
            means = {k: round(float(np.mean(v)), 3) for k, v in seen.items() if v}
            loop.show(**means, shapes=right[-1])
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step + 1, "iou": means, "shapes": float(right[-1])}) + "\n")
            seen = {k: [] for k in KINDS}
    sam2.eval()
    save_file(names.state_dict(), out / NAMES_FILE)
    save_sam2(sam2, out)
    return sam2


def _collate(item: Any) -> tuple[str, ClipItem]:
    kind, items = item
    return kind, ClipItem(*(torch.stack(column) for column in zip(*items, strict=True)))


def _prompt(kind: str, batch: ClipItem, names: AttributeEmbedding) -> ClipPrompt:
    if kind == "language":
        return ClipPrompt(language=names(batch.attributes))
    if kind == "mask":
        return ClipPrompt(masks=batch.masks[:, 0])
    single = kind == "point" and bool((batch.point_labels[:, 1] == -1).all())
    keep = 1 if single else 2
    return ClipPrompt(points_xy=batch.points_xy[:, :keep], point_labels=batch.point_labels[:, :keep])
