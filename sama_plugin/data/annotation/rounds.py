"""A dialogue before it becomes a record: text in which `<objN>` stands for object N of the video.

A question points at objects by their tags; an answer writes each as `<p> phrase </p> <objN>`, several tags after a
phrase where it means several objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sama_plugin.constants import PHRASE_END, PHRASE_START

TAG = re.compile(r"<obj(\d+)>")
GROUNDED = re.compile(rf"{PHRASE_START}(?P<phrase>.*?){PHRASE_END}(?P<tags>(?:\s*<obj\d+>)*)", re.DOTALL)


@dataclass(frozen=True)
class TaggedRound:
    """A question and its answer.

    Attributes:
        question, answer: text with tags.
        task: `referring`, `grounding`, `temporal`, `multi_turn`, `none` (nothing is meant) or `general`.
        kind: finer than the task.
        span: (first, last) mask frame that the answer speaks of.
        needs_history: whether it cannot be answered without the earlier rounds.
        answer_key: short canonical answer, as in the small world's records; None for masks only.
    """

    question: str
    answer: str
    task: str
    kind: str
    span: tuple[int, int] | None = None
    needs_history: bool = False
    answer_key: str | None = None

    @property
    def regions(self) -> list[int]:
        """Number of the object of each tag in the question, in order."""
        return tags_in(self.question)

    @property
    def targets(self) -> list[list[int]]:
        """Numbers of the objects of each phrase in the answer, in order."""
        return [tags_in(match["tags"]) for match in GROUNDED.finditer(self.answer)]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TaggedRound:
        """Undo `to_json`."""
        return cls(**{**value, "span": None if value["span"] is None else tuple(value["span"])})


def tag(number: int) -> str:
    """How a text names an object."""
    return f"<obj{number}>"


def tags_in(text: str) -> list[int]:
    """Numbers of the objects a text names, in order."""
    return [int(number) for number in TAG.findall(text)]


def grounded(phrase: str, numbers: int | Iterable[int]) -> str:
    """A phrase of an answer with the objects it means."""
    tags = " ".join(map(tag, [numbers] if isinstance(numbers, int) else numbers))
    return f"{PHRASE_START} {phrase} {PHRASE_END} {tags}"


def listed(parts: Sequence[str], last: str = "and") -> str:
    """Parts joined by commas, and by a word before the last."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
