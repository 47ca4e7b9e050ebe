"""What a session keeps of a question: while it is put to the model, while it is answered, and to go on from there."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from sama_plugin.grounding.prediction import Grounding
from sama_plugin.inference.decoding import Decoding
from sama_plugin.prompting.tokenization import EncodedDialogue
from sama_plugin.schema import Region


@dataclass
class AskedTurn:
    """What has to be known of a question and its answer to go on from there.

    Attributes:
        question: in data form.
        regions: in the order of their `<mask>`.
        random_state: of the sampling, before the answer.
        answer_ids: the answer's tokens, without the end of turn.
        num_cached: tokens of the conversation that the LLM has read when the answer is finished.
        groundings: of its objects, while the clip may grow; each with the place of its first object.
    """

    question: str
    regions: list[Region]
    random_state: Tensor
    answer_ids: list[int] = field(default_factory=list)
    num_cached: int = 0
    groundings: list[tuple[int, Grounding]] = field(default_factory=list)


@dataclass
class Draft:
    """A question on its way to an answer; nothing of its session has changed.

    Attributes:
        question: as the user wrote it.
        turn: of this question, still without an answer.
        dialogue: the conversation with it.
        embeds: (l, N) float; what the LLM has not read of it.
        decoding: how to answer, within the room that is left.
        generator: of the sampling; the session's own must not change for an answer that is given up.
        counters: as `GroundedAnswer` has them, so far.
        timing_s: as `GroundedAnswer` has them, so far.
    """

    question: str
    turn: AskedTurn
    dialogue: EncodedDialogue
    embeds: Tensor
    decoding: Decoding
    generator: torch.Generator
    counters: dict[str, int]
    timing_s: dict[str, float]


@dataclass
class Run:
    """One answer being made.

    Attributes:
        question: as the user wrote it.
        is_cancelled: it is to stop.
    """

    question: str
    is_cancelled: bool = False
