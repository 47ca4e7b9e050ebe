"""What the context tokens of a question have to tell, in the stages `context`, `talk` and `joint`.

Their mean, read by heads that are thrown away afterwards, tells where the object in question is on every sparse frame
and, where that is asked, how it moves. Answers alone do not teach that: most of them follow from the question and the
dense frames, so that the tokens of an aggregator that is trained by answers only end up the same for every region of a
clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.media.masks import decode_track
from sama_plugin.media.transforms import box_geometry
from sama_plugin.schema import Rle, Turn
from sama_plugin.training.scene_facts import MOTIONS, STILL_ATTRIBUTES, WAYS, SceneFacts

PLACE_SCALE = 10.0
"""Brings the error of places to the size of the other losses."""

PLACE_BETA = 0.1
ABSENCE_WEIGHT = 4.0
"""Of a frame without the object, against the many with it: a short absence is on one frame only."""

WAY_WEIGHT = 0.5
MAX_LENGTH = 12.0
"""Of a context token: some four times a word's in the tiny LLM, whose layers would add too little to longer ones."""

LENGTH_WEIGHT = 0.02

MOTION_KINDS = ("motion", "obj_motion")
"""Of the questions whose tokens have to tell it."""


class ContextTargets(NamedTuple):
    """Of P_q questions, of one clip or of a batch of them.

    Attributes:
        tracks: (P_q, T_max, 3) float; x and y of the object in question in [0, 1], and 1 where it is visible.
        tracked: (P_q, T_max) bool; sparse frames of the clip, of questions that are about one object.
        motions: (P_q, 2) long; how it moves and which way, see `scene_facts`; `IGNORE_INDEX` of other questions.
    """

    tracks: Tensor
    tracked: Tensor
    motions: Tensor

    def to(self, device: torch.device) -> ContextTargets:
        """Move."""
        return ContextTargets(*(tensor.to(device) for tensor in self))


def join_targets(targets: Sequence[ContextTargets]) -> ContextTargets:
    """Those of several clips, one after the other."""
    return ContextTargets(*(torch.cat(column) for column in zip(*targets, strict=True)))


def subject_of(turn: Turn) -> str | None:
    """Mask id of the one object a question is about, answered by a mask or else pointed at.

    None of several, and of a question that means what was said before: the aggregator reads no earlier rounds.
    """
    if turn.kind.startswith(NEEDS_HISTORY):
        return None
    targets = [i for ids in turn.target_ids for i in ids]
    options = targets or list(turn.region_ids)
    return options[0] if len(options) == 1 else None


def find_targets(
    turns: Sequence[Turn], facts: SceneFacts, frames: Sequence[int], max_frames: int
) -> ContextTargets:
    """Targets of questions about one clip.

    Args:
        turns: P_q of them.
        facts: of the clip.
        frames: index of each sparse frame; one alone shows nothing to track.
        max_frames: T_max.
    """
    count = len(turns)
    tracks, tracked = torch.zeros(count, max_frames, 3), torch.zeros(count, max_frames, dtype=torch.bool)
    motions = torch.full((count, 2), IGNORE_INDEX)
    subjects = [subject_of(turn) if len(frames) > 1 else None for turn in turns]
    objects = {subject: facts.ids.index(subject) for subject in subjects if subject is not None}
    own = {subject: _track(facts.tracks[k], frames, facts.size) for subject, k in objects.items()}
    for row, (turn, subject) in enumerate(zip(turns, subjects, strict=True)):
        if subject is not None:
            tracks[row, : len(frames)] = own[subject]
            tracked[row, : len(frames)] = True
            if turn.kind in MOTION_KINDS:
                motions[row] = facts.attributes[objects[subject], STILL_ATTRIBUTES:]
    return ContextTargets(tracks, tracked, motions)


def _track(track: Sequence[Rle | None], frames: Sequence[int], size: tuple[int, int]) -> Tensor:
    """(len(frames), 3) float; box centre as shares of the frame, and 1 where there is a mask, else zeros."""
    masks = decode_track([track[frame] for frame in frames], size)
    visible = torch.as_tensor(masks.any(axis=(1, 2)))
    return torch.cat([box_geometry(masks)[:, :2], visible[:, None].float()], dim=1)


class ContextReader(nn.Module):
    """Reads tracks and motions off mean context tokens.

    Args:
        width: N.
        max_frames: T_max.
    """

    def __init__(self, width: int, max_frames: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.track = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3 * max_frames))
        self.motion = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(MOTIONS)))
        self.way = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(WAYS)))

    def forward(self, means: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(P_q, N) → tracks (P_q, T_max, 3), the last a logit; logits (P_q, motions) and (P_q, ways)."""
        read = self.norm(means)
        return self.track(read).unflatten(1, (-1, 3)), self.motion(read), self.way(read)


class ContextLosses(NamedTuple):
    """Scalars.

    Attributes:
        track: of places and of being visible.
        motion: of how it moves and which way.
        length: of tokens that grow too long.
        motion_share: of motions that are told right.
    """

    track: Tensor
    motion: Tensor
    length: Tensor
    motion_share: Tensor


def context_losses(reader: ContextReader, tokens: Sequence[Tensor], targets: ContextTargets) -> ContextLosses:
    """How far the context tokens of P_q questions, (T, N) float each, are from telling their targets."""
    tracks, tracked, motions = targets
    told, motion, way = reader(torch.stack([own.mean(dim=0) for own in tokens]))
    visible = tracks[..., 2]
    shown = visible * tracked
    place = F.smooth_l1_loss(told[..., :2], tracks[..., :2], reduction="none", beta=PLACE_BETA).sum(-1)
    seen = F.binary_cross_entropy_with_logits(told[..., 2], visible, reduction="none")
    seen = seen * (1 + (ABSENCE_WEIGHT - 1) * (1 - visible))
    track = PLACE_SCALE * (place * shown).sum() / shown.sum().clamp(min=1)
    track = track + (seen * tracked).sum() / tracked.sum().clamp(min=1)
    wanted, wanted_way = motions.unbind(dim=1)
    known = wanted != IGNORE_INDEX
    count = known.sum().clamp(min=1)
    of_motion = F.cross_entropy(motion, wanted, reduction="none", ignore_index=IGNORE_INDEX)
    of_way = F.cross_entropy(way, wanted_way, reduction="none", ignore_index=IGNORE_INDEX)
    lengths = torch.cat(list(tokens)).norm(dim=1)
    return ContextLosses(
        track,
        (of_motion + WAY_WEIGHT * of_way).sum() / count,
        LENGTH_WEIGHT * F.relu(lengths - MAX_LENGTH).mean(),
        ((motion.argmax(dim=1) == wanted) & known).sum() / count,
    )
