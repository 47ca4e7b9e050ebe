"""The small world: questions that cannot be answered without the earlier rounds.

They say `it` or `another one`, or point at an object of an earlier answer. The weights in `MULTI_TURN` and its like say
how often each is tried.
"""

from __future__ import annotations

from sama_plugin.data.shapes.questions import attribute_round, relation_of, segment_relation, when_of
from sama_plugin.data.shapes.rounds import (
    NO_OTHER,
    RELATION_VERBS,
    Asker,
    Dialogue,
    Round,
    absent_round,
    in_history,
    masked,
    swap_region,
    told,
)
from sama_plugin.data.shapes.world import GROWING

NEEDS_HISTORY = ("it_", "other_")
"""How kinds of questions begin that speak of an object without pointing at it."""


def _it_attribute(kind: str) -> Asker:
    def ask(talk: Dialogue) -> Round | None:
        if talk.topic is None:
            return None
        name = talk.things[talk.topic].name
        if kind != "motion" and any(name in r.answer for r in talk.rounds) and talk.rng.random() < 0.6:
            return None  # the answer can be read off the earlier text
        return in_history(swap_region(attribute_round(talk, kind, talk.topic), "it"), f"it_{kind}")

    return ask


def _it_when(talk: Dialogue) -> Round | None:
    made = None if talk.topic is None else when_of(talk, talk.topic)
    return None if made is None else in_history(swap_region(made, "it"), "it_when")


def _it_segment(talk: Dialogue) -> Round | None:
    """Only for a region that has no mask answer yet."""
    if talk.topic is None or talk.topic in talk.grounded:
        return None
    return in_history(masked(talk, talk.word("it_segment"), [talk.topic], "segment"), "it_segment")


def _it_relation(talk: Dialogue) -> Round | None:
    made = None if talk.topic is None else _history_relation(talk, talk.topic)
    return None if made is None else in_history(swap_region(made, "it"), "it_relation")


def _history_relation(talk: Dialogue, k: int) -> Round | None:
    """A relation question about an object, in words or by mask; most often one with an answer."""
    options = [(f.kind, f.subject == k) for f in talk.scene.relations if k in (f.subject, f.target)]
    if options and talk.rng.random() < 0.8:
        verb, asks_target = options[talk.rng.integers(len(options))]
    else:
        if talk.rng.random() > 0.25:
            return None
        verbs = list(RELATION_VERBS)
        verb, asks_target = verbs[talk.rng.integers(len(verbs))], bool(talk.rng.random() < 0.7)
    return segment_relation(talk, relation_of(talk, verb, k, asks_target), by_name=False)


def _another(attribute: str, absent_share: float | None = None) -> Asker:
    """Asks for the one other object with the same attribute; where there is none, always or in a share of the cases."""

    def ask(talk: Dialogue) -> Round | None:
        if talk.topic is None:
            return None
        value = getattr(talk.things[talk.topic], attribute)
        others = [k for k, t in enumerate(talk.things) if getattr(t, attribute) == value and k != talk.topic]
        question = talk.word("other", x=attribute)
        if not others:
            if absent_share is not None and talk.rng.random() > absent_share:
                return None
            return in_history(absent_round(question, NO_OTHER, "other"), f"other_same_{attribute}")
        if len(others) > 1:
            return None
        return in_history(masked(talk, question, others, "other"), f"other_same_{attribute}")

    return ask


def _pick_grounded(talk: Dialogue) -> int | None:
    """Number of an earlier `[SEG]`."""
    return int(talk.rng.integers(len(talk.grounded))) if talk.grounded else None


def _obj_motion(talk: Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    if number is None:
        return None
    return in_history(attribute_round(talk, "motion", talk.grounded[number]), "obj_motion", [number])


def _obj_relation(talk: Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    if number is None:
        return None
    return in_history(_history_relation(talk, talk.grounded[number]), "obj_relation", [number])


def _obj_when(talk: Dialogue) -> Round | None:
    number = _pick_grounded(talk)
    return None if number is None else in_history(when_of(talk, talk.grounded[number]), "obj_when", [number])


def _obj_larger(talk: Dialogue) -> Round | None:
    """Compare an earlier object with another one, earlier or new; nearly half of the answers are yes."""
    number = _pick_grounded(talk)
    if number is None:
        return None
    k = talk.grounded[number]
    others = [i for i, t in enumerate(talk.things) if i != k and t.size != GROWING]
    if talk.things[k].size == GROWING or not others:
        return None
    other = talk.pick(others)
    pair, refers = [k, other], [number, talk.grounded.index(other) if other in talk.grounded else None]
    if talk.rng.random() < 0.5:
        pair, refers = pair[::-1], refers[::-1]
    sizes = [talk.things[i].size for i in pair]
    if sizes[0] == sizes[1] and talk.rng.random() < 0.75:
        return None
    if sizes == ["small", "large"] and talk.rng.random() < 0.5:
        return None
    answer = "Yes." if sizes == ["large", "small"] else "No."
    return in_history(told(talk.word("larger"), answer, pair, "larger"), "obj_larger", refers)


MULTI_TURN: tuple[tuple[Asker, float], ...] = (
    (_it_attribute("colour"), 3.0),
    (_it_attribute("shape"), 2.5),
    (_it_attribute("size"), 2.0),
    (_it_attribute("motion"), 6.0),
    (_it_when, 1.5),
    (_it_segment, 5.0),
    (_it_relation, 6.0),
    (_another("colour"), 4.0),
    (_another("shape"), 2.0),
    (_obj_motion, 4.0),
    (_obj_relation, 5.0),
    (_obj_when, 1.5),
    (_obj_larger, 5.0),
)

HARD_ABSENT_SHARE, STILL_ABSENT_SHARE = 0.6, 0.4
"""Of the questions for another object where there is none; with all of them most would have none."""

HARD_MULTI_TURN: tuple[tuple[Asker, float], ...] = (
    (_it_attribute("colour"), 0.5),
    (_it_attribute("shape"), 0.5),
    (_it_attribute("size"), 0.5),
    (_it_attribute("motion"), 6.0),
    (_it_when, 2.0),
    (_it_segment, 2.0),
    (_it_relation, 6.0),
    (_another("colour", HARD_ABSENT_SHARE), 10.0),
    (_another("shape", HARD_ABSENT_SHARE), 8.0),
    (_obj_motion, 4.0),
    (_obj_relation, 5.0),
    (_obj_when, 2.0),
    (_obj_larger, 5.0),
)
"""The same, what takes long to learn more often."""

STILL_MULTI_TURN: tuple[tuple[Asker, float], ...] = (
    (_it_attribute("colour"), 0.5),
    (_it_attribute("shape"), 0.5),
    (_it_attribute("size"), 0.5),
    (_it_segment, 1.5),
    (_another("colour", STILL_ABSENT_SHARE), 10.0),
    (_another("shape", STILL_ABSENT_SHARE), 10.0),
)
"""Those that one frame answers."""
