"""The rule-based writer: descriptions and dialogues from masks alone, true as measured, the same for the same seed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sama_plugin.data.annotation.facts import HORIZONTAL, ObjectFacts, VideoFacts, half_of, place_of
from sama_plugin.data.annotation.rounds import TaggedRound, listed
from sama_plugin.data.annotation.rule_comparisons import COMPARISONS
from sama_plugin.data.annotation.rule_followups import FOLLOWUPS
from sama_plugin.data.annotation.rule_questions import PAIRS, SINGLES, about_one
from sama_plugin.data.annotation.rule_talk import Asker, Talk, percent, place_words, way_words
from sama_plugin.data.annotation.tracks import TrackedVideo

FOLLOWUP_SHARE = 0.5
"""Chance that a round goes on with the last one, where it can."""

TASK_WEIGHTS = {"none": 0.3}
"""How likely a task is beside the others, where it was exercised as often."""

TRIES = 60
"""Questions that are tried for one round before a dialogue ends."""

OPENERS: dict[str, dict[str, Asker]] = {
    **{
        name: {
            **{kind: about_one(ask, kind) for kind, (task, ask) in SINGLES.items() if task == name},
            **{kind: ask for kind, (task, ask) in PAIRS.items() if task == name},
        }
        for name in ("referring", "temporal")
    },
    "grounding": COMPARISONS,
    "none": {"those": COMPARISONS["those"]},
}
"""Task → kind → what asks it."""


def write_dialogues(
    video: TrackedVideo, facts: VideoFacts, numbers: Sequence[int], seed: int, count: int, rounds: int
) -> list[list[TaggedRound]]:
    """Dialogues about some objects of a video; fewer, or shorter, where there is not enough to ask.

    Args:
        video: what they are about.
        facts: of the video.
        numbers: objects to talk about.
        seed: of every choice.
        count: dialogues.
        rounds: of each, at most; one of a single round is left out unless nothing else can be asked.
    """
    rng = _stream(seed, video.video_id, 0)
    tasks: Counter[str] = Counter()
    told: set[tuple[object, ...]] = set()
    made: list[list[TaggedRound]] = []
    for _ in range(count):
        talk = Talk(video, facts, numbers, rng, tasks, told)
        while len(talk.rounds) < rounds and (one := _next_round(talk)) is not None:
            talk.rounds.append(one)
            tasks[one.task] += 1
        if len(talk.rounds) > 1 or (talk.rounds and not made):
            made.append(talk.rounds)
    return made


def write_description(video: TrackedVideo, facts: VideoFacts, number: int, seed: int) -> str:
    """A few sentences about one object: what and how large it is, when and where it is visible, how it moves."""
    rng = _stream(seed, video.video_id, 1 + number)
    thing = facts.objects[number]
    name = video.objects[number].name
    article = "An" if (name or "object")[0] in "aeiou" else "A"
    parts = [f"{article} {name or 'object'} that covers {_share(thing)} of the picture."]
    parts += [_when(thing, facts), _way(thing)]
    if thing.growth in ("larger", "smaller"):
        parts.append(f"It becomes {thing.growth} in the picture.")
    parts = [part for part in parts if part]
    head, tail = parts[:1], parts[1:]
    order = rng.permutation(len(tail)) if len(tail) > 1 and rng.random() < 0.5 else range(len(tail))
    return " ".join([*head, *(tail[int(i)] for i in order)])


def _next_round(talk: Talk) -> TaggedRound | None:
    """A follow-up, or a question of the task that was exercised least, or of any other."""
    if talk.rounds and talk.rng.random() < FOLLOWUP_SHARE:
        for kind in talk.rng.permutation(list(FOLLOWUPS)):
            if (made := FOLLOWUPS[str(kind)](talk)) is not None:
                return made
    for _ in range(TRIES):
        weights = np.array([TASK_WEIGHTS.get(task, 1.0) / (1 + talk.tasks[task]) ** 2 for task in OPENERS])
        task = str(talk.rng.choice(list(OPENERS), p=weights / weights.sum()))
        kind = talk.toss(list(OPENERS[task]))
        if (made := OPENERS[task][kind](talk)) is not None:
            return made
    return None


def _stream(seed: int, video_id: str, stage: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(video_id.encode()), stage])


def _share(thing: ObjectFacts) -> str:
    share = 100 * float(thing.areas[thing.seen].mean())
    return (
        f"about {share:.0f}%" if share >= 1.5 else f"about {share:.1f}%" if share >= 0.1 else "less than 0.1%"
    )


def _when(thing: ObjectFacts, facts: VideoFacts) -> str:
    if thing.is_throughout:
        return "It is visible throughout the video."
    spans = [percent(facts, first, last) for first, last in thing.runs]
    if len(spans) > 2 or any(start == end for start, end in spans) or spans == [(0, 100)]:
        return ""
    return f"It is visible {' and '.join(f'from {start}% to {end}%' for start, end in spans)} of the video."


def _way(thing: ObjectFacts) -> str:
    """Where it starts, how it moves, and where it ends, as far as each is clear."""
    start, end = (place_of(xy) or half_of(xy) for xy in (thing.start_xy, thing.end_xy))
    clauses = [f"starts {place_words(start)}"] if start else []
    is_elsewhere = end is not None and end != start
    if thing.way is not None:
        clauses.append(way_words(thing.way, "")[1:])
        if end and is_elsewhere and not thing.way.startswith(("still", "back")):
            clauses.append(f"ends {place_words(end)}")
    elif thing.shift is not None:
        where = f"further to the {thing.shift}" if thing.shift in HORIZONTAL else thing.shift
        clauses.append(f"ends up {where}{f', {place_words(end)}' if end and is_elsewhere else ''}")
    elif end and is_elsewhere:
        clauses.append(f"ends {place_words(end)}")
    return f"It {listed(clauses)}." if clauses else ""
