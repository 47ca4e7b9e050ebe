"""The small world: questions that stand alone, each made from the facts of a scene.

Four families: referring (a region is given, words are asked for), relations, grounding (masks are asked for),
and when. The weights in `SINGLE_TURN` and its like say how often each is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.shapes.rounds import (
    EVENT_VERBS,
    RELATION_VERBS,
    Asker,
    Dialogue,
    Round,
    absent_round,
    masked,
    motion_phrase,
    percent_span,
    told,
)
from sama_plugin.data.shapes.world import FIXED_SIZES, GROWING

NONE_SHARE = 0.33
"""Share of grounding questions that ask for what is not there, before rejections."""

FORM_TRIES = 6
"""Tries to find something to ask in a chosen form, so that forms do not tell whether there is an answer."""

GROWING_MISS_SHARE = 0.12
MAX_TARGETS = 4
MIN_EVENT_GAP = 0.15
"""Events compared in order are apart by at least this share of the clip."""

Wanted = tuple[str | None, str | None, str | None]
"""Size, colour and shape asked for; None where the question leaves it open."""


# Referring: a region is given, the answer is words.


def _any_object(talk: Dialogue) -> int:
    return int(talk.rng.integers(len(talk.things)))


def attribute_round(talk: Dialogue, kind: str, k: int) -> Round:
    """What object k is: its `name`, `colour`, `shape`, `size` or `motion`."""
    thing = talk.things[k]
    answers = {
        "name": f"A {thing.name}.",
        "colour": f"{thing.colour.capitalize()}.",
        "shape": f"A {thing.shape}.",
        "size": "It grows." if thing.size == GROWING else f"{thing.size.capitalize()}.",
        "motion": f"It {motion_phrase(thing)}.",
    }
    return told(talk.word(kind), answers[kind], [k], kind)


def _ask_name(talk: Dialogue) -> Round:
    return attribute_round(talk, "name", _any_object(talk))


def _ask_colour(talk: Dialogue) -> Round:
    return attribute_round(talk, "colour", _any_object(talk))


def _ask_shape(talk: Dialogue) -> Round:
    return attribute_round(talk, "shape", _any_object(talk))


def _ask_size(talk: Dialogue) -> Round:
    return attribute_round(talk, "size", _any_object(talk))


def _ask_motion(talk: Dialogue) -> Round:
    rare = np.array([0.6 if t.motion.kind in ("still", "move") else 1.0 for t in talk.things])
    return attribute_round(talk, "motion", int(talk.rng.choice(len(rare), p=rare / rare.sum())))


def _ask_order(talk: Dialogue) -> Round | None:
    events = {
        k: t.motion.turn or t.motion.start for k, t in enumerate(talk.things) if t.motion.kind in EVENT_VERBS
    }
    for k in events:
        if talk.things[k].motion.kind in ("stop", "leave"):
            events[k] = talk.things[k].motion.end
    if len(events) < 2:
        return None
    a, b = (int(k) for k in talk.rng.permutation(list(events))[:2])
    if abs(events[a] - events[b]) < MIN_EVENT_GAP * talk.scene.num_frames:
        return None
    verbs = [EVENT_VERBS[talk.things[k].motion.kind] for k in (a, b)]
    first = a if events[a] < events[b] else b
    question = talk.word("order", verb=verbs[0], other_verb=verbs[1])
    return told(question, f"The {talk.things[first].name}.", [a, b], "order")


# Relations, asked for words or for masks.


@dataclass(frozen=True)
class RelationQuery:
    """`asks_target`: what does `given` hit; else: what hits `given`. `found` is the answer, if any."""

    verb: str
    given: int
    asks_target: bool
    found: int | None


def _pick_relation(talk: Dialogue) -> RelationQuery | None:
    """One with an answer or a near miss without; scenes without relations are asked less often."""
    facts = talk.scene.relations
    asks_target = bool(talk.rng.random() < 0.5)
    if facts and talk.rng.random() > NONE_SHARE:
        fact = facts[talk.rng.integers(len(facts))]
        given, found = (fact.subject, fact.target) if asks_target else (fact.target, fact.subject)
        return RelationQuery(fact.kind, given, asks_target, found)
    if not facts and talk.rng.random() > 0.16:
        return None
    kinds = list(RELATION_VERBS)
    verb = kinds[talk.rng.integers(len(kinds))]
    likely = [k for k, t in enumerate(talk.things) if (t.motion.kind in ("move", "stop")) == asks_target]
    near = [k for fact in facts for k in (fact.subject, fact.target)]
    given = talk.pick(near + likely if near + likely else range(len(talk.things)))
    return relation_of(talk, verb, given, asks_target)


def relation_of(talk: Dialogue, verb: str, given: int, asks_target: bool) -> RelationQuery:
    """The question what object `given` does to others, or others to it, with its answer."""
    found = None
    for fact in talk.scene.relations:
        if fact.kind == verb and given == (fact.subject if asks_target else fact.target):
            found = fact.target if asks_target else fact.subject
    return RelationQuery(verb, given, asks_target, found)


def _no_relation(query: RelationQuery) -> str:
    verbs = RELATION_VERBS[query.verb][1]
    return f"It {verbs} nothing." if query.asks_target else f"Nothing {verbs} it."


def _tell_relation(talk: Dialogue) -> Round | None:
    query = _pick_relation(talk)
    if query is None:
        return None
    verb, verbs = RELATION_VERBS[query.verb]
    question = talk.word(
        "relation_target" if query.asks_target else "relation_subject", verb=verb, verbs=verbs
    )
    if query.found is None:
        return absent_round(question, _no_relation(query), "relation", [query.given])
    return told(question, f"The {talk.things[query.found].name}.", [query.given], "relation")


def _ground_relation(talk: Dialogue) -> Round | None:
    query = _pick_relation(talk)
    return None if query is None else segment_relation(talk, query, bool(talk.rng.random() < 0.35))


def segment_relation(talk: Dialogue, query: RelationQuery, by_name: bool) -> Round:
    """A relation question answered by a mask; `by_name` says the given object's name instead of pointing."""
    verbs = RELATION_VERBS[query.verb][1]
    given = f"the {talk.things[query.given].name}" if by_name else DATA_REGION
    regions = [] if by_name else [query.given]
    what = f"what {given} {verbs}" if query.asks_target else f"what {verbs} {given}"
    question = talk.word("segment", x=what)
    if query.found is None:
        return absent_round(question, _no_relation(query), "relation", regions)
    return masked(talk, question, [query.found], "relation", regions)


# Grounding by attribute, by motion, of several, of all.


def _phrase(size: str | None, colour: str | None, shape: str | None) -> str:
    return " ".join(word for word in (size, colour, shape or "object") if word)


def _matching(talk: Dialogue, size: str | None, colour: str | None, shape: str | None) -> list[int]:
    return [
        k
        for k, t in enumerate(talk.things)
        if size in (None, t.size) and colour in (None, t.colour) and shape in (None, t.shape)
    ]


ATTRIBUTE_FORMS = ((1, 1, 1), (1, 1, 1), (0, 1, 1), (0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 0))
SEVERAL_FORMS = ((0, 1, 0), (0, 0, 1), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 0, 0))


def _ground_attribute(talk: Dialogue) -> Round | None:
    """The one object that fits, or none when one attribute is changed so that nothing fits."""
    form = ATTRIBUTE_FORMS[talk.rng.integers(len(ATTRIBUTE_FORMS))]
    absent = bool(talk.rng.random() < NONE_SHARE)
    for _ in range(FORM_TRIES):
        thing = talk.things[_any_object(talk)]
        wanted = _keep(form, (thing.size, thing.colour, thing.shape))
        if absent:
            missed = _near_miss(talk, wanted, GROWING_MISS_SHARE)
            if missed is not None:
                phrase = _phrase(*missed)
                return absent_round(
                    talk.word("where", x=f"the {phrase}"), f"There is no {phrase}.", "attribute"
                )
        else:
            found = _matching(talk, *wanted)
            if len(found) == 1 and not _has_growing_twin(talk, wanted):
                return masked(talk, talk.word("where", x=f"the {_phrase(*wanted)}"), found, "attribute")
    return None


def _keep(form: Sequence[int], triple: tuple[str, str, str]) -> Wanted:
    size, colour, shape = (value if kept else None for value, kept in zip(triple, form, strict=True))
    return size, colour, shape


def _has_growing_twin(talk: Dialogue, wanted: Wanted) -> bool:
    """Whether a fixed size word could mean a growing object too: it is small at first and large at last."""
    return wanted[0] in FIXED_SIZES and bool(_matching(talk, GROWING, wanted[1], wanted[2]))


def _near_miss(talk: Dialogue, wanted: Wanted, growing_share: float) -> Wanted | None:
    """`wanted` with one attribute changed such that nothing fits; None if that change cannot do it."""
    slots = [i for i, value in enumerate(wanted) if value is not None]
    slot = slots[talk.rng.integers(len(slots))]
    grows = talk.rng.random() < growing_share and GROWING in talk.sizes
    sizes = (GROWING,) if grows else FIXED_SIZES
    values = (sizes, talk.colours, talk.shapes)[slot]
    changed = list(wanted)
    changed[slot] = values[talk.rng.integers(len(values))]
    size, colour, shape = changed
    if _matching(talk, size, colour, shape) or _has_growing_twin(talk, (size, colour, shape)):
        return None
    return size, colour, shape


def _ground_several(talk: Dialogue) -> Round | None:
    """All that fit, seldom one, or none as in `_ground_attribute`."""
    form = SEVERAL_FORMS[talk.rng.integers(len(SEVERAL_FORMS))]
    absent = bool(talk.rng.random() < NONE_SHARE)
    for _ in range(FORM_TRIES):
        thing = talk.things[_any_object(talk)]
        wanted = _keep(form, (thing.size, thing.colour, thing.shape))
        if absent:
            missed = _near_miss(talk, wanted, GROWING_MISS_SHARE / 4)
            if missed is not None:
                return absent_round(
                    _word_several(talk, _phrase(*missed)), f"There is no {_phrase(*missed)}.", "attribute"
                )
        else:
            found = _matching(talk, *wanted)
            wordy = len(found) > 1 or talk.rng.random() < 0.15
            if wordy and len(found) <= MAX_TARGETS and not _has_growing_twin(talk, wanted):
                return masked(talk, _word_several(talk, _phrase(*wanted)), found, "several")
    return None


def _word_several(talk: Dialogue, phrase: str) -> str:
    return talk.word("several", x=phrase).replace("crosss", "crosses")


MOTION_QUERIES = {
    "moves left": 1.0,
    "moves right": 1.0,
    "moves up": 1.0,
    "moves down": 1.0,
    "stays still": 1.2,
    "stops": 1.0,
    "turns back": 1.0,
    "grows": 0.9,
    "blinks": 1.0,
    "appears late": 0.9,
    "leaves": 1.0,
}
"""How often each is asked for; the same for what is there and for what is not."""

PRESENT_SHARES = {
    "moves left": 0.41,
    "moves right": 0.39,
    "moves up": 0.37,
    "moves down": 0.37,
    "stays still": 0.74,
    "stops": 0.25,
    "turns back": 0.25,
    "grows": 0.18,
    "blinks": 0.24,
    "appears late": 0.22,
    "leaves": 0.21,
}
"""About the share of scenes where each has a target; tuned so that each has none equally often."""


def _doing(talk: Dialogue, query: str) -> list[int] | None:
    """Objects that do it; None where that is a matter of opinion (`back` moves both ways)."""
    verb = query.split()[0]
    if verb != "moves":
        kind = {"stays": "still", "stops": "stop", "turns": "back", "grows": "grow"}.get(verb)
        kind = kind or {"blinks": "blink", "appears": "late", "leaves": "leave"}[verb]
        return [k for k, t in enumerate(talk.things) if t.motion.kind == kind]
    direction = query.split()[1]
    axis = ("left", "right") if direction in ("left", "right") else ("up", "down")
    if any(t.motion.kind == "back" and t.motion.direction in axis for t in talk.things):
        return None
    return [k for k, t in enumerate(talk.things) if t.motion.direction == direction]


def _ground_motion(talk: Dialogue) -> Round | None:
    absent = bool(talk.rng.random() < NONE_SHARE)
    options, weights = [], []
    for query, weight in MOTION_QUERIES.items():
        found = _doing(talk, query)
        if found is not None and len(found) <= MAX_TARGETS and absent == (not found):
            options.append((query, found))
            weights.append(weight / (1 - PRESENT_SHARES[query] if absent else PRESENT_SHARES[query]))
    if not options:
        return None
    shares = np.array(weights) / sum(weights)
    query, found = options[int(talk.rng.choice(len(options), p=shares))]
    question = talk.word("segment", x=f"what {query}")
    return (
        absent_round(question, f"Nothing {query}.", "motion")
        if absent
        else masked(talk, question, found, "motion")
    )


def _describe(talk: Dialogue) -> Round | None:
    if len(talk.things) > MAX_TARGETS:
        return None
    ordered = talk.in_order(range(len(talk.things)))
    clauses = [
        f"{PHRASE_START} {'A' if i == 0 else 'a'} {talk.things[k].name} {PHRASE_END} {SEG_TOKEN} "
        f"{motion_phrase(talk.things[k])}"
        for i, k in enumerate(ordered)
    ]
    return Round(talk.word("describe"), ", ".join(clauses) + ".", (), tuple(ordered), "grounding", "describe")


# When.


def _span_round(talk: Dialogue, wording: str, k: int, first: int, last: int) -> Round | None:
    start, end = percent_span(first, last, talk.scene.num_frames)
    if start == end or ((start, end) == (0, 100) and talk.rng.random() < 0.7):
        return None
    return Round(
        talk.word(wording),
        f"From {start}% to {end}%.",
        (k,),
        (),
        "temporal",
        "when",
        (first, last),
        refers=(None,),
        answer_key=f"{start}-{end}",
    )


def when_of(talk: Dialogue, k: int) -> Round | None:
    """The span that says most about an object."""
    motion = talk.things[k].motion
    if motion.kind in ("move", "stop", "leave") and talk.rng.random() < (
        0.4 if motion.kind == "leave" else 0.8
    ):
        return _span_round(talk, "when_moves", k, motion.start, motion.end)
    if motion.kind == "blink":
        return _span_round(talk, "when_blinks", k, motion.start, motion.end)
    frames = np.flatnonzero(talk.visible[k])
    first, last = int(frames[0]), int(frames[-1])
    if not talk.visible[k, first : last + 1].all():
        return None
    return _span_round(talk, "when_visible", k, first, last)


def _ask_when(talk: Dialogue) -> Round | None:
    return when_of(talk, _any_object(talk))


SINGLE_TURN: tuple[tuple[Asker, float], ...] = (
    (_ask_name, 8.0),
    (_ask_colour, 4.5),
    (_ask_shape, 4.5),
    (_ask_size, 3.5),
    (_ask_motion, 12.0),
    (_tell_relation, 9.0),
    (_ask_order, 3.0),
    (_ground_attribute, 18.0),
    (_ground_motion, 12.5),
    (_ground_relation, 9.0),
    (_ground_several, 9.0),
    (_describe, 4.5),
    (_ask_when, 15.0),
)

HARD_SINGLE_TURN: tuple[tuple[Asker, float], ...] = (
    (_ask_name, 4.0),
    (_ask_colour, 1.0),
    (_ask_shape, 1.0),
    (_ask_size, 1.0),
    (_ask_motion, 12.0),
    (_tell_relation, 9.0),
    (_ask_order, 3.0),
    (_ground_attribute, 9.0),
    (_ground_motion, 15.0),
    (_ground_relation, 10.0),
    (_ground_several, 9.0),
    (_describe, 4.5),
    (_ask_when, 8.0),
)
"""The same, what takes long to learn more often."""

STILL_SINGLE_TURN: tuple[tuple[Asker, float], ...] = (
    (_ask_name, 6.0),
    (_ask_colour, 0.5),
    (_ask_shape, 0.5),
    (_ask_size, 0.5),
    (_ground_attribute, 4.0),
    (_ground_several, 6.0),
)
"""Those that one frame answers."""
