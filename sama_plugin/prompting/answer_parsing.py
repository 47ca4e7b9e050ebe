"""Generated text → clean text and phrases paired with their `[SEG]`."""

from __future__ import annotations

import re
from typing import NamedTuple

from sama_plugin.constants import PHRASE_END, PHRASE_START, REGION_END, REGION_START, SEG_TOKEN

_MARK = re.compile(
    "|".join(re.escape(t) for t in (PHRASE_START, PHRASE_END, SEG_TOKEN, REGION_START, REGION_END))
)


class ParsedAnswer(NamedTuple):
    """An answer taken apart.

    Attributes:
        text: without special tokens, spaces tidied.
        phrases: one per `[SEG]`, in order; empty where no phrase stands before it.
    """

    text: str
    phrases: list[str]


def parse_answer(raw: str) -> ParsedAnswer:
    """Pair each `[SEG]` with the last phrase closed before it.

    A phrase left open counts up to the next mark; several `[SEG]` after one phrase share it.

    Args:
        raw: an answer with special tokens.
    """
    phrases: list[str] = []
    phrase, opened_at = "", None
    for mark in _MARK.finditer(raw):
        token = mark.group()
        if opened_at is not None and token in (PHRASE_START, PHRASE_END, SEG_TOKEN):
            phrase = raw[opened_at : mark.start()].strip()
            opened_at = None
        if token == PHRASE_START:
            opened_at = mark.end()
        elif token == SEG_TOKEN:
            phrases.append(phrase)
    text = re.sub(r"\s+", " ", _MARK.sub(" ", raw)).strip()
    return ParsedAnswer(re.sub(r" ([.,;:!?])", r"\1", text), phrases)
