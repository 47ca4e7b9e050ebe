"""The rule-based writer: questions that compare objects, answered by masks of those that fit, or by none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from sama_plugin.data.annotation.facts import APART, LARGER, LATE, MOVED, STILL, ObjectFacts, place_of
from sama_plugin.data.annotation.rounds import TaggedRound, grounded, listed, tag
from sama_plugin.data.annotation.rule_talk import (
    MOMENTS,
    Asker,
    Finder,
    Talk,
    capital,
    found_round,
    none_round,
    place_words,
    tags,
    way_words,
)

MOST = {"to the left": (0, -1), "to the right": (0, 1), "up": (1, -1), "down": (1, 1)}
"""How a question says it → axis, and sign of the greatest."""

NEARER = 1.3
DETAIL_SHARE = 0.6
LARGEST_SET = 4

Traits = dict[str, Callable[[ObjectFacts], "bool | None"]]
"""What a question says of objects → whether it is true of one; None if that is too close to call."""


STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Direction → unit step (x, y)."""


def _goes(direction: str) -> Callable[[ObjectFacts], bool | None]:
    """One that gets only partly this way, or there and back, neither does nor does not."""

    def is_true(thing: ObjectFacts) -> bool | None:
        if thing.way is None or thing.way == direction:
            return None if thing.way is None else True
        gets = float((thing.end_xy - thing.start_xy) @ np.array(STEPS[direction]))
        return None if thing.way.startswith("back") or gets > STILL else False

    return is_true


def _stays(thing: ObjectFacts) -> bool | None:
    return None if thing.way is None else thing.way == "still"


def _grows(growth: str) -> Callable[[ObjectFacts], bool | None]:
    return lambda thing: None if thing.growth is None else thing.growth == growth


TRAITS: Traits = {
    "stay where they are in the picture": _stays,
    "move to the left": _goes("left"),
    "move to the right": _goes("right"),
    "move up in the picture": _goes("up"),
    "move down in the picture": _goes("down"),
    "become larger in the picture": _grows("larger"),
    "become smaller in the picture": _grows("smaller"),
    "leave the picture for good before the end": lambda thing: thing.leaves,
    "come into view after the start": lambda thing: thing.appears,
    "are visible all the time": lambda thing: thing.is_throughout,
}


def ask_extreme(talk: Talk) -> TaggedRound | None:
    """Which is furthest to a side, at the start or at the end."""
    most, moment = talk.toss(list(MOST)), talk.toss(list(MOMENTS))
    axis, sign = MOST[most]

    def find(asked: tuple[int, ...], moment: str) -> int | None:
        frame = 0 if moment == "start" else talk.facts.num_frames - 1
        return _winner({n: sign * float(talk.of(n).centres_xy[frame, axis]) for n in asked}, by=APART)

    return _ask_about_some(talk, "extreme", find, partial(_place_then, talk), moment, most=most)


def ask_area(talk: Talk) -> TaggedRound | None:
    """Which covers most, or least, on average over the frames where it is visible."""
    most = talk.toss(["most", "least"])
    sign = 1 if most == "most" else -1

    def find(asked: tuple[int, ...], _: str) -> int | None:
        values = {n: sign * float(np.log(talk.of(n).areas[talk.of(n).seen].mean())) for n in asked}
        return _winner(values, by=float(np.log(LARGER)))

    return _ask_about_some(talk, "area", find, _nothing, most=most)


def ask_moved(talk: Talk) -> TaggedRound | None:
    """Which ends up furthest from where it started."""

    def find(asked: tuple[int, ...], _: str) -> int | None:
        values = {n: float(np.linalg.norm(talk.of(n).end_xy - talk.of(n).start_xy)) for n in asked}
        return _winner(values, by=APART, least=MOVED)

    return _ask_about_some(talk, "moved", find, partial(_way_of, talk))


def ask_first(talk: Talk) -> TaggedRound | None:
    """Which comes into view first."""

    def find(asked: tuple[int, ...], _: str) -> int | None:
        return _winner({n: -float(talk.of(n).seen[0]) for n in asked}, by=LATE / 2 * talk.facts.num_frames)

    return _ask_about_some(talk, "first", find, _nothing)


def ask_nearest(talk: Talk) -> TaggedRound | None:
    """Which is nearest to another one."""
    moment = talk.toss(list(MOMENTS))
    frame = 0 if moment == "start" else talk.facts.num_frames - 1
    there = [n for n in talk.numbers if talk.of(n).visible[frame]]
    if len(there) < 3:
        return None
    (anchor,) = talk.pick(1, there)

    def find(asked: tuple[int, ...], moment: str) -> int | None:
        frame = 0 if moment == "start" else talk.facts.num_frames - 1
        ways = {n: talk.of(n).centres_xy[frame] - talk.of(anchor).centres_xy[frame] for n in asked}
        return _winner(
            {n: -float(np.log(np.linalg.norm(way))) for n, way in ways.items()}, by=float(np.log(NEARER))
        )

    rest = [n for n in there if n != anchor]
    return _ask_about_some(talk, "nearest", find, partial(_place_then, talk), moment, rest, r=tag(anchor))


def ask_those(talk: Talk) -> TaggedRound | None:
    """Which have a trait: some, all or none of those pointed at."""
    what = talk.toss(list(TRAITS))
    true_of = {n: TRAITS[what](talk.of(n)) for n in talk.numbers}
    clear = [n for n in talk.numbers if true_of[n] is not None]
    fitting = [n for n in clear if true_of[n]]
    wants_none = talk.tasks["none"] <= talk.tasks["grounding"] and len(clear) - len(fitting) >= 2
    pool = [n for n in clear if n not in fitting] if wants_none else clear
    asked = talk.pick(int(talk.rng.integers(2, LARGEST_SET + 1)), pool)
    if len(asked) < 2 or not talk.is_new("those", what, frozenset(asked)):
        return None
    targets = [n for n in asked if true_of[n]]
    question = talk.word("those", S=tags(asked), what=what)
    talk.turn_to(None)
    if not targets:
        if not talk.is_new("those none", what):
            return None
        return none_round(question, "Neither of them." if len(asked) == 2 else "None of them.", "those")
    if len(targets) == 1:
        talk.topic, talk.compared = targets[0], (asked, targets[0])
    return found_round(talk, question, targets, asked, "those")


def ask_named(talk: Talk) -> TaggedRound | None:
    """An object by its name, or by what the source says of it; a question of the source's is asked as it stands."""
    for number in talk.pick(len(talk.numbers)):
        said = [
            talk.name(number),
            *(text.strip().rstrip(".") for text in talk.video.objects[number].expressions),
        ]
        said = [text for text in said if text]
        if said and talk.is_new("named", number):
            text = talk.toss(said)
            talk.turn_to(number)
            is_question = "?" in text
            phrase = talk.name(number) or "it" if is_question else text[0].lower() + text[1:]
            question = text if is_question else talk.word("named", x=phrase)
            return TaggedRound(question, capital(grounded(phrase, number)) + ".", "grounding", "named")
    return None


def ask_describe_all(talk: Talk) -> TaggedRound | None:
    """What several do, each with its mask."""
    clear = [n for n in talk.numbers if talk.of(n).way is not None]
    asked = talk.pick(int(talk.rng.integers(2, LARGEST_SET)), clear)
    if len(asked) < 2 or not talk.is_new("describe_all", frozenset(asked)):
        return None
    clauses = [way_words(talk.of(n).way or "", grounded(talk.phrase(n, asked), n)) for n in asked]
    talk.turn_to(None)
    question = talk.word("describe_all", S=tags(asked))
    return TaggedRound(question, capital(listed(clauses)) + ".", "grounding", "describe")


def _ask_about_some(
    talk: Talk,
    kind: str,
    find: Finder,
    detail: Callable[[int, str], str],
    moment: str = "",
    among: Sequence[int] | None = None,
    **values: str,
) -> TaggedRound | None:
    """Ask about two to four objects, fewer where more have no clear answer; some answers go into detail."""
    asked = talk.pick(int(talk.rng.integers(2, LARGEST_SET + 1)), among)
    while len(asked) >= 2:
        winner = find(asked, moment)
        if winner is not None and talk.is_new(kind, moment, *values.values(), frozenset(asked)):
            question = talk.word(kind, S=tags(asked, "or"), moment=MOMENTS.get(moment, ""), **values)
            talk.topic, talk.compared, talk.again, talk.moment = winner, (asked, winner), find, moment
            made = found_round(talk, question, [winner], asked, kind)
            more = detail(winner, moment) if talk.rng.random() < DETAIL_SHARE else ""
            return replace(made, answer=made.answer.removesuffix(".") + more + ".")
        asked = asked[:-1]
    return None


def _place_then(talk: Talk, number: int, moment: str) -> str:
    """Where it is on the frame that was asked about, as more of an answer; empty if that is not clear."""
    frame = 0 if moment == "start" else talk.facts.num_frames - 1
    place = place_of(talk.of(number).centres_xy[frame])
    return f", {place_words(place)}" if place else ""


def _way_of(talk: Talk, number: int, _: str) -> str:
    way = talk.of(number).way
    return f": {way_words(way)}" if way else ""


def _nothing(_: int, __: str) -> str:
    return ""


def _winner(values: Mapping[int, float], by: float, least: float = -np.inf) -> int | None:
    """The object with the greatest value, if all have one and the next is clearly less."""
    if not np.isfinite(list(values.values())).all():
        return None
    ordered = sorted(values, key=lambda n: values[n], reverse=True)
    first = values[ordered[0]]
    second = values[ordered[1]] if len(ordered) > 1 else -np.inf
    return ordered[0] if first - second >= by and first >= least else None


COMPARISONS: dict[str, Asker] = {
    "extreme": ask_extreme,
    "area": ask_area,
    "moved": ask_moved,
    "first": ask_first,
    "nearest": ask_nearest,
    "those": ask_those,
    "named": ask_named,
    "describe": ask_describe_all,
}
"""Kind → what asks it; the task is `grounding`, or `none`."""
