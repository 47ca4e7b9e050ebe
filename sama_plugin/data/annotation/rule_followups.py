"""The rule-based writer: questions that cannot be answered without the earlier rounds.

They say `it`, `the other one`, `the next`, or only name another moment.
"""

from __future__ import annotations

from dataclasses import replace

from sama_plugin.data.annotation.facts import HORIZONTAL
from sama_plugin.data.annotation.rounds import TaggedRound, grounded, tag
from sama_plugin.data.annotation.rule_questions import SINGLES, gap_at
from sama_plugin.data.annotation.rule_talk import (
    MOMENTS,
    Asker,
    Talk,
    as_it,
    capital,
    found_round,
    in_history,
    told_round,
)


def about_it(kind: str) -> Asker:
    """One of the questions about one object, with `it` in place of the object."""
    ask = SINGLES[kind][1]

    def ask_it(talk: Talk) -> TaggedRound | None:
        if talk.topic is None or (kind, talk.topic) in talk.told:
            return None
        made = ask(talk, talk.topic)
        if made is None:
            return None
        talk.is_new(kind, talk.topic)
        return in_history(replace(made, question=as_it(made.question, talk.topic)), f"it_{kind}")

    return ask_it


def ask_it_segment(talk: Talk) -> TaggedRound | None:
    """A mask of what was only spoken of so far."""
    if talk.topic is None or talk.compared or any([talk.topic] in r.targets for r in talk.rounds):
        return None
    phrase = talk.name(talk.topic) or "it"
    answer = f"{capital(grounded(phrase, talk.topic))}."
    return in_history(TaggedRound(talk.word("it_segment"), answer, "grounding", ""), "it_segment")


def ask_it_beside(talk: Talk) -> TaggedRound | None:
    """On which side of another object it is."""
    others = [n for n in talk.numbers if n != talk.topic]
    if talk.topic is None or not others:
        return None
    moment, (other,) = talk.toss(list(MOMENTS)), talk.pick(1, others)
    gap = gap_at(talk.facts, talk.topic, other, moment, 0)
    if (
        gap is None
        or abs(gap) < 0.12
        or not talk.is_new("side_at", moment, 0, frozenset((talk.topic, other)))
    ):
        return None
    question = talk.word("side_at", moment=MOMENTS[moment], r="it", s=tag(other))
    return in_history(told_round(question, f"To the {HORIZONTAL[gap > 0]}.", "side"), "it_side")


def ask_others(talk: Talk) -> TaggedRound | None:
    """Those of the last comparison that were not the answer."""
    if talk.compared is None or talk.rounds[-1].kind in ("others", "next"):
        return None
    asked, winner = talk.compared
    rest = [n for n in asked if n != winner]
    question = talk.word("other" if len(rest) == 1 else "others")
    made = in_history(found_round(talk, question, rest, asked, ""), "others")
    talk.turn_to(rest[0] if len(rest) == 1 else None)
    return made


def ask_next(talk: Talk) -> TaggedRound | None:
    """What comes after the answer of the last comparison."""
    if talk.compared is None or talk.again is None or len(talk.compared[0]) < 3:
        return None
    asked, winner = talk.compared
    second = talk.again(tuple(n for n in asked if n != winner), talk.moment)
    if second is None:
        return None
    made = in_history(found_round(talk, talk.word("next"), [second], asked, ""), "next")
    talk.turn_to(second)
    return made


def ask_moment(talk: Talk) -> TaggedRound | None:
    """The last comparison at the other moment."""
    if talk.compared is None or talk.again is None or not talk.moment:
        return None
    asked, _ = talk.compared
    moment = "end" if talk.moment == "start" else "start"
    found = talk.again(asked, moment)
    if found is None:
        return None
    question = talk.word("moment", moment=MOMENTS[moment])
    made = in_history(found_round(talk, question, [found], asked, ""), "moment")
    talk.topic, talk.compared, talk.moment = found, (asked, found), moment
    return made


FOLLOWUPS: dict[str, Asker] = {
    **{f"it_{kind}": about_it(kind) for kind in SINGLES},
    "it_segment": ask_it_segment,
    "it_side": ask_it_beside,
    "others": ask_others,
    "next": ask_next,
    "moment": ask_moment,
}
"""Kind → what asks it; the task is `multi_turn`."""
