"""Between words and masks of the tiny preset: the context aggregator learns to say what a question needs.

Published aggregators start from a pretrained Q-Former; a small one from noise hands the LLM nothing that it could use,
so that it never learns to ask for it. Here every object of a clip is asked about, beside some questions of its
dialogues. The mean context token has to tell where the object in question is on every sparse frame and how it moves
(see `context_targets`), and to name the words of a dialogue's answer. LLM, tower and base projector rest, so the
features of a clip are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from sama_plugin.constants import DATA_REGION
from sama_plugin.data.dataset import region_use
from sama_plugin.data.mixture import read_sources
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.data.shapes.rounds import WORDINGS
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer, EncodedDialogue, SlotLayout
from sama_plugin.schema import Sample, Turn, VideoInputs
from sama_plugin.training.context_targets import (
    MOTION_KINDS,
    ContextLosses,
    ContextReader,
    ContextTargets,
    context_losses,
    find_targets,
    join_targets,
)
from sama_plugin.training.scene_facts import SceneFacts
from sama_plugin.training.short_loop import ShortLoop, endless_batches

TRACK_WEIGHT = 3.0
MOTION_WEIGHT = 2.0
WORD_WEIGHT = 0.1
POSITIVE_WEIGHT = 4.0
"""Of a word that is in the answer, against the many that are not."""

LOGIT_SCALE = 0.3
"""Start of the factor on products of embeddings and normed tokens, which are several times as long as embeddings."""

MOTION, STILL_KINDS = "motion", ("name", "colour", "shape", "size")
"""Of questions about what several frames show of an object, and about what one does."""

MOTION_SHARE = 0.6
"""Of the questions about each object; the others are of `STILL_KINDS`."""

OWN_QUESTIONS = 2
"""Of a clip's dialogues, drawn anew in each epoch."""

SHARE_CLIPS = 200
"""Clips whose answers are counted for it."""

LOG_STEPS = 20


class ClipQuestions(NamedTuple):
    """Questions about one clip, without its frames.

    Attributes:
        path: of the video.
        video: vision side without pixels; regions stand on random sparse frames.
        words: (P_q, V) float; 1 where the answer has the token.
        answered: (P_q,) bool; whether there is an answer.
        targets: of the context tokens.
    """

    path: str
    video: VideoInputs
    words: Tensor
    answered: Tensor
    targets: ContextTargets


class QuestionDataset(Dataset[ClipQuestions]):
    """One item per merged dialogue.

    Args:
        samples: merged dialogues.
        facts: of the clips, see `scene_facts.read_facts`.
        tokenizer: lays out questions and answers.
        builder: makes region tensors.
        vocab_size: V.
        seed: with the epoch, of the questions and of the frames the regions stand on.

    Attributes:
        asks_motion: whether objects are asked about their motion: where the dialogues do so, too.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        facts: dict[Path, SceneFacts],
        tokenizer: DialogueTokenizer,
        builder: InputBuilder,
        vocab_size: int,
        seed: int,
    ) -> None:
        self.samples, self.facts, self.tokenizer, self.builder = samples, facts, tokenizer, builder
        self.vocab_size, self.seed, self.epoch = vocab_size, seed, 0
        asked = (turn for sample in samples for turn in sample.turns)
        self.asks_motion = any(turn.kind in MOTION_KINDS and turn.region_ids for turn in asked)

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Draw other questions and frames from now on."""
        self.epoch = epoch

    def word_shares(self) -> Tensor:
        """(V,) float in (0, 1); smoothed share of answers that have each token, from the first clips."""
        answers = [t.answer for sample in self.samples[:SHARE_CLIPS] for t in sample.turns]
        counts = torch.zeros(self.vocab_size)
        for answer in answers:
            counts[list(set(self.tokenizer.answer_ids(answer)))] += 1
        return (counts + 0.5) / (len(answers) + 1)

    def __getitem__(self, index: int) -> ClipQuestions:
        sample = self.samples[index]
        facts = self.facts[Path(sample.video_path)]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        sampling = self.builder.sama.sampling
        sparse = sparse_indices(len(facts.tracks[0]), sampling)
        turns = [*self._object_turns(facts, sparse, rng), *_own_turns(sample, rng)]
        sample = replace(sample, masks=dict(zip(facts.ids, facts.tracks, strict=True)))
        dialogue, regions = EncodedDialogue(), []
        words = torch.zeros(len(turns), self.vocab_size)
        for row, turn in zip(words, turns, strict=True):
            self.tokenizer.start_turn(dialogue, turn.question, SlotLayout(0, 0, 0))
            row[self.tokenizer.answer_ids(turn.answer) if turn.answer else []] = 1
            regions += [region_use(sample, region, sparse, rng) for region in turn.region_ids]
        return ClipQuestions(
            sample.video_path,
            self.builder.video_inputs(None, len(sparse), [], dialogue.question_ids, regions),
            words,
            torch.tensor([bool(turn.answer) for turn in turns], dtype=torch.bool),
            find_targets(turns, facts, sparse, sampling.max_sparse),
        )

    def _object_turns(self, facts: SceneFacts, frames: Sequence[int], rng: np.random.Generator) -> list[Turn]:
        """A question about each object that one of the frames shows, without an answer."""
        turns = []
        for mask_id, track in zip(facts.ids, facts.tracks, strict=True):
            if any(track[frame] is not None for frame in frames):
                asks_motion = self.asks_motion and rng.random() < MOTION_SHARE
                kind = MOTION if asks_motion else STILL_KINDS[rng.integers(len(STILL_KINDS))]
                options = WORDINGS[kind]
                question = options[rng.integers(len(options))].format(r=DATA_REGION)
                turns.append(Turn(question, "", (mask_id,), kind=kind))
        return turns


def _own_turns(sample: Sample, rng: np.random.Generator) -> list[Turn]:
    """Some of the turns that stand alone; the aggregator reads no earlier rounds."""
    turns = [turn for turn in sample.turns if not turn.kind.startswith(NEEDS_HISTORY)]
    return [turns[i] for i in rng.permutation(len(turns))[:OWN_QUESTIONS]]


class WordReader(nn.Module):
    """Names the words of the answer from mean context tokens; read in this stage only.

    Args:
        width: N.
        word_shares: (V,) float in (0, 1); share of answers that have each token, where the bias starts.
    """

    def __init__(self, width: int, word_shares: Tensor) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.scale = nn.Parameter(torch.tensor(LOGIT_SCALE))
        self.bias = nn.Parameter(word_shares.logit())

    def forward(self, means: Tensor, embeddings: Tensor) -> Tensor:
        """(P_q, N) mean context tokens and (V, N) embeddings → word logits (P_q, V)."""
        return (self.norm(means) @ embeddings.T) * self.scale + self.bias


class StageLosses(NamedTuple):
    """Scalars: distance from the answers' words, and what `context_targets` asks for."""

    words: Tensor
    context: ContextLosses

    @property
    def total(self) -> Tensor:
        """() float; what is trained."""
        context = self.context
        weighted = TRACK_WEIGHT * context.track + MOTION_WEIGHT * context.motion + context.length
        return weighted + WORD_WEIGHT * self.words


def stage_losses(
    model: Any, words: WordReader, reader: ContextReader, batch: list[ClipQuestions], features: list[Tensor]
) -> StageLosses:
    """Losses of the questions about some clips.

    Args:
        model: a SAMA model.
        words: names words.
        reader: tells tracks and motions.
        batch: of clips.
        features: list over clips of (T, P, N) float.
    """
    videos = [item.video for item in batch]
    tokens = [own.aggregator for own in model.region_tokens(videos, features)]
    context = model.context_tokens(videos, features, tokens)
    asked = [own for of_clip in context for own in of_clip]  # (T, N) each
    means = torch.stack([own.mean(dim=0) for own in asked])
    targets = join_targets([item.targets for item in batch]).to(means.device)
    answered = torch.cat([item.answered for item in batch]).to(means.device)
    wanted = torch.cat([item.words for item in batch]).to(means.device)[answered]
    logits = words(means[answered], model.get_model().embed_tokens.weight.detach())
    weight = 1 + (POSITIVE_WEIGHT - 1) * wanted
    missed = F.binary_cross_entropy_with_logits(logits, wanted, weight, reduction="sum")
    return StageLosses(missed / max(1, len(wanted)), context_losses(reader, asked, targets))


def pretrain_context(
    model: Any,
    tokenizer: Any,
    data_path: Path,
    data_root: Path,
    facts: dict[Path, SceneFacts],
    out: Path,
    *,
    seed: int = 0,
    num_steps: int,
    batch_size: int = 8,
    learning_rate: float = 1.5e-3,
    save_every: int = 500,
    workers: int = 1,
) -> None:
    """Train the aggregator and its copy of the region tokens; resumes from `out` after an interruption.

    Args:
        model: a SAMA model that knows the words; changed in place.
        tokenizer: its tokenizer.
        data_path: a mixture file; dialogues about one clip are merged there.
        data_root: folder its paths are relative to.
        facts: of its clips, from `scene_facts.read_facts`.
        out: folder of the state while running.
        seed: of order, questions and regions.
        num_steps: optimiser steps.
        batch_size: clips per step.
        learning_rate: peak rate.
        save_every: steps between two states.
        workers: processes that read.
    """
    torch.manual_seed(seed)
    sama, tower = model.sama, model.get_vision_tower()
    builder = InputBuilder(sama, tower.image_processor, tower.num_patches_per_side)
    samples = [sample for _, own in read_sources(data_path, data_root) for sample in own]
    layout = DialogueTokenizer(tokenizer, template_by_name(sama.template))
    vocab_size = model.get_model().embed_tokens.num_embeddings
    dataset = QuestionDataset(samples, facts, layout, builder, vocab_size, seed)
    encoder, aggregator = model.projector.region_encoder, model.projector.aggregator
    width = model.config.hidden_size
    words, reader = WordReader(width, dataset.word_shares()), ContextReader(width, sama.sampling.max_sparse)
    trained = nn.ModuleList([aggregator, encoder.look_aggregator, encoder.shape_aggregator, words, reader])
    model.requires_grad_(False)
    trained.requires_grad_(True)
    loop = ShortLoop(
        out,
        (trained,),
        name="context",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
        use_muon=True,
    )
    model.to(loop.device)
    batches = endless_batches(dataset, batch_size, list, seed=seed, start=loop.start, workers=workers)
    kept: dict[str, Tensor] = {}
    for step, batch in zip(loop.steps(), batches, strict=False):
        features = [_features(model, builder, item, kept) for item in batch]
        losses = stage_losses(model, words, reader, batch, features)
        loop.update(losses.total)
        if step % LOG_STEPS == 0:
            shown = {"words": losses.words, **losses.context._asdict()}
            loop.show(**{name: value.detach() for name, value in shown.items()})
    model.requires_grad_(True)


def _features(model: Any, builder: InputBuilder, item: ClipQuestions, kept: dict[str, Tensor]) -> Tensor:
    """(T, P, N) float features of a clip's sparse frames; computed once, kept in half precision."""
    if item.path not in kept:
        clip = VideoClip.open(item.path)
        frames = clip.read(sparse_indices(clip.num_frames, builder.sama.sampling))
        with torch.no_grad():
            kept[item.path] = model.encode_frames([builder.tower_pixels(frames)])[0].half()
    return kept[item.path].to(model.device, model.dtype)
