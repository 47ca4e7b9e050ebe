"""An answer on its way to a visitor: raw pieces of text and masks in, events out.

Kinds, with their values: `queue` (position), `text` (text; all of them joined are the clean answer), `object` (id,
phrase, colour, and the characters of the text it stands at: start, end), `masks` (frame, and an RLE per object),
`done` (the turn, see `sama_plugin.demo.documents.turn_document`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sama_plugin.constants import SPECIAL_TOKENS
from sama_plugin.media.marks import hex_colour, object_colour
from sama_plugin.prompting.answer_parsing import locate_phrases, parse_answer
from sama_plugin.schema import FrameMasks

_UNFINISHED = re.compile(
    "(?:"
    + "|".join(re.escape(token[:n]) for token in SPECIAL_TOKENS for n in range(len(token) - 1, 0, -1))
    + ")$"
)
"""Letters at the end that may become a mark: a model may spell one."""


class Event(NamedTuple):
    """Something that happened to a question.

    Attributes:
        kind: see the module.
        data: plain values.
    """

    kind: str
    data: dict[str, Any]


class AnswerEvents:
    """Turns what `VideoSession.stream` gives into events.

    Args:
        num_objects: of the conversation so far.
    """

    def __init__(self, num_objects: int):
        self._num_before = num_objects
        self._num_objects = 0
        self._raw = ""
        self._shown = ""

    def feed(self, piece: str | FrameMasks) -> Iterator[Event]:
        """Events of one more piece."""
        if isinstance(piece, FrameMasks):
            yield Event("masks", {"frame": piece.frame, "rles": piece.rle})
            return
        self._raw += piece
        settled = _UNFINISHED.sub("", self._raw)
        yield from self._tell_text(settled)
        for (start, end), phrase in list(
            zip(locate_phrases(settled), parse_answer(settled).phrases, strict=True)
        )[self._num_objects :]:
            self._num_objects += 1
            thing = f"obj{self._num_before + self._num_objects}"
            yield object_event(thing, phrase, start, end)

    def finish(self) -> Iterator[Event]:
        """The rest of the text."""
        yield from self._tell_text(self._raw)

    def _tell_text(self, raw: str) -> Iterator[Event]:
        text = parse_answer(raw).text
        if len(text) > len(self._shown) and text.startswith(self._shown):
            yield Event("text", {"text": text[len(self._shown) :]})
            self._shown = text


def object_event(thing: str, phrase: str, start: int, end: int) -> Event:
    """An object of the answer has come, still without masks."""
    colour = hex_colour(object_colour(thing))
    return Event("object", {"id": thing, "phrase": phrase, "colour": colour, "start": start, "end": end})
