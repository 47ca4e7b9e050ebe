"""A dialogue to be looked at: its objects numbered and coloured, its text in pieces that know what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.media.marks import Rgb, object_colour, without_article
from sama_plugin.schema import Rle, Sample, Turn

LONGEST_NAME = 24
ANSWER_MARK = re.compile("|".join(re.escape(mark) for mark in (PHRASE_START, PHRASE_END, SEG_TOKEN)))

Role = Literal["text", "phrase", "mark"]


class Piece(NamedTuple):
    """A piece of a question or an answer.

    Attributes:
        role: `text`; `phrase`, which is shown in the colour of its object; or `mark`, in place of `<mask>` or `[SEG]`.
        text: empty for a mark.
        ids: of the masks it means; none for a phrase without `[SEG]` and a `[SEG]` that means nothing.
    """

    role: Role
    text: str
    ids: tuple[str, ...] = ()


@dataclass
class Thing:
    """An object that a dialogue means.

    Attributes:
        mask_id: in the dictionary.
        number: from 1, in the order in which the dialogue comes to them.
        track: per frame a mask or None.
        name: the first phrase for it alone, shortened; empty if there is none.
        description: what the record says of it; may be empty.
        is_pointed_at: a question points at it.
        is_shown: an answer has its mask.
    """

    mask_id: str
    number: int
    track: Sequence[Rle | None]
    name: str = ""
    description: str = ""
    is_pointed_at: bool = False
    is_shown: bool = False

    @property
    def colour(self) -> Rgb:
        """The same in pictures and text; after seven objects colours come again."""
        return object_colour(str(self.number))

    @property
    def label(self) -> str:
        """Number and name."""
        return f"{self.number} {self.name}".strip()

    @property
    def seen(self) -> list[int]:
        """Frames on which it is visible."""
        return [frame for frame, rle in enumerate(self.track) if rle is not None]


def list_things(sample: Sample, descriptions: Mapping[str, str]) -> dict[str, Thing]:
    """The objects of a dialogue by mask id, in the order in which it comes to them.

    Args:
        sample: the dialogue.
        descriptions: mask id → what the record says of the object.
    """
    things: dict[str, Thing] = {}
    for turn in sample.turns:
        for mask_id in turn.mask_ids:
            if mask_id not in things:
                number, track = len(things) + 1, sample.masks[mask_id]
                things[mask_id] = Thing(mask_id, number, track, description=descriptions.get(mask_id, ""))
        for mask_id in turn.region_ids:
            things[mask_id].is_pointed_at = True
        for ids in turn.target_ids:
            for mask_id in ids:
                things[mask_id].is_shown = True
        for piece in answer_pieces(turn):
            if piece.role == "phrase" and len(piece.ids) == 1 and not things[piece.ids[0]].name:
                things[piece.ids[0]].name = _short(piece.text)
    return things


def task_words(turn: Turn) -> str:
    """Task and kind of a turn."""
    return f"{turn.task}, {turn.kind}" if turn.kind else turn.task


def describe_thing(thing: Thing) -> str:
    """What the record says of an object, and what its masks are, in a few words."""
    roles = (("pointed at", thing.is_pointed_at), ("in an answer", thing.is_shown))
    seen = f"on {len(thing.seen)} of {len(thing.track)} frames"
    facts = ", ".join([f"mask {thing.mask_id}", *(words for words, holds in roles if holds), seen])
    return f"{thing.description} ({facts})" if thing.description else facts


def question_pieces(turn: Turn) -> list[Piece]:
    """The question; each `<mask>` is a mark."""
    pieces: list[Piece] = []
    for number, text in enumerate(turn.question.split(DATA_REGION)):
        if number:
            pieces.append(Piece("mark", "", (turn.region_ids[number - 1],)))
        if text:
            pieces.append(Piece("text", text))
    return pieces


def answer_pieces(turn: Turn) -> list[Piece]:
    """The answer; a phrase knows the objects of the `[SEG]` that follow it before the next phrase."""
    pieces = list(_split_answer(turn))
    for place, piece in enumerate(pieces):
        if piece.role == "phrase":
            pieces[place] = piece._replace(ids=_ids_after(pieces[place + 1 :]))
    return pieces


def _split_answer(turn: Turn) -> Iterator[Piece]:
    targets = iter(turn.target_ids)
    role: Role = "text"
    place = 0
    for mark in ANSWER_MARK.finditer(turn.answer):
        if text := turn.answer[place : mark.start()]:
            yield Piece(role, text.strip() if role == "phrase" else text)
        place = mark.end()
        role = "phrase" if mark.group() == PHRASE_START else "text"
        if mark.group() == SEG_TOKEN:
            yield Piece("mark", "", next(targets))
    if text := turn.answer[place:]:
        yield Piece(role, text)


def _ids_after(pieces: Sequence[Piece]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for piece in pieces:
        if piece.role == "phrase":
            break
        found.update(dict.fromkeys(piece.ids))
    return tuple(found)


def _short(text: str) -> str:
    words = without_article(text)
    return words if len(words) <= LONGEST_NAME else f"{words[: LONGEST_NAME - 1].rstrip()}…"
