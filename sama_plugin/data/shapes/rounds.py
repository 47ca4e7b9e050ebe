"""The small world: what a round of a dialogue is, and how facts become words.

Every question has one to three wordings and exactly one right answer. Questions about what is not there use
the same wordings as those about what is. `answer_key` is the answer in lower case, without full stop and
leading `it`, `a` or `the`; `40-70` for a span in percent; `none` where the answer is that there is nothing;
None where the answer is masks only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.shapes.world import TRAVELLING, Scene, SceneObject

PLAIN_MOTIONS = {"still": "stays still", "grow": "grows", "blink": "blinks", "late": "appears late"}
EVENT_VERBS = {"stop": "stops", "back": "turns back", "blink": "blinks", "late": "appears", "leave": "leaves"}
RELATION_VERBS = {
    "hit": ("hit", "hits"),
    "follow": ("follow", "follows"),
    "behind": ("pass behind", "passes behind"),
}

WORDINGS: dict[str, tuple[str, ...]] = {
    "name": ("What is {r}?", "What object is {r}?"),
    "colour": ("What colour is {r}?", "Which colour does {r} have?"),
    "shape": ("What shape is {r}?", "Which shape does {r} have?"),
    "size": ("How large is {r}?", "What size is {r}?"),
    "motion": ("What does {r} do?", "How does {r} move?"),
    "relation_target": ("What does {r} {verb}?",),
    "relation_subject": ("What {verbs} {r}?",),
    "order": ("Which comes first: {r} {verb} or {r} {other_verb}?",),
    "segment": ("Segment {x}.", "Find {x}."),
    "where": ("Segment {x}.", "Find {x}.", "Where is {x}?"),
    "several": ("Segment all {x}s.", "Find all {x}s.", "Segment every {x}."),
    "describe": ("Describe the video with masks.", "Describe all objects with masks."),
    "when_visible": ("When is {r} visible?",),
    "when_moves": ("When does {r} move?",),
    "when_blinks": ("When does {r} blink?",),
    "it_segment": ("Segment it.", "Find it."),
    "other": ("Segment another one of the same {x}.", "Find another one of the same {x}."),
    "larger": ("Is {r} larger than {r}?",),
}
NO_OTHER = "There is no other one."


@dataclass(frozen=True)
class Round:
    """One question and its answer.

    Attributes:
        question: text with one `<mask>` per entry of `regions`.
        answer: text with one `[SEG]` per entry of `targets`.
        regions: object index of each `<mask>`.
        targets: object index of each `[SEG]`.
        task, kind: what it exercises.
        span: (first, last) frame the answer speaks of, or None.
        needs_history: whether it cannot be answered without the earlier rounds.
        refers: for each `<mask>`, the 0-based number of the earlier `[SEG]` it means, or None.
        answer_key: short canonical answer, see the module's text.
    """

    question: str
    answer: str
    regions: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    task: str = "referring"
    kind: str = "name"
    span: tuple[int, int] | None = None
    needs_history: bool = False
    refers: tuple[int | None, ...] = ()
    answer_key: str | None = None


@dataclass
class Dialogue:
    """A dialogue in the making.

    `told` holds what was said, so that no round repeats another in other words; `grounded` the object of each
    `[SEG]` so far; `topic` is the one object `it` would mean, if any; `sizes`,
    `colours` and `shapes` are the names that questions may use.
    """

    scene: Scene
    visible: np.ndarray
    rng: np.random.Generator
    sizes: tuple[str, ...]
    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    rounds: list[Round] = field(default_factory=list)
    told: set[tuple] = field(default_factory=set)
    grounded: list[int] = field(default_factory=list)
    topic: int | None = None

    @property
    def things(self) -> tuple[SceneObject, ...]:
        """The objects of the scene."""
        return self.scene.objects

    def pick(self, options: Sequence[int]) -> int:
        """One of some object indices, at random."""
        return options[int(self.rng.integers(len(options)))]

    def word(self, key: str, **values: str) -> str:
        """One of the wordings of a question, filled in."""
        options = WORDINGS[key]
        return options[self.rng.integers(len(options))].format(**{"r": DATA_REGION, **values})

    def in_order(self, indices: Sequence[int]) -> list[int]:
        """Left to right where each is first seen."""

        def first_x(k: int) -> float:
            return float(self.things[k].centres_xy[int(self.visible[k].argmax()), 0])

        return sorted(indices, key=first_x)


Asker = Callable[[Dialogue], "Round | None"]
"""Makes a round that fits the dialogue so far; None where there is nothing to ask or it is too common."""


def motion_phrase(thing: SceneObject) -> str:
    """What an object does, e.g. `moves left, then stops`."""
    kind, direction = thing.motion.kind, thing.motion.direction
    if kind not in TRAVELLING:
        return PLAIN_MOTIONS[kind]
    tail = {"move": "", "stop": ", then stops", "back": ", then turns back", "leave": " and leaves"}[kind]
    return f"moves {direction}{tail}"


def describe_object(thing: SceneObject) -> str:
    """One sentence about one object, e.g. `A small red circle that moves left.`."""
    return f"A {thing.name} that {motion_phrase(thing)}."


def percent_span(first: int, last: int, num_frames: int) -> tuple[int, int]:
    """Start and end of frames `first` to `last`, inclusive, in percent of the clip to the nearest ten."""
    return 10 * int(first / num_frames * 10 + 0.5), 10 * int((last + 1) / num_frames * 10 + 0.5)


def _key(answer: str) -> str:
    return re.sub(r"^(it|a|the) ", "", answer.rstrip(".").lower())


def told(question: str, answer: str, regions: Sequence[int], kind: str, task: str = "referring") -> Round:
    """A round answered in words."""
    refers = (None,) * len(regions)
    return Round(question, answer, tuple(regions), (), task, kind, refers=refers, answer_key=_key(answer))


def absent_round(question: str, answer: str, kind: str, regions: Sequence[int] = ()) -> Round:
    """A round about something that is not there."""
    return Round(
        question, answer, tuple(regions), (), "none", kind, refers=(None,) * len(regions), answer_key="none"
    )


def masked(
    talk: Dialogue, question: str, targets: Sequence[int], kind: str, regions: Sequence[int] = ()
) -> Round:
    """A round answered by masks, left to right."""
    ordered = talk.in_order(targets)
    parts = [
        f"{PHRASE_START} {'The' if i == 0 else 'the'} {talk.things[k].name} {PHRASE_END} {SEG_TOKEN}"
        for i, k in enumerate(ordered)
    ]
    answer = " and ".join(parts) + "."  # no commas: the first would have to tell that two more come
    refers = (None,) * len(regions)
    return Round(question, answer, tuple(regions), tuple(ordered), "grounding", kind, refers=refers)


def in_history(made: Round | None, kind: str, refers: Sequence[int | None] = ()) -> Round | None:
    """The same round as one that needs the earlier ones."""
    if made is None:
        return None
    return replace(made, task="multi_turn", kind=kind, needs_history=True, refers=tuple(refers))


def swap_region(made: Round, word: str) -> Round:
    """The question with a word in place of its one region."""
    return replace(made, question=made.question.replace(DATA_REGION, word), regions=(), refers=())
