"""Exact scores of words: an answer and what it should say in, right or wrong or a distance out."""

from __future__ import annotations

import re

from sama_plugin.errors import DataError

MARK = re.compile(r"<[^<>\s]*>|\[SEG\]")
"""Special tokens of any kind: `<p>`, `[SEG]`, `<|im_end|>`."""

ARTICLES = frozenset({"a", "an", "the"})
OPENINGS = (("it", "is"), ("this", "is"), ("that", "is"), ("it",))
"""What a sentence may begin with and say the same as without."""

DENIALS = frozenset({"no", "nothing", "none", "nobody", "not", "never", "neither"})
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*%?\s*(?:to|until|till|-)\s*(\d+(?:\.\d+)?)\s*%", re.IGNORECASE)


def normalise(text: str) -> str:
    """Lower case without special tokens, articles, punctuation and doubled spaces.

    Args:
        text: an answer, special tokens allowed.

    Returns:
        Words joined by single spaces; may be empty.
    """
    words = re.findall(r"[\w%]+", MARK.sub(" ", text).casefold())
    return " ".join(word for word in words if word not in ARTICLES)


def answer_matches(answer: str, answer_key: str) -> bool:
    """Whether an answer says exactly what the key says.

    `It is red.` is `red`, `It moves left.` is `moves left`, `A red star` is not `red`; of an answer to a
    yes-no question the first word counts.

    Args:
        answer: as generated or cleaned.
        answer_key: short canonical answer, such as `small red circle`, `moves left, then stops`, `yes`.
    """
    said, wanted = _core(answer), _core(answer_key)
    if wanted in (["yes"], ["no"]):
        return said[:1] == wanted
    return said == wanted


def says_none(answer: str) -> bool:
    """Whether an answer denies that there is something, e.g. `It hits nothing`."""
    return not DENIALS.isdisjoint(normalise(answer).split())


def parse_span(answer: str) -> tuple[float, float] | None:
    """The first span of an answer such as `From 20% to 60%.`.

    Args:
        answer: as generated or cleaned.

    Returns:
        (start, end) as shares of the clip, 0 <= start <= end <= 1; None where there is none.
    """
    found = SPAN.search(MARK.sub(" ", answer))
    if found is None:
        return None
    start, end = float(found[1]) / 100, float(found[2]) / 100
    return (start, end) if start <= end <= 1 else None


def span_error(answer: str, truth: tuple[float, float]) -> float:
    """Mean distance of a span's start and end from the true ones; 1 where the answer has no span.

    Args:
        answer: as generated or cleaned.
        truth: (start, end) as shares of the clip.

    Returns:
        In [0, 1], share of the clip.

    Raises:
        DataError: a truth that is not in order within [0, 1].
    """
    start, end = truth
    if not 0 <= start <= end <= 1:
        raise DataError(f"The true span is {truth}, expected 0 <= start <= end <= 1, shares of the clip.")
    said = parse_span(answer)
    return 1.0 if said is None else (abs(said[0] - start) + abs(said[1] - end)) / 2


def _core(text: str) -> list[str]:
    words = normalise(text).split()
    for opening in OPENINGS:
        if tuple(words[: len(opening)]) == opening:
            return words[len(opening) :]
    return words
