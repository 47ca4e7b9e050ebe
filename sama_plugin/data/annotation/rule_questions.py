"""The rule-based writer: questions about one or two objects that are pointed at, answered in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from sama_plugin.data.annotation.facts import APART, HORIZONTAL, LATE, VERTICAL, VideoFacts, half_of, place_of
from sama_plugin.data.annotation.rounds import TaggedRound, tag
from sama_plugin.data.annotation.rule_talk import (
    MOMENTS,
    Asker,
    Talk,
    capital,
    percent,
    place_words,
    told_round,
    way_words,
)

GROWTHS = {
    "larger": "It becomes larger.",
    "smaller": "It becomes smaller.",
    "same": "It keeps about the same size.",
}
HALF_RATIO = 2.0
"""A half of the clip in which an object goes so many times as far as in the other is said to have more motion."""

COUNTS = {1: "Once", 2: "Twice", 3: "Three times"}

About = Callable[[Talk, int], "TaggedRound | None"]
"""Makes a round about one object."""


def about_one(ask: About, kind: str) -> Asker:
    """Asks it about an object that it was not asked about yet."""

    def ask_any(talk: Talk) -> TaggedRound | None:
        for number in talk.pick(len(talk.numbers)):
            if (kind, number) not in talk.told and (made := ask(talk, number)) is not None:
                talk.is_new(kind, number)
                talk.turn_to(number)
                return made
        return None

    return ask_any


def ask_place_start(talk: Talk, number: int) -> TaggedRound | None:
    """Where it is at first."""
    thing = talk.of(number)
    place = place_of(thing.start_xy) or half_of(thing.start_xy)
    if place is None or thing.appears is None:
        return None
    key = "place_appears" if thing.appears else "place_start"
    return told_round(talk.word(key, r=tag(number)), capital(place_words(place)) + ".", "place_start")


def ask_place_end(talk: Talk, number: int) -> TaggedRound | None:
    """Where it is at last."""
    thing = talk.of(number)
    place = place_of(thing.end_xy) or half_of(thing.end_xy)
    if place is None or thing.leaves is None:
        return None
    key = "place_leaves" if thing.leaves else "place_end"
    return told_round(talk.word(key, r=tag(number)), capital(place_words(place)) + ".", "place_end")


def ask_way(talk: Talk, number: int) -> TaggedRound | None:
    """How it moves."""
    way = talk.of(number).way
    if way is None:
        return None
    return told_round(talk.word("way", r=tag(number)), capital(way_words(way)) + ".", "way")


def ask_shift(talk: Talk, number: int) -> TaggedRound | None:
    """Where it ends up beside its start; only where it has no plain way."""
    thing = talk.of(number)
    if thing.shift is None or thing.way is not None:
        return None
    if thing.shift in HORIZONTAL:
        return told_round(talk.word("shift_x", r=tag(number)), f"Further to the {thing.shift}.", "shift")
    return told_round(talk.word("shift_y", r=tag(number)), f"{thing.shift.capitalize()}.", "shift")


def ask_growth(talk: Talk, number: int) -> TaggedRound | None:
    """Whether it becomes larger."""
    growth = talk.of(number).growth
    if growth is None:
        return None
    return told_round(talk.word("growth", r=tag(number)), GROWTHS[growth], "growth")


def ask_when(talk: Talk, number: int) -> TaggedRound | None:
    """When it is visible; seldom about what always is."""
    thing = talk.of(number)
    question = talk.word("when", r=tag(number))
    if thing.is_throughout:
        whole = (0, talk.facts.num_frames - 1)
        return (
            told_round(question, "From 0% to 100%.", "when", "temporal", whole)
            if talk.rng.random() < 0.3
            else None
        )
    spans = [percent(talk.facts, first, last) for first, last in thing.runs]
    is_clear = all(start < end for start, end in spans) and all(
        end < start for (_, end), (start, _) in pairwise(spans)
    )
    if len(spans) > 2 or not is_clear or spans == [(0, 100)]:
        return None
    words = " and ".join(f"from {start}% to {end}%" for start, end in spans)
    span = thing.runs[0] if len(spans) == 1 else None
    made = told_round(question, capital(words) + ".", "when", "temporal", span)
    return replace(made, answer_key=", ".join(f"{start}-{end}" for start, end in spans))


def ask_views(talk: Talk, number: int) -> TaggedRound | None:
    """How often it comes into view; only where stretches and gaps are long enough to see."""
    thing, least = talk.of(number), LATE / 2 * talk.facts.num_frames
    runs = thing.runs
    gaps = [start - end - 1 for (_, end), (start, _) in pairwise(runs)]
    lengths = [last - first + 1 for first, last in runs]
    if thing.is_throughout or len(runs) not in COUNTS or min([*gaps, *lengths]) < least:
        return None
    return told_round(talk.word("views", r=tag(number)), COUNTS[len(runs)] + ".", "views", "temporal")


def ask_half(talk: Talk, number: int) -> TaggedRound | None:
    """In which half it moves more; it has to be visible all the time."""
    thing = talk.of(number)
    if not thing.is_throughout or talk.facts.num_frames < 4:
        return None
    middle = talk.facts.num_frames // 2
    first, second = (spread_of(part) for part in (thing.centres_xy[:middle], thing.centres_xy[middle:]))
    if max(first, second) < 2 * APART or max(first, second) < HALF_RATIO * min(first, second):
        return None
    half = "first" if first > second else "second"
    span = (0, middle - 1) if first > second else (middle, talk.facts.num_frames - 1)
    question = talk.word("half", r=tag(number))
    return told_round(question, f"In the {half} half.", "half", "temporal", span)


def ask_side_at(talk: Talk) -> TaggedRound | None:
    """On which side of another it is at the start or at the end."""
    moment, axis = talk.toss(list(MOMENTS)), int(talk.rng.integers(2))
    pair = talk.pick(2)
    if len(pair) < 2 or not talk.is_new("side_at", moment, axis, frozenset(pair)):
        return None
    gap = gap_at(talk.facts, pair[0], pair[1], moment, axis)
    if gap is None or abs(gap) < 2 * APART:
        return None
    values = {"moment": MOMENTS[moment], "r": tag(pair[0]), "s": tag(pair[1])}
    talk.turn_to(None)
    if axis == 0:
        return told_round(talk.word("side_at", **values), f"To the {HORIZONTAL[gap > 0]}.", "side")
    return told_round(talk.word("height_at", **values), ("Higher up.", "Lower down.")[gap > 0], "side")


def ask_keeps_side(talk: Talk) -> TaggedRound | None:
    """Whether it stays on one side of another: as often right as wrong."""
    axis, pair = int(talk.rng.integers(2)), talk.pick(2)
    if len(pair) < 2 or not talk.is_new("keeps_side", axis, frozenset(pair)):
        return None
    side = talk.facts.side(pair[0], pair[1], axis)
    if side is None:
        return None
    asked = talk.toss((HORIZONTAL, VERTICAL)[axis])
    words = {"left": "to its left", "right": "to its right", "top": "above it", "bottom": "below it"}
    if " then " in side:
        first, last = side.split(" then ")
        answer = f"No, it is first {words[first]} and later {words[last]}."
    else:
        answer = "Yes." if side == asked else f"No, it is always {words[side]}."
    shown = {"top": "above", "bottom": "below"}.get(asked, asked)
    question = talk.word(("keeps_side", "keeps_height")[axis], r=tag(pair[0]), s=tag(pair[1]), side=shown)
    talk.turn_to(None)
    return told_round(question, answer, "keeps_side")


def ask_larger(talk: Talk) -> TaggedRound | None:
    """Whether it covers more than another."""
    pair = talk.pick(2)
    if len(pair) < 2 or not talk.is_new("larger", frozenset(pair)):
        return None
    larger = talk.facts.larger(*pair)
    if larger is None:
        return None
    talk.turn_to(None)
    question = talk.word("larger", r=tag(pair[0]), s=tag(pair[1]))
    return told_round(question, "Yes." if larger else "No, it covers less.", "larger")


def ask_approach(talk: Talk) -> TaggedRound | None:
    """Whether two come closer."""
    pair = talk.pick(2)
    if len(pair) < 2 or not talk.is_new("approach", frozenset(pair)):
        return None
    approach = talk.facts.approach(*pair)
    if approach is None:
        return None
    talk.turn_to(None)
    question = talk.word("approach", r=tag(pair[0]), s=tag(pair[1]))
    answer = "They come closer." if approach == "closer" else "They move apart."
    return told_round(question, answer, "approach")


def ask_crossing(talk: Talk) -> TaggedRound | None:
    """When it gets to the other side of another."""
    axis, pair = int(talk.rng.integers(2)), talk.pick(2)
    if len(pair) < 2 or not talk.is_new("crossing", axis, frozenset(pair)):
        return None
    side = talk.facts.side(pair[0], pair[1], axis)
    frame = talk.facts.crossing(pair[0], pair[1], axis)
    if side is None or " then " not in side or frame is None:
        return None
    last = int(talk.facts.common(*pair)[-1])
    start, end = percent(talk.facts, frame, last)
    if start in (0, end):
        return None
    where = {"left": "to the left of", "right": "to the right of", "top": "above", "bottom": "below"}
    question = talk.word("crossing", r=tag(pair[0]), s=tag(pair[1]), side=where[side.split(" then ")[1]])
    talk.turn_to(None)
    return told_round(
        question, f"From about {start}% of the video on.", "crossing", "temporal", (frame, last)
    )


def ask_contact(talk: Talk) -> TaggedRound | None:
    """Whether two touch or overlap."""
    pair = talk.pick(2)
    if len(pair) < 2 or not talk.is_new("contact", frozenset(pair)):
        return None
    touching = talk.facts.contact(*pair)
    if touching is None:
        return None
    talk.turn_to(None)
    question = talk.word("contact", r=tag(pair[0]), s=tag(pair[1]))
    return told_round(question, "Yes." if touching.size else "No, they always keep apart.", "contact")


def ask_contact_when(talk: Talk) -> TaggedRound | None:
    """When two touch or overlap; only where it is once, and not all the time."""
    pair = talk.pick(2)
    if len(pair) < 2 or not talk.is_new("contact_when", frozenset(pair)):
        return None
    frames = talk.facts.contact(*pair)
    if frames is None or not frames.size:
        return None
    first, last = int(frames[0]), int(frames[-1])
    start, end = percent(talk.facts, first, last)
    if last - first + 1 != frames.size or start == end or (start, end) == (0, 100):
        return None
    talk.turn_to(None)
    question = talk.word("contact_when", r=tag(pair[0]), s=tag(pair[1]))
    made = told_round(question, f"From {start}% to {end}%.", "contact_when", "temporal", (first, last))
    return replace(made, answer_key=f"{start}-{end}")


def gap_at(facts: VideoFacts, a: int, b: int, moment: str, axis: int) -> float | None:
    """Distance of two centres along an axis on the first or last frame of the clip; None if one is not there."""
    frame = 0 if moment == "start" else facts.num_frames - 1
    one, other = facts.objects[a], facts.objects[b]
    if not (one.visible[frame] and other.visible[frame]):
        return None
    return float(one.centres_xy[frame, axis] - other.centres_xy[frame, axis])


def spread_of(centres: np.ndarray) -> float:
    """Diagonal of the box around some centres."""
    return float(np.linalg.norm(centres.max(0) - centres.min(0)))


SINGLES: dict[str, tuple[str, About]] = {
    "place_start": ("referring", ask_place_start),
    "place_end": ("referring", ask_place_end),
    "way": ("referring", ask_way),
    "shift": ("referring", ask_shift),
    "growth": ("referring", ask_growth),
    "when": ("temporal", ask_when),
    "views": ("temporal", ask_views),
    "half": ("temporal", ask_half),
}
"""Kind → task and what asks it about one object."""

PAIRS: dict[str, tuple[str, Asker]] = {
    "side": ("referring", ask_side_at),
    "keeps_side": ("referring", ask_keeps_side),
    "larger": ("referring", ask_larger),
    "approach": ("referring", ask_approach),
    "contact": ("referring", ask_contact),
    "contact_when": ("temporal", ask_contact_when),
    "crossing": ("temporal", ask_crossing),
}
"""Kind → task and what asks it about two objects."""
