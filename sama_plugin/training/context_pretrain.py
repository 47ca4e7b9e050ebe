"""Between words and masks of the tiny preset: the context aggregator learns to say what a question needs.

Published aggregators start from a pretrained Q-Former; a small one from noise hands the LLM nothing that it could use,
so that it never learns to ask for it. Here the mean context token of a question has to name the words of its answer, in
the LLM's own token embeddings, and to tell where the object in question is on every sparse frame. LLM, tower and base
projector rest, so the features of a clip are computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from sama_plugin.data.dataset import region_use
from sama_plugin.data.mixture import read_sources
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_track
from sama_plugin.media.transforms import box_geometry
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer, EncodedDialogue, SlotLayout
from sama_plugin.schema import Rle, Sample, Turn, VideoInputs
from sama_plugin.training.short_loop import ShortLoop, endless_batches

TRACK_WEIGHT = 4.0
POSITIVE_WEIGHT = 4.0
"""Of a word that is in the answer, against the many that are not."""

LOGIT_SCALE = 16.0
"""Start of the factor on products of context tokens and embeddings, so that the former stay as small as the latter."""

SHARE_CLIPS = 200
"""Clips whose answers are counted for it."""

LOG_STEPS = 20


class ClipQuestions(NamedTuple):
    """All questions about one clip, without its frames.

    Attributes:
        path: of the video.
        video: vision side without pixels; regions stand on random sparse frames.
        words: (P_q, V) float; 1 where the answer has the token.
        tracks: (P_q, T_max, 3) float; x and y of the object in question in [0, 1], and 1 where it is visible.
        tracked: (P_q, T_max) bool; frames of the clip, of questions that are about one object.
    """

    path: str
    video: VideoInputs
    words: Tensor
    tracks: Tensor
    tracked: Tensor


class QuestionDataset(Dataset[ClipQuestions]):
    """One item per clip.

    Args:
        samples: merged dialogues, one per clip.
        tokenizer: lays out questions and answers.
        builder: makes region tensors.
        vocab_size: V.
        seed: with the epoch, of the frames the regions stand on.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        tokenizer: DialogueTokenizer,
        builder: InputBuilder,
        vocab_size: int,
        seed: int,
    ) -> None:
        self.samples, self.tokenizer, self.builder = samples, tokenizer, builder
        self.vocab_size, self.seed, self.epoch = vocab_size, seed, 0

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Put the regions on other frames from now on."""
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
        rng = np.random.default_rng([self.seed, self.epoch, index])
        num_frames = len(next(iter(sample.masks.values())))
        sparse = sparse_indices(num_frames, self.builder.sama.sampling)
        # The aggregator reads no earlier rounds.
        turns = [turn for turn in sample.turns if not turn.kind.startswith(NEEDS_HISTORY)]
        dialogue, regions = EncodedDialogue(), []
        max_frames = self.builder.sama.sampling.max_sparse
        words = torch.zeros(len(turns), self.vocab_size)
        tracks, tracked = torch.zeros(len(turns), max_frames, 3), torch.zeros(len(turns), max_frames).bool()
        for q, turn in enumerate(turns):
            self.tokenizer.start_turn(dialogue, turn.question, SlotLayout(0, 0, 0))
            words[q, self.tokenizer.answer_ids(turn.answer)] = 1
            regions += [region_use(sample, region, sparse, rng) for region in turn.region_ids]
            subject = _subject(turn)
            if subject is not None:
                tracks[q, : len(sparse)] = _track(sample.masks[subject], sparse)
                tracked[q, : len(sparse)] = True
        video = self.builder.video_inputs(None, len(sparse), [], dialogue.question_ids, regions)
        return ClipQuestions(sample.video_path, video, words, tracks, tracked)


def _subject(turn: Turn) -> str | None:
    """Mask id of the one object a question is about: answered by a mask, else pointed at."""
    targets = [i for ids in turn.target_ids for i in ids]
    options = targets or list(turn.region_ids)
    return options[0] if len(options) == 1 else None


def _track(track: Sequence[Rle | None], frames: Sequence[int]) -> Tensor:
    """(len(frames), 3) float; box centre as shares of the frame, and 1 where there is a mask, else zeros."""
    height, width = next(rle["size"] for rle in track if rle is not None)
    masks = decode_track([track[frame] for frame in frames], (height, width))
    visible = torch.as_tensor(masks.any(axis=(1, 2)))
    return torch.cat([box_geometry(masks)[:, :2], visible[:, None].float()], dim=1)


class ContextHeads(nn.Module):
    """What reads the mean context token in this stage only.

    Args:
        width: N.
        max_frames: T_max.
        word_shares: (V,) float in (0, 1); share of answers that have each token, where the bias starts.
    """

    def __init__(self, width: int, max_frames: int, word_shares: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(LOGIT_SCALE))
        self.bias = nn.Parameter(word_shares.logit())
        self.track = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * max_frames))

    def forward(self, context: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(P_q, N) mean context tokens and (V, N) embeddings → word logits (P_q, V), tracks (P_q, T_max, 3)."""
        return (context @ embeddings.T) * self.scale + self.bias, self.track(context).unflatten(1, (-1, 3))


def context_losses(
    model: Any, heads: ContextHeads, batch: list[ClipQuestions], features: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Word loss, track loss, and share of questions of which exactly the answer's words were named; scalars."""
    videos = [item.video for item in batch]
    tokens = [own.aggregator for own in model.region_tokens(videos, features)]
    context = model.context_tokens(videos, features, tokens)
    means = torch.cat([c.mean(dim=1) for c in context])  # (questions, N)
    logits, tracks = heads(means, model.get_model().embed_tokens.weight.detach())
    words = torch.cat([item.words for item in batch]).to(logits.device)
    weight = 1 + (POSITIVE_WEIGHT - 1) * words
    word_loss = F.binary_cross_entropy_with_logits(logits, words, weight, reduction="sum") / len(words)
    wanted = torch.cat([i.tracks for i in batch]).to(logits.device)
    tracked = torch.cat([i.tracked for i in batch]).to(logits.device)
    visible = wanted[..., 2]
    place = F.smooth_l1_loss(tracks[..., :2], wanted[..., :2], reduction="none", beta=0.1).sum(-1)
    seen = F.binary_cross_entropy_with_logits(tracks[..., 2], visible, reduction="none")
    track_loss = (place * visible * tracked).sum() / (visible * tracked).sum().clamp(min=1) * 10
    track_loss = track_loss + (seen * tracked).sum() / tracked.sum().clamp(min=1)
    return word_loss, track_loss, ((logits > 0) == words.bool()).all(dim=1).float().mean()


def pretrain_context(
    model: Any,
    tokenizer: Any,
    data_path: Path,
    data_root: Path,
    out: Path,
    *,
    seed: int = 0,
    num_steps: int = 2000,
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
        out: folder of the state while running.
        seed: of order and regions.
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
    dataset = QuestionDataset(samples, layout, builder, vocab_size, seed)
    encoder, aggregator = model.projector.region_encoder, model.projector.aggregator
    heads = ContextHeads(model.config.hidden_size, sama.sampling.max_sparse, dataset.word_shares())
    trained = nn.ModuleList([aggregator, encoder.look_aggregator, encoder.shape_aggregator, heads])
    model.requires_grad_(False)
    trained.requires_grad_(True)
    loop = ShortLoop(
        out,
        (trained,),
        name="context",
        num_steps=num_steps,
        learning_rate=learning_rate,
        save_every=save_every,
    )
    model.to(loop.device)
    batches = endless_batches(dataset, batch_size, list, seed=seed, start=loop.start, workers=workers)
    kept: dict[str, Tensor] = {}
    for step, batch in zip(loop.steps(), batches, strict=False):
        features = [_features(model, builder, item, kept) for item in batch]
        word_loss, track_loss, exact = context_losses(model, heads, batch, features)
        loop.update(word_loss + TRACK_WEIGHT * track_loss)
        if step % LOG_STEPS == 0:
            loop.show(words=word_loss.detach(), track=track_loss.detach(), exact=exact)
    model.requires_grad_(True)


def _features(model: Any, builder: InputBuilder, item: ClipQuestions, kept: dict[str, Tensor]) -> Tensor:
    """(T, P, N) float features of a clip's sparse frames; computed once, kept in half precision."""
    if item.path not in kept:
        clip = VideoClip.open(item.path)
        frames = clip.read(sparse_indices(clip.num_frames, builder.sama.sampling))
        with torch.no_grad():
            kept[item.path] = model.encode_frames([builder.tower_pixels(frames)])[0].half()
    return kept[item.path].to(model.device, model.dtype)
