"""Stage `talk` of the tiny preset: dialogues about clips, and single frames between them, without masks.

Several helps make it short. The LLM gets two more layers in its middle. Before them, every frame token has to tell what
lies on its patch and how that moves; what has to be found over several frames before a question comes is learned from
some hundred tokens a clip, not from the few words of an answer. After them, every token that ends the mention of an
object (`</vp>`, `[SEG]`) has to tell the same of its object; the tokens where answers and phrases begin have to look at
what they are about (see `pointing`), and then to tell its attributes before its words come. The context tokens of a
question have to go on telling where its object is and how it moves (see `context_targets`). Every other batch asks
single frames what is there, what is not, and for another object of the same kind, which costs less than a clip. Some
attribute words of the answers are swapped for others as they go in, so that the next word is learned from what is seen,
not from pairs of words that go together in training. Some videos show colours without a name, so that no colour speaks
against a shape; no such colour has to come out in an answer.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.dataset import Example
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.errors import DataError
from sama_plugin.media.masks import decode_track
from sama_plugin.training.context_targets import (
    ContextReader,
    ContextTargets,
    context_losses,
    find_targets,
    join_targets,
)
from sama_plugin.training.patch_names import (
    COLOUR,
    VOCABULARIES,
    AttributeNamer,
    patch_labels,
)
from sama_plugin.training.pointing import (
    POINTING_LAYERS,
    PointerBatch,
    Pointers,
    collate_pointers,
    find_pointers,
    mention_ends,
    mentioned,
    pointing_loss,
    recall_loss,
    wanted_frame_tokens,
)
from sama_plugin.training.sam2_pretrain import AttributeEmbedding
from sama_plugin.training.scene_facts import MOVING_VOCABULARIES, STILL_ATTRIBUTES, SceneFacts
from sama_plugin.training.seg_alignment import prompt_distance, said_names
from sama_plugin.training.short_loop import ShortLoop, endless_batches
from sama_plugin.training.train import MixedDataset, mixed_dataset

logger = logging.getLogger(__name__)

FIRST_MOVING_FRAME = 2
"""Dense frames before it have seen too little of the clip to tell a motion."""

PATCH_WEIGHT = 0.5
MENTION_WEIGHT = 0.5
POINTING_WEIGHT = 0.5
RECALL_WEIGHT = 0.2
COMING_WEIGHT = 0.5
CONTEXT_WEIGHT = 0.5
LOG_STEPS = 20
"""Even, so that clips are shown."""

FRAME_CACHE_GB = 1.0
TALK_LAYERS = 6
MATCHING_HEADS = (0, 1)
MATCHING_GAIN = 4.5
BACKGROUND_ROWS = 2000
"""About as many frame tokens of a batch without an object are enough to fit the matching heads."""
FINAL_RATE = 0.5
"""Of the peak: as high as `joint` begins."""

WORD_NOISE = 0.2
"""Share of attribute words in answers that go in as another word."""

NAMERS_FILE = "namers.safetensors"
"""The heads of `talk`, for `joint` to go on with."""


class SeenExample(NamedTuple):
    """An example and what its tokens show.

    Attributes:
        example: of text and frames.
        patches: (D · patches, A) long; 1 + attributes of what lies there, in the order of the frame slots.
        mentions: (V, A) long; 1 + attributes of the object of each region and each `[SEG]`, in the order of the text.
        pointers: tokens that have to look at objects.
        frames: (Q, L) bool; where they have to look, see `wanted_frame_tokens`.
        coming: (Q, A) long; 1 + attributes of the object each of them is about, where it is one; 0 where it is none.
        names: (S, 3) long; what the phrase before each `[SEG]` says, see `said_names`.
        context: of the context tokens of the questions.
    """

    example: Example
    patches: Tensor
    mentions: Tensor
    pointers: Pointers
    frames: Tensor
    coming: Tensor
    names: Tensor
    context: ContextTargets


class SeenDataset(Dataset[SeenExample]):
    """A mixture of examples with labels for frame tokens, mentions and tokens that point.

    Args:
        examples: of the small world.
        facts: from `scene_facts.read_facts`.
        tokenizer: its words for attributes are swapped in answers.
        grid: frame tokens per side.
        max_frames: largest number of sparse frames.
        seed: of the swaps.
        mask_frames: dense frames whose mask targets are kept, drawn anew every epoch, where there are targets.

    Raises:
        DataError: an attribute word is no single token.
    """

    def __init__(
        self,
        examples: MixedDataset,
        facts: dict[Path, SceneFacts],
        tokenizer: Any,
        grid: int,
        max_frames: int,
        *,
        seed: int = 0,
        mask_frames: int = 0,
    ) -> None:
        self.examples, self.facts, self.tokenizer = examples, facts, tokenizer
        self.grid, self.max_frames, self.mask_frames = grid, max_frames, mask_frames
        self.ends, self.words = mention_ends(tokenizer), attribute_tokens(tokenizer)
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return len(self.examples)

    def set_epoch(self, epoch: int) -> None:
        """Draw other frames and words from now on."""
        self.epoch = epoch
        self.examples.set_epoch(epoch)

    def without_masks(self) -> SeenDataset:
        """The same examples, for which no mask targets are read."""
        bare = copy.copy(self)
        bare.examples, bare.mask_frames = self.examples.without_masks(), 0
        return bare

    def __getitem__(self, index: int) -> SeenExample:
        example = self.examples[index]
        assert example.video_path is not None, "every scene is a video"
        facts = self.facts[example.video_path]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        owners = torch.cat([self._owners(facts, frame) for frame in example.dense_frames])
        patches = _labels(facts, owners)
        unknown = FIRST_MOVING_FRAME * self.grid**2
        patches[:unknown, STILL_ATTRIBUTES:] = IGNORE_INDEX
        pointers = find_pointers(example, self.tokenizer, facts.ids, facts.attributes)
        coming = _labels(facts, pointers.owners())
        mentions = _labels(facts, torch.tensor(mentioned(example.turns, facts.ids), dtype=torch.long))
        if len(example.dense_frames) <= FIRST_MOVING_FRAME:
            mentions[:, STILL_ATTRIBUTES:] = IGNORE_INDEX
            coming[:, STILL_ATTRIBUTES:] = IGNORE_INDEX
        looks = wanted_frame_tokens(example.input_ids, pointers, owners)
        example = self._hide_unnamed(example, facts, rng)
        names = said_names(self.tokenizer, example.labels)
        example, mentions = self._swap_words(example, mentions, rng)
        example = self._fewer_masks(example, rng)
        context = find_targets(example.turns, facts, example.sparse_frames, self.max_frames)
        return SeenExample(example, patches, mentions, pointers, looks, coming, names, context)

    def _owners(self, facts: SceneFacts, frame: int) -> Tensor:
        masks = decode_track([track[frame] for track in facts.tracks], facts.size)  # (K, H, W)
        return patch_labels(torch.arange(len(masks))[:, None], masks, self.grid)[:, 0]

    def _hide_unnamed(self, example: Example, facts: SceneFacts, rng: np.random.Generator) -> Example:
        """Answers where any word goes in for a colour without a name, and none has to come out."""
        ids, labels = example.input_ids.clone(), example.labels.clone()
        colours = self.words[COLOUR]
        for name in facts.attributes[~facts.named]:
            tokens = [words[value] for words, value in zip(self.words, name, strict=False)]
            is_name = torch.stack([ids[i : len(ids) - 2 + i] == token for i, token in enumerate(tokens)]).all(
                dim=0
            )
            places = COLOUR + torch.nonzero(is_name)[:, 0]
            ids[places] = colours[torch.from_numpy(rng.integers(len(colours), size=len(places)))]
            labels[places] = IGNORE_INDEX
        return dataclasses.replace(example, input_ids=ids, labels=labels)

    def _swap_words(
        self, example: Example, mentions: Tensor, rng: np.random.Generator
    ) -> tuple[Example, Tensor]:
        """Answers with other words going in, the same coming out; ends of swapped phrases have no label.

        Only in last phrases, and in no dialogue that looks back: what was said has to be relied on there.
        """
        if any(turn.kind.startswith(NEEDS_HISTORY) for turn in example.turns):
            return example, mentions
        ids, is_last = example.input_ids.clone(), self._last_phrases(example)
        for words in self.words:
            places = torch.nonzero(torch.isin(ids, words) & is_last)[:, 0]
            swapped = places[torch.from_numpy(rng.random(len(places)) < WORD_NOISE)]
            ids[swapped] = words[torch.from_numpy(rng.integers(len(words), size=len(swapped)))]
        is_end = torch.isin(ids, self.ends)
        # A phrase reaches from the end before it to its own.
        changed = (ids != example.input_ids).long().cumsum(0)[is_end]
        mentions = mentions.clone()
        mentions[torch.diff(changed, prepend=changed.new_zeros(1)) > 0] = IGNORE_INDEX
        return dataclasses.replace(example, input_ids=ids), mentions

    def _fewer_masks(self, example: Example, rng: np.random.Generator) -> Example:
        """Mask targets on some of the dense frames only: SAM2 encodes every one of them."""
        targets = example.grounding
        if targets is None:
            return example
        kept = torch.from_numpy(rng.permutation(len(targets.sam2_frames))[: self.mask_frames])
        fewer = dataclasses.replace(
            targets, sam2_frames=targets.sam2_frames[kept], gt_masks=targets.gt_masks[:, kept]
        )
        return dataclasses.replace(example, grounding=fewer)

    def _last_phrases(self, example: Example) -> Tensor:
        """(L,) bool; tokens of each answer from its last `<p>` on, or all of them where it has none."""
        is_answer = example.labels != IGNORE_INDEX
        begins = is_answer & ~is_answer.roll(1)
        starts = (example.input_ids == self.tokenizer.convert_tokens_to_ids(PHRASE_START)) & is_answer
        answers = begins.cumsum(0)
        phrases = (begins | starts).cumsum(0)
        last = torch.zeros(int(answers.max()) + 1, dtype=torch.long).scatter_reduce(
            0, answers, phrases, "amax"
        )
        return is_answer & (phrases == last[answers])


def _labels(facts: SceneFacts, owners: Tensor) -> Tensor:
    """(n,) long, 1 + index of an object, 0 for none, `IGNORE_INDEX` for any → (n, A) long labels, see `SeenExample`."""
    attributes = 1 + facts.attributes
    attributes[~facts.named, COLOUR] = IGNORE_INDEX
    table = torch.cat([torch.zeros_like(attributes[:1]), attributes])
    return table[owners.clamp(min=0)].where(owners[:, None] != IGNORE_INDEX, IGNORE_INDEX)


def seen_dataset(
    model: Any,
    tokenizer: Any,
    data_path: Path,
    data_root: Path,
    facts: dict[Path, SceneFacts],
    *,
    seed: int,
    report: Path | None = None,
    mask_frames: int = 0,
) -> SeenDataset:
    """The mixture of a file.

    Args:
        model: a SAMA model.
        tokenizer: its tokenizer.
        data_path: a file of `data_configs/`.
        data_root: folder its paths are relative to.
        facts: from `scene_facts.read_facts`.
        seed: of frame choices and swaps.
        report: file of the samples that cannot be read; without one the first is an error.
        mask_frames: dense frames of each example with targets for masks.
    """
    mixed = mixed_dataset(
        tokenizer,
        model,
        data_path,
        data_root,
        seed=seed,
        mask_targets=mask_frames > 0,
        cache_gb=FRAME_CACHE_GB,
        report=report,
    )
    side = -(-model.get_vision_tower().num_patches_per_side // model.sama.dense_pool_stride)
    max_frames = model.sama.sampling.max_sparse
    return SeenDataset(mixed, facts, tokenizer, side, max_frames, seed=seed, mask_frames=mask_frames)


def attribute_tokens(tokenizer: Any) -> tuple[Tensor, ...]:
    """Token ids of the words for size, colour and shape, (words,) long each.

    Raises:
        DataError: a word is no single token.
    """
    groups = []
    for words in VOCABULARIES:
        ids = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
        for word, own in zip(words, ids, strict=True):
            if len(own) != 1:
                raise DataError(
                    f"Word '{word}' is {len(own)} tokens; train the tokenizer on the small world."
                )
        groups.append(torch.tensor([own[0] for own in ids]))
    return tuple(groups)


class SeenBatch(NamedTuple):
    """Like `SeenExample`, of several: inputs from `SamaCollator`, pointers padded, labels one after another."""

    inputs: dict[str, Any]
    patches: Tensor
    mentions: Tensor
    pointers: PointerBatch
    coming: Tensor
    names: Tensor
    context: ContextTargets

    def to(self, device: torch.device) -> SeenBatch:
        """Move what is not moved within the model."""
        text = {name: self.inputs[name].to(device) for name in ("input_ids", "labels")}
        labels = {
            name: getattr(self, name).to(device)
            for name in ("patches", "mentions", "coming", "names", "context")
        }
        return SeenBatch(self.inputs | text, pointers=self.pointers.to(device), **labels)


def collate_seen(collator: SamaCollator, items: list[SeenExample]) -> SeenBatch:
    """A batch of items; `collator` makes the model's inputs."""
    return SeenBatch(
        collator([item.example for item in items]),
        torch.cat([item.patches for item in items]),
        torch.cat([item.mentions for item in items]),
        collate_pointers([item.pointers for item in items], [item.frames for item in items]),
        torch.cat([item.coming for item in items]),
        torch.cat([item.names for item in items]),
        join_targets([item.context for item in items]),
    )


class Namers(nn.Module):
    """Heads that name attributes and read context tokens; never part of a checkpoint.

    Args:
        width: N.
        max_frames: T_max.
    """

    def __init__(self, width: int, max_frames: int) -> None:
        super().__init__()
        self.of_patches = AttributeNamer(width, MOVING_VOCABULARIES)
        self.of_mentions = AttributeNamer(width, MOVING_VOCABULARIES)
        self.of_pointers = AttributeNamer(width, MOVING_VOCABULARIES)
        self.of_context = ContextReader(width, max_frames)


def new_namers(model: Any) -> Namers:
    """Fresh heads for a SAMA model."""
    return Namers(model.config.hidden_size, model.sama.sampling.max_sparse)


def load_namers(talk_folder: Path, model: Any) -> Namers:
    """The heads that `train_talk` left beside its state.

    Raises:
        DataError: there are none, as in a folder of an earlier version.
    """
    file, namers = talk_folder / NAMERS_FILE, new_namers(model)
    if not file.is_file():
        raise DataError(
            f"{file} is missing; remove {talk_folder}, so that the stage is made anew with its heads."
        )
    namers.load_state_dict(load_file(file))
    return namers


class TalkLosses(NamedTuple):
    """Scalars, and (A,) shares of patches, mentions and pointers with each attribute named right."""

    lm: Tensor
    masks: Tensor
    prompt: Tensor
    patch: Tensor
    patch_shares: Tensor
    mention: Tensor
    mention_shares: Tensor
    pointing: Tensor
    pointing_share: Tensor
    recall: Tensor
    recall_share: Tensor
    coming: Tensor
    coming_shares: Tensor
    context: Tensor
    motion_share: Tensor

    @property
    def total(self) -> Tensor:
        """() float; what is trained."""
        weighted = (
            (PATCH_WEIGHT, self.patch),
            (MENTION_WEIGHT, self.mention),
            (POINTING_WEIGHT, self.pointing),
            (RECALL_WEIGHT, self.recall),
            (COMING_WEIGHT, self.coming),
            (CONTEXT_WEIGHT, self.context),
        )
        return self.lm + self.masks + self.prompt + sum(weight * loss for weight, loss in weighted)


def talk_losses(
    model: Any, ends: Tensor, names: AttributeEmbedding | None, namers: Namers, batch: SeenBatch
) -> TalkLosses:
    """Language loss, those of masks, distance of `[SEG]` from its name's prompt, losses of what tokens see, of a batch.

    Args:
        model: a SAMA model.
        ends: (2,) long, from `mention_ends`.
        names: prompts of SAM2 for names; None for a head without SAM2.
        namers: of patches on the hidden states after half of the LLM's layers, of mentions one layer later, of what
            tokens point at after the layers that point; of context tokens as they go in.
        batch: what the tokens show.
    """
    inputs, ids = batch.inputs, batch.inputs["input_ids"]
    has_targets = any(targets is not None for targets in inputs["grounding"])
    grounding = inputs["grounding"] if has_targets else None
    outputs = model(**{**inputs, "grounding": grounding}, output_hidden_states=True)
    hidden, last = outputs.hidden_states, outputs.last_hidden_state
    prompt = last.new_zeros(())
    if names is not None:
        prompt = prompt_distance(model, names, last[ids == model.config.seg_token_id], batch.names)
    half = model.config.num_hidden_layers // 2
    positions = batch.pointers.positions
    rows, columns = torch.nonzero(positions >= 0, as_tuple=True)
    pointers = hidden[half + POINTING_LAYERS][rows, positions[rows, columns]]
    patch, patch_shares = namers.of_patches(hidden[half][ids == FRAME_TOKEN_INDEX], batch.patches)
    mention, mention_shares = namers.of_mentions(hidden[half + 1][torch.isin(ids, ends)], batch.mentions)
    pointing, pointing_share = pointing_loss(model, hidden, batch.pointers)
    recall, recall_share = recall_loss(model, hidden, batch.pointers)
    coming, coming_shares = namers.of_pointers(pointers, batch.coming)
    context, motion_share = last.new_zeros(()), last.new_zeros(())
    if model.projector.aggregator is not None:
        frames = [video.num_sparse for video in inputs["videos"] for _ in video.question_ids]
        asked = hidden[0][ids == CONTEXT_TOKEN_INDEX].split(frames)
        track, motion, length, motion_share = context_losses(namers.of_context, asked, batch.context)
        context = track + motion + length
    return TalkLosses(
        outputs.losses["lm"],
        outputs.loss - outputs.losses["lm"],
        prompt,
        patch,
        patch_shares,
        mention,
        mention_shares,
        pointing,
        pointing_share,
        recall,
        recall_share,
        coming,
        coming_shares,
        context,
        motion_share,
    )


def train_talk(
    model: Any,
    tokenizer: Any,
    names: AttributeEmbedding | None,
    datasets: tuple[SeenDataset, SeenDataset],
    out: Path,
    *,
    seed: int = 0,
    num_steps: int,
    batch_size: int = 8,
    learning_rate: float = 1e-3,
    save_every: int = 200,
    workers: int = 1,
) -> None:
    """Train LLM and projector; the tower rests. Resumes from `out` after an interruption.

    Args:
        model: a SAMA model; changed in place.
        tokenizer: its tokenizer.
        names: prompts of SAM2 for names; None for a head without SAM2.
        datasets: of clips and of single frames; batches alternate.
        out: folder of the state while running, and of the heads.
        seed: of the heads and of the order.
        num_steps: optimiser steps.
        batch_size: clips or single frames per step.
        learning_rate: peak rate.
        save_every: steps between two states.
        workers: processes that read clips, and as many for single frames; each keeps up to `FRAME_CACHE_GB`.
    """
    torch.manual_seed(seed)
    grow_llm(model, TALK_LAYERS)
    namers = new_namers(model)
    model.train().requires_grad_(True)
    model.get_vision_tower().requires_grad_(False).eval()
    loop = ShortLoop(
        out,
        (model, namers),
        name="talk",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
        betas=(0.9, 0.98),
        final_rate=FINAL_RATE,
        use_muon=True,
    )
    ends = mention_ends(tokenizer).to(loop.device)
    names = None if names is None else names.to(loop.device)
    clips, frames = datasets
    collate = functools.partial(collate_seen, SamaCollator(tokenizer.pad_token_id))
    make = functools.partial(endless_batches, collate=collate, seed=seed, workers=workers)
    if loop.start == 0:
        for of_mentions in (False, True):
            ease_matching(model, ends, make(clips, batch_size), of_mentions=of_mentions)
    sources = (
        make(clips, batch_size, start=(loop.start + 1) // 2),
        make(frames, batch_size, start=loop.start // 2),
    )
    for step in loop.steps():
        losses = talk_losses(model, ends, names, namers, next(sources[step % 2]).to(loop.device))
        loop.update(losses.total)
        if step % LOG_STEPS == 0:
            loop.show(**{name: value.detach().mean() for name, value in losses._asdict().items()})
    save_file(namers.state_dict(), out / NAMERS_FILE)
    model.requires_grad_(True).eval()


def grow_llm(model: Any, num_layers: int) -> None:
    """Put layers into the middle of the LLM that say nothing until they learn: copies with silent outputs.

    Args:
        model: a SAMA model; changed in place, its answers are not.
        num_layers: it has afterwards; as it is where it has as many.
    """
    layers, config = model.get_model().layers, model.config
    half = len(layers) // 2
    for _ in range(num_layers - len(layers)):
        layer = copy.deepcopy(layers[half - 1])
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
        layers.insert(half, layer)
    for index, layer in enumerate(layers):
        layer.self_attn.layer_idx = index
    config.num_hidden_layers = len(layers)
    config.layer_types = ["full_attention"] * len(layers)


@torch.no_grad()
def ease_matching(
    model: Any, ends: Tensor, batches: Iterator[SeenBatch], *, of_mentions: bool, num_batches: int = 8
) -> None:
    """Let two heads of a layer start where they have to end: at frame tokens that show the same object.

    What moves, stays or comes late is told by finding an object again on other frames. From random weights no head
    looks there, and thousands of steps pass before one does. Here the queries and keys of two heads become a linear
    reading of size, colour and shape, by least squares, on the slow rotary dimensions.

    Args:
        model: a SAMA model whose frame tokens tell what they show; changed in place.
        ends: (2,) long, from `mention_ends`.
        batches: as in training.
        of_mentions: let mentions look for their object from the layer after the middle on, instead of frame tokens
            for theirs from the first.
        num_batches: read for the fit.
    """
    index = model.config.num_hidden_layers // 2 if of_mentions else 0
    layer = model.get_model().layers[index]
    keys, queries = [], []
    for batch in (made.to(ends.device) for made in itertools.islice(batches, num_batches)):
        outputs = model(**{**batch.inputs, "grounding": None}, output_hidden_states=True)
        hidden = layer.input_layernorm(outputs.hidden_states[index])
        keep = batch.patches[:, 0] > 0
        keep[:: 1 + len(keep) // BACKGROUND_ROWS] = True
        keep &= _is_known(batch.patches)
        seen = hidden[batch.inputs["input_ids"] == FRAME_TOKEN_INDEX]
        keys.append((seen[keep], batch.patches[keep]))
        named = _is_known(batch.mentions)
        mentions = hidden[torch.isin(batch.inputs["input_ids"], ends)]
        queries.append((mentions[named], batch.mentions[named]) if of_mentions else keys[-1])
    attention = layer.self_attn
    width = attention.head_dim
    for projection, rows in ((attention.q_proj, queries), (attention.k_proj, keys)):
        reading = _read_attributes(torch.cat([r for r, _ in rows]), torch.cat([a for _, a in rows]))
        pairs = width // 2
        slow = range(pairs - -(-len(reading) // 2), pairs)
        slots = torch.tensor([d for pair in slow for d in (pair, pair + pairs)][: len(reading)])
        for head in MATCHING_HEADS:
            own = slice(head * width, (head + 1) * width)
            projection.weight[own] = 0
            projection.bias[own] = 0
            projection.weight[slots + head * width] = MATCHING_GAIN * reading


def _is_known(labels: Tensor) -> Tensor:
    """(n,) bool; rows of labels (n, A) with size, colour and shape."""
    return (labels[:, :STILL_ATTRIBUTES] != IGNORE_INDEX).all(dim=1)


def _read_attributes(rows: Tensor, attributes: Tensor) -> Tensor:
    """(readings, N) float; the linear map that tells size, colour and shape from hidden states best."""
    targets = torch.cat(
        [_contrast(attributes[:, i], len(words)) for i, words in enumerate(VOCABULARIES)], dim=1
    )
    ridge = rows.T @ rows + len(rows) * 1e-3 * torch.eye(rows.shape[1], device=rows.device)
    reading = torch.linalg.solve(ridge, rows.T @ targets).T
    error = (rows @ reading.T - targets).square().mean() / targets.var()
    logger.info("matching heads read attributes with an error of %.2f of the variance", float(error))
    return reading


def _contrast(values: Tensor, count: int) -> Tensor:
    """(n, count - 1) float rows of equal length with negative products between different values; zeros for none."""
    corners = torch.eye(count) - 1 / count
    basis = torch.linalg.svd(corners)[2][: count - 1]  # (count - 1, count)
    table = torch.cat([torch.zeros(1, count - 1), (corners @ basis.T)]).to(values.device)
    return table[values] / table[1].norm()
