"""Text → `input_ids`, `labels` and slots. The one place that lays out a conversation and sets `IGNORE_INDEX`.

Layout (design: tokens and layout). First turn: dense-frame slots frame by frame, the question's context slots, the
question. Later turns: that question's context slots, the question. A conversation only ever appends.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from sama_plugin.constants import (
    CONTEXT_TOKEN_INDEX,
    DATA_REGION,
    FRAME_TOKEN_INDEX,
    IGNORE_INDEX,
    REGION_END,
    REGION_START,
    REGION_TOKEN_INDEX,
    SPECIAL_TOKENS,
    TOKENS_PER_REGION,
)
from sama_plugin.errors import CheckpointError, PromptError
from sama_plugin.prompting.conversation import ConversationTemplate


@dataclass(frozen=True)
class SlotLayout:
    """How many slots a conversation about one clip has.

    Attributes:
        num_dense: D, frames whose patches the LLM sees.
        tokens_per_frame: slots of one dense frame.
        num_context: context slots per question: T, or 0 without the aggregator.
    """

    num_dense: int
    tokens_per_frame: int
    num_context: int


@dataclass
class EncodedDialogue:
    """Token ids of a conversation, growing turn by turn.

    Attributes:
        input_ids: ids with slot sentinels.
        labels: same length; ids to learn, else `IGNORE_INDEX`.
        question_ids: per question, (l,) long; its text with `REGION_TOKEN_INDEX` at region slots.
    """

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    question_ids: list[Tensor] = field(default_factory=list)

    def _append(self, ids: list[int], *, learn: bool) -> None:
        self.input_ids += ids
        self.labels += ids if learn else [IGNORE_INDEX] * len(ids)


class DialogueTokenizer:
    """Lays out conversations for one tokenizer and template.

    Args:
        tokenizer: a host tokenizer with SAMA's special tokens added.
        template: the conversation template.

    Raises:
        CheckpointError: the tokenizer lacks a special token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: ConversationTemplate) -> None:
        self.tokenizer = tokenizer
        self.template = template
        vocabulary = tokenizer.get_vocab()
        missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
        if missing:
            raise CheckpointError(
                f"The tokenizer lacks {', '.join(missing)}; add them with `add_sama_tokens` or use a SAMA checkpoint."
            )
        self.end_ids = self._ids(template.end)

    def start_turn(self, dialogue: EncodedDialogue, question: str, layout: SlotLayout) -> None:
        """Append a question up to where its answer begins.

        Args:
            dialogue: changed in place.
            question: text in data form, `<mask>` at each region.
            layout: slots of the clip.
        """
        template = self.template
        if not dialogue.input_ids:
            dialogue._append(self._ids(template.prefix + template.user), learn=False)
            newline = self._ids("\n")
            for _ in range(layout.num_dense):
                dialogue._append([FRAME_TOKEN_INDEX] * layout.tokens_per_frame + newline, learn=False)
        else:
            dialogue._append(self._ids(template.between + template.user), learn=False)
        question_ids = self._question_ids(question)
        context = [CONTEXT_TOKEN_INDEX] * layout.num_context + (self._ids("\n") if layout.num_context else [])
        dialogue._append(context + question_ids, learn=False)
        dialogue._append(self._ids(template.assistant), learn=False)
        dialogue.question_ids.append(torch.tensor(question_ids, dtype=torch.long))

    def finish_turn(self, dialogue: EncodedDialogue, answer_ids: list[int]) -> None:
        """Append an answer (without its end) and the end of turn; both are learned.

        Args:
            dialogue: changed in place.
            answer_ids: `answer_ids` of a text, or what the model generated.
        """
        dialogue._append(answer_ids + self.end_ids, learn=True)

    def answer_ids(self, answer: str) -> list[int]:
        """Token ids of an answer text."""
        return self._ids(answer)

    def encode(
        self, turns: list[tuple[str, str]], layout: SlotLayout, *, max_length: int, sample_id: str
    ) -> EncodedDialogue:
        """Lay out a whole dialogue for training.

        Args:
            turns: (question in data form, answer) pairs.
            layout: slots of the clip.
            max_length: longest sequence the model takes.
            sample_id: for the error.

        Raises:
            PromptError: the dialogue is longer than `max_length`; nothing is cut.
        """
        dialogue = EncodedDialogue()
        for question, answer in turns:
            self.start_turn(dialogue, question, layout)
            self.finish_turn(dialogue, self.answer_ids(answer))
        check_length(dialogue, max_length, sample_id)
        return dialogue

    def _question_ids(self, question: str) -> list[int]:
        pieces = question.split(DATA_REGION)
        ids = self._ids(pieces[0])
        for piece in pieces[1:]:
            ids += self._ids(REGION_START) + [REGION_TOKEN_INDEX] * TOKENS_PER_REGION + self._ids(REGION_END)
            ids += self._ids(piece)
        return ids

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids if text else []


def check_length(dialogue: EncodedDialogue, max_length: int, sample_id: str) -> None:
    """Refuse a conversation the model has no room for.

    Raises:
        PromptError: longer than `max_length`.
    """
    if len(dialogue.input_ids) > max_length:
        raise PromptError(
            f"Sample '{sample_id}' has {len(dialogue.input_ids)} tokens after {len(dialogue.question_ids)} questions, "
            f"but the model's context is {max_length}; ask a shorter question, start a new conversation, or use fewer "
            "dense frames."
        )


def add_sama_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """Add SAMA's special tokens where missing, leaving the tokenizer's own special pairs alone.

    Returns:
        How many were new.
    """
    return tokenizer.add_tokens(list(SPECIAL_TOKENS), special_tokens=True)
