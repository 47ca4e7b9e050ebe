"""What a written description or dialogue must keep, whoever wrote it: each fault is a sentence a model can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SPECIAL_TOKENS
from sama_plugin.data.annotation.rounds import GROUNDED, TAG, TaggedRound, tags_in

TASKS = ("referring", "grounding", "temporal", "multi_turn", "none", "general")
MARK_WORDS = (
    r"(?:(?:bounding[ -]?)?box(?:es)?|outlines?|contours?|rectangles?|borders?|overlays?|masks?|highlights?)"
)
COLOURS = r"(?:orange|sky[ -]?blue|blue|pink|purple|yellow|green|red|vermilion|white|cyan|magenta|colou?red)"
LEAKS = (
    (re.compile(r"\bbounding[ -]?box", re.I), "speaks of a bounding box"),
    (re.compile(rf"\b{COLOURS} {MARK_WORDS}\b", re.I), "speaks of the colour of a mark"),
    (
        re.compile(r"\b(?:out|under)lined\b|\bhighlighted\b|\bannotat\w+|\blabell?ed\b|\bmarked\b", re.I),
        "speaks of marks",
    ),
    (re.compile(r"\b(?:frame|image|picture|screenshot)s? (?:number )?#?\d+\b", re.I), "counts the pictures"),
    (
        re.compile(r"\b(?:first|second|third|last) (?:frame|image|screenshot)s?\b", re.I),
        "counts the pictures",
    ),
    (re.compile(r"(?<!<)\bobj(?:ect)?[ _-]?\d+\b", re.I), "names an object by its number outside a tag"),
)
"""What betrays how the pictures were marked, and how it is called."""

MOST_WORDS = {"question": 60, "answer": 150, "description": 200}
LEAST_WORDS_DESCRIBED = 6
TRIVIAL_WORDS = 2
ANY_TAG = re.compile(r"<[^<>\s]*>|\[[A-Z]+\]")


def description_faults(text: str) -> list[str]:
    """What is wrong with a description.

    Args:
        text: of one object; it may hold no tags.
    """
    faults = [f"The description {fault}." for fault in _text_faults(text, "description", allowed=())]
    if text.strip() and len(text.split()) < LEAST_WORDS_DESCRIBED:
        faults.append(f"The description has fewer than {LEAST_WORDS_DESCRIBED} words.")
    return faults


def dialogue_faults(
    rounds: Sequence[TaggedRound], numbers: Sequence[int], least: int, most: int
) -> list[str]:
    """What is wrong with a dialogue.

    Args:
        rounds: in order.
        numbers: objects that exist.
        least: rounds, at least.
        most: rounds, at most.
    """
    faults = []
    if not least <= len(rounds) <= most:
        faults.append(f"There are {len(rounds)} rounds, expected {least} to {most}.")
    seen: dict[str, int] = {}
    for index, one in enumerate(rounds, start=1):
        faults += [f"Round {index}: {fault}." for fault in _round_faults(one, numbers)]
        key = " ".join(one.question.lower().split())
        if not one.needs_history and key in seen:
            faults.append(f"Round {index}: it asks the same as round {seen[key]}.")
        seen.setdefault(key, index)
    if rounds and rounds[0].needs_history:
        faults.append("Round 1: nothing comes before it, so it cannot need earlier rounds.")
    return faults


def _round_faults(one: TaggedRound, numbers: Sequence[int]) -> Iterator[str]:
    for side, text in (("question", one.question), ("answer", one.answer)):
        allowed = (PHRASE_START, PHRASE_END) if side == "answer" else ()
        yield from (f"the {side} {fault}" for fault in _text_faults(text, side, allowed, has_tags=True))
        known = {f"<obj{number}>" for number in numbers}
        for number in dict.fromkeys(tags_in(text)):
            if number not in numbers:
                yield f"the {side} names <obj{number}>, but the objects are {', '.join(sorted(known))}"
    if one.task not in TASKS:
        yield f"the task is {one.task!r}, expected one of {', '.join(TASKS)}"
    yield from _answer_faults(one)
    if one.task == "grounding" and not one.targets:
        yield "a grounding question needs an answer with grounded phrases"
    if one.task == "none" and one.targets:
        yield "a question that nothing fits needs an answer without tags"


def _answer_faults(one: TaggedRound) -> Iterator[str]:
    """Brackets, phrases and tags of an answer."""
    pieces = list(GROUNDED.finditer(one.answer))
    rest = GROUNDED.sub(" ", one.answer)
    if PHRASE_START in rest or PHRASE_END in rest:
        yield f"the answer has a {PHRASE_START} or {PHRASE_END} without its other half"
    if loose := TAG.findall(rest):
        yield f"the answer has <obj{loose[0]}> without a phrase {PHRASE_START} ... {PHRASE_END} right before it"
    phrases = [" ".join(piece["phrase"].lower().split()) for piece in pieces]
    for piece, phrase in zip(pieces, phrases, strict=True):
        if not any(c.isalnum() for c in phrase):
            yield "the answer has a phrase without words"
        if "<" in piece["phrase"]:
            yield f"the answer has a tag or bracket inside the phrase {phrase!r}"
        if not piece["tags"].strip():
            yield f"the answer has the phrase {phrase!r} without a tag after it"
    if twice := _first_twice(phrases):
        yield f"the answer has the phrase {twice!r} twice; name each object by words of its own"
    if (again := _first_twice(number for numbers in one.targets for number in numbers)) is not None:
        yield f"the answer tags <obj{again}> twice; tag each object once"
    words = len(re.findall(r"\w+", rest))
    asked = set(one.regions)
    if (
        len(asked) == 1
        and {n for numbers in one.targets for n in numbers} == asked
        and words <= TRIVIAL_WORDS
    ):
        yield "the answer only gives back the object that the question points at"


def _text_faults(text: str, side: str, allowed: Sequence[str], *, has_tags: bool = False) -> Iterator[str]:
    """What any text must keep; each fault goes on from `The description`."""
    if not any(c.isalpha() for c in TAG.sub("", text)):
        yield "has no words"
        return
    words = len(text.split())
    if words > MOST_WORDS[side]:
        yield f"has {words} words, at most {MOST_WORDS[side]}"
    foreign = [
        found
        for found in ANY_TAG.findall(text)
        if found not in allowed and not (has_tags and TAG.fullmatch(found))
    ]
    foreign += [
        token
        for token in (*SPECIAL_TOKENS, DATA_REGION)
        if token in text and token not in (*allowed, *foreign)
    ]
    if foreign:
        yield f"holds {', '.join(dict.fromkeys(foreign))}, which does not belong there"
    bare = TAG.sub(" ", text)
    yield from dict.fromkeys(fault for pattern, fault in LEAKS if pattern.search(bare))


def _first_twice(values: Any) -> Any:
    """The first value that comes again; None if none does."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
