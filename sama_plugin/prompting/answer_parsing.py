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
    return ParsedAnswer(_clean(raw), [raw[start:end].strip() for start, end in _pair_phrases(raw)])


def locate_phrases(raw: str) -> list[tuple[int, int]]:
    """Tell where in the clean text the phrase of each `[SEG]` stands.

    Args:
        raw: an answer with special tokens.

    Returns:
        (start, end) characters of `parse_answer(raw).text` per `[SEG]`, in order; an empty span where it has none.
    """
    spans = []
    for start, end in _pair_phrases(raw):
        stop = len(_clean(raw[:end]))
        spans.append((max(stop - len(_clean(raw[start:end])), 0), stop))
    return spans


def _pair_phrases(raw: str) -> list[tuple[int, int]]:
    """Where in the raw text the phrase of each `[SEG]` stands."""
    pairs: list[tuple[int, int]] = []
    phrase, opened_at = (0, 0), None
    for mark in _MARK.finditer(raw):
        token = mark.group()
        if opened_at is not None and token in (PHRASE_START, PHRASE_END, SEG_TOKEN):
            phrase = (opened_at, mark.start())
            opened_at = None
        if token == PHRASE_START:
            opened_at = mark.end()
        elif token == SEG_TOKEN:
            pairs.append(phrase)
    return pairs


def _clean(raw: str) -> str:
    """Text without special tokens, spaces tidied."""
    text = re.sub(r"\s+", " ", _MARK.sub(" ", raw)).strip()
    return re.sub(r" ([.,;:!?])", r"\1", text)
