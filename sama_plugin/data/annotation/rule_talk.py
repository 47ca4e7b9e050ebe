"""The rule-based writer: its state, its wordings, and how facts become words.

Questions compare only what they point at, so that an answer does not depend on what was never tracked. Every question
has one right answer, and what is too close to call is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sama_plugin.data.annotation.facts import ObjectFacts, VideoFacts
from sama_plugin.data.annotation.rounds import TaggedRound, grounded, listed, tag
from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.data.shapes.rounds import percent_span

WORDINGS: dict[str, tuple[str, ...]] = {
    "place_start": (
        "Where in the picture is {r} when the video starts?",
        "In which part of the picture does {r} start out?",
        "At the start of the video, where can {r} be seen?",
    ),
    "place_appears": (
        "Where in the picture does {r} first come into view?",
        "In which part of the picture does {r} show up first?",
    ),
    "place_end": (
        "Where in the picture is {r} when the video ends?",
        "In which part of the picture does {r} end up?",
        "At the end of the video, where can {r} be seen?",
    ),
    "place_leaves": (
        "Where in the picture is {r} seen last, before it is gone?",
        "From which part of the picture does {r} vanish?",
    ),
    "way": (
        "How does the place of {r} in the picture change?",
        "Which way does {r} move in the picture?",
        "In which direction does {r} go across the picture?",
    ),
    "shift_x": ("Does {r} end up further to the left or further to the right than it started?",),
    "shift_y": ("Does {r} end up higher or lower in the picture than it started?",),
    "growth": (
        "Does {r} become larger or smaller in the picture?",
        "How does the size of {r} in the picture change?",
    ),
    "side_at": ("{moment}, is {r} to the left or to the right of {s}?",),
    "height_at": ("{moment}, is {r} higher up in the picture than {s}, or lower down?",),
    "keeps_side": (
        "Is {r} always to the {side} of {s}, while both are visible?",
        "Does {r} stay on the {side} of {s} all the time both can be seen?",
    ),
    "keeps_height": ("Is {r} always {side} {s} in the picture, while both are visible?",),
    "larger": ("Does {r} cover more of the picture than {s}?", "Is {r} larger in the picture than {s}?"),
    "approach": (
        "Do {r} and {s} come closer to each other in the picture, or move apart?",
        "Does the distance between {r} and {s} in the picture grow or shrink?",
    ),
    "contact": (
        "Do {r} and {s} touch or overlap in the picture at any time?",
        "Is there a moment at which {r} and {s} touch or overlap in the picture?",
    ),
    "contact_when": ("When do {r} and {s} touch or overlap in the picture?",),
    "when": ("When is {r} visible?", "During which part of the video can {r} be seen?"),
    "views": ("How many times does {r} come into view?", "In how many separate stretches is {r} visible?"),
    "crossing": ("From when on is {r} {side} {s}?", "When does {r} get {side} {s}?"),
    "half": (
        "In which half of the video does {r} move more?",
        "Does {r} cover more ground in the first or in the second half of the video?",
    ),
    "first": (
        "Which of {S} comes into view first? Segment it.",
        "Segment whichever of {S} can be seen earliest.",
    ),
    "extreme": (
        "Which of {S} is furthest {most} {moment}? Segment it.",
        "Segment the one of {S} that is furthest {most} {moment}.",
    ),
    "area": (
        "Which of {S} covers the {most} of the picture? Segment it.",
        "Segment the one of {S} that takes up the {most} of the picture.",
    ),
    "moved": (
        "Which of {S} ends up furthest from where it started? Segment it.",
        "Segment the one of {S} that gets furthest away from its first place in the picture.",
    ),
    "nearest": (
        "Which of {S} is nearest to {r} {moment}? Segment it.",
        "Segment whichever of {S} is closest to {r} {moment}.",
    ),
    "those": ("Segment those of {S} that {what}.", "Which of {S} {what}? Segment them."),
    "named": ("Segment {x}.", "Find {x} and segment it.", "Where is {x}? Answer with a mask."),
    "describe_all": (
        "Say with masks how {S} move in the picture.",
        "How do {S} move in the picture? Answer with masks.",
    ),
    "other": ("Segment the other one.", "And the other one? Segment it."),
    "others": ("Segment the others.", "And the remaining ones? Segment them."),
    "next": ("Which of the others comes next?", "And which is next after it?"),
    "moment": ("And {moment}?", "Which one is it {moment}?"),
    "it_segment": ("Segment it.", "Show me with a mask where it is."),
}
MOMENTS = {"start": "at the start of the video", "end": "at the end of the video"}
ORDINALS = ("first", "second", "third", "fourth")
PLACES = {"left": "on the left", "right": "on the right", "middle": "in the middle"}


Finder = Callable[[tuple[int, ...], str], "int | None"]
"""Objects and a moment → the one that fits a comparison; None if it is too close to call."""


@dataclass
class Talk:
    """A dialogue in the making.

    Attributes:
        video, facts: what it is about; facts are in the order of the video's objects.
        numbers: objects that may be talked about.
        rng: of every choice.
        tasks: how often each was exercised, in this dialogue and in those before it.
        told: what was asked about whom, in these dialogues, so that nothing is asked twice.
        rounds: so far.
        topic: the one object that `it` means, if any.
        compared: the objects of the last comparison and the one that was found, if there was any.
        again: finds what the last comparison would among other objects or at another moment; None if unclear.
        moment: that the last comparison was about.
    """

    video: TrackedVideo
    facts: VideoFacts
    numbers: Sequence[int]
    rng: np.random.Generator
    tasks: Counter[str] = field(default_factory=Counter)
    told: set[tuple[object, ...]] = field(default_factory=set)
    rounds: list[TaggedRound] = field(default_factory=list)
    topic: int | None = None
    compared: tuple[tuple[int, ...], int] | None = None
    again: Finder | None = None
    moment: str = ""

    def turn_to(self, topic: int | None) -> None:
        """From here on `it` means this object, and there is no comparison to go back to."""
        self.topic, self.compared, self.again, self.moment = topic, None, None, ""

    def of(self, number: int) -> ObjectFacts:
        """Facts of an object."""
        return self.facts.objects[number]

    def pick(self, size: int, among: Sequence[int] | None = None) -> tuple[int, ...]:
        """Some objects in random order."""
        options = list(self.numbers if among is None else among)
        return tuple(int(n) for n in self.rng.permutation(options)[:size])

    def toss(self, options: Sequence[str]) -> str:
        """One of some words."""
        return options[int(self.rng.integers(len(options)))]

    def word(self, key: str, **values: str) -> str:
        """One of the wordings of a question, filled in, with a capital."""
        text = self.toss(WORDINGS[key]).format(**values)
        return text[0].upper() + text[1:]

    def is_new(self, *what: object) -> bool:
        """Whether this was not asked yet; it counts as asked from here on."""
        is_new = what not in self.told
        self.told.add(what)
        return is_new

    def name(self, number: int) -> str:
        """`the red circle`; empty where it has no name, or shares it."""
        name = self.video.objects[number].name
        same = [thing for thing in self.video.objects if thing.name == name]
        return f"the {name}" if name and len(same) == 1 else ""

    def phrase(self, number: int, asked: Sequence[int]) -> str:
        """What an answer calls one of the objects a question pointed at: its name, or its place in the question."""
        if name := self.name(number):
            return name
        if len(asked) == 1:
            return "the one you point at"
        return f"the {ORDINALS[list(asked).index(number)]} one"


Asker = Callable[[Talk], "TaggedRound | None"]
"""Makes a round that fits the dialogue so far; None where there is nothing clear to ask."""


def told_round(
    question: str, answer: str, kind: str, task: str = "referring", span: tuple[int, int] | None = None
) -> TaggedRound:
    """A round that is answered in words."""
    return TaggedRound(question, answer, task, kind, span, answer_key=answer_key(answer))


def found_round(
    talk: Talk, question: str, targets: Sequence[int], asked: Sequence[int], kind: str
) -> TaggedRound:
    """A round that is answered by masks of objects the question pointed at, in its order."""
    ordered = [number for number in asked if number in targets]
    parts = [grounded(talk.phrase(number, asked), number) for number in ordered]
    return TaggedRound(question, capital(listed(parts)) + ".", "grounding", kind)


def none_round(question: str, answer: str, kind: str) -> TaggedRound:
    """A round about something that nothing is."""
    return TaggedRound(question, answer, "none", kind, answer_key="none")


def in_history(made: TaggedRound, kind: str) -> TaggedRound:
    """The same round as one that needs the earlier ones."""
    return replace(made, task="multi_turn", kind=kind, needs_history=True)


def as_it(question: str, number: int) -> str:
    """A question about one object, with `it` in place of the object."""
    text = question.replace(tag(number), "it")
    for noun in ("size", "place"):
        text = text.replace(f"the {noun} of it ", f"its {noun} ")
    return text


def percent(facts: VideoFacts, first: int, last: int) -> tuple[int, int]:
    """Start and end of a run of frames, in percent of the clip to the nearest ten."""
    return percent_span(first, last, facts.num_frames)


def tags(numbers: Sequence[int], last: str = "and") -> str:
    """Tags of objects in a question."""
    return listed([tag(number) for number in numbers], last)


def place_words(place: str) -> str:
    """A place with its preposition, such as `at the upper left` or `in the left half`."""
    return f"in the {place}" if place.endswith("half") else PLACES.get(place, f"at the {place}")


def way_words(way: str, who: str = "it") -> str:
    """What an object does, as a clause."""
    if way == "still":
        return f"{who} stays where it is"
    if way.startswith("back "):
        return f"{who} {_moves(way.removeprefix('back '))} and comes back"
    return f"{who} {_moves(way)}"


def answer_key(answer: str) -> str:
    """An answer in lower case, without full stop and leading words that say nothing."""
    key = answer.rstrip(".").lower()
    for word in ("it ", "in the ", "on the ", "at the ", "to the ", "the ", "a "):
        key = key.removeprefix(word)
    return key


def capital(text: str) -> str:
    """The text with its first letter large, also where that lies within a phrase's bracket."""
    start = 4 if text.startswith("<p> ") else 0
    return text[:start] + text[start : start + 1].upper() + text[start + 1 :]


def _moves(direction: str) -> str:
    return f"moves {direction}" if direction in ("up", "down") else f"moves to the {direction}"
