"""The small world: facts of a scene → dialogues of 2 to 5 rounds; all words they can have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.shapes.followups import HARD_MULTI_TURN, MULTI_TURN, STILL_MULTI_TURN
from sama_plugin.data.shapes.questions import (
    HARD_SINGLE_TURN,
    MOTION_QUERIES,
    SINGLE_TURN,
    STILL_SINGLE_TURN,
)
from sama_plugin.data.shapes.rounds import (
    EVENT_VERBS,
    NO_OTHER,
    PLAIN_MOTIONS,
    RELATION_VERBS,
    WORDINGS,
    Asker,
    Dialogue,
    Round,
)
from sama_plugin.data.shapes.world import (
    FIXED_SIZES,
    GROWING,
    HELD_OUT_PAIRS,
    TRAINING_COLOURS,
    TRAINING_SHAPES,
    Scene,
    names_of,
    sample_scene,
)


class QuestionMix(NamedTuple):
    """What dialogues ask, and how often.

    Attributes:
        alone: questions that stand for themselves, with weights.
        later: those that need an earlier round.
        later_share: of the rounds where the dialogue so far allows one of `later`.
    """

    alone: tuple[tuple[Asker, float], ...]
    later: tuple[tuple[Asker, float], ...]
    later_share: float


PLAIN_MIX = QuestionMix(SINGLE_TURN, MULTI_TURN, 0.57)
HARD_MIX = QuestionMix(HARD_SINGLE_TURN, HARD_MULTI_TURN, 0.72)
STILL_MIX = QuestionMix(STILL_SINGLE_TURN, STILL_MULTI_TURN, 0.57)

PLAIN_DIALOGUES = 4
"""So many dialogues of a training video have `PLAIN_MIX`, as all of the test do; those after them have `HARD_MIX`."""

ROUND_COUNTS, ROUND_SHARES = (2, 3, 4, 5), (0.2, 0.35, 0.3, 0.15)


def make_dialogues(
    scene: Scene, rng: np.random.Generator, count: int = 2, visible: np.ndarray | None = None, *, split: str
) -> list[list[Round]]:
    """Make dialogues about a scene.

    Args:
        scene: what happens.
        rng: all randomness comes from here.
        count: how many dialogues.
        visible: (K, T) bool; whether any pixel of an object is visible; None takes `scene.in_view()`.
        split: of the scene; only `test` speaks of held-out pairs, `still` asks what one frame answers.

    Returns:
        `count` lists of 2 to 5 rounds; nothing is asked twice in one list, and nothing that takes the name of a colour
        without one. Answers have a word that stands for nothing in its place.
    """
    seen = scene.in_view() if visible is None else visible
    talks = (Dialogue(scene, seen, rng, *names_of(split)) for _ in range(count))
    return [_make_dialogue(talk, split, question_mix(split, number)) for number, talk in enumerate(talks)]


def question_mix(split: str, number: int) -> QuestionMix:
    """What dialogue `number`, from 0, of a video of a split asks."""
    if split == "still":
        return STILL_MIX
    return PLAIN_MIX if split == "test" or number < PLAIN_DIALOGUES else HARD_MIX


def _make_dialogue(talk: Dialogue, split: str, mix: QuestionMix) -> list[Round]:
    wanted = int(talk.rng.choice(ROUND_COUNTS, p=ROUND_SHARES))
    while len(talk.rounds) < wanted:
        may_refer = bool(talk.grounded) or talk.topic is not None
        table = mix.later if may_refer and talk.rng.random() < mix.later_share else mix.alone
        weights = np.array([weight for _, weight in table])
        asker = table[int(talk.rng.choice(len(table), p=weights / weights.sum()))][0]
        made = asker(talk)
        if made is None or (split != "test" and _names_held_out(made.question)) or _takes_unnamed(talk, made):
            continue
        subject = made.regions if made.regions or not made.needs_history else (talk.topic,)
        fact = (made.kind.removeprefix("it_").removeprefix("obj_"), subject, made.targets, made.answer)
        if fact in talk.told:
            continue
        talk.told.add(fact)
        talk.rounds.append(made)
        talk.grounded.extend(made.targets)
        talk.topic = _next_topic(talk.topic, made)
    return talk.rounds


def _names_held_out(text: str) -> bool:
    return any(f"{colour} {shape}" in text for colour, shape in HELD_OUT_PAIRS)


def _takes_unnamed(talk: Dialogue, made: Round) -> bool:
    """Whether a round makes no sense without the name of a colour that has none."""
    unnamed = {k for k, thing in enumerate(talk.things) if not thing.named}
    subjects = made.regions or (talk.topic,)
    return (
        any(talk.things[k].name in made.question for k in unnamed)
        or any(talk.things[k].colour in made.question for k in unnamed.intersection(made.targets))
        or (made.kind.endswith("colour") and not unnamed.isdisjoint((*subjects, *made.targets)))
    )


def _next_topic(topic: int | None, made: Round) -> int | None:
    """What `it` means after a round: the one object grounded, else the one region pointed at."""
    if made.targets:
        return made.targets[0] if len(made.targets) == 1 else None
    if made.answer_key == "none" or "relation" in made.kind:
        return None
    if len(made.regions) == 1:
        return made.regions[0]
    return topic if made.needs_history and not made.regions else None


def vocabulary() -> list[str]:
    """Every word and mark that questions and answers are made of, sorted; for a small tokenizer."""
    texts = [text for options in WORDINGS.values() for text in options]
    texts += [
        *TRAINING_COLOURS,
        *TRAINING_SHAPES,
        *(f"{s}s" for s in TRAINING_SHAPES if s != "cross"),
        "crosses",
        *FIXED_SIZES,
        GROWING,
        "object objects",
    ]
    texts += [
        *MOTION_QUERIES,
        *PLAIN_MOTIONS.values(),
        *EVENT_VERBS.values(),
        ", then and leaves it nothing",
    ]
    texts += [verb for verbs in RELATION_VERBS.values() for verb in verbs]
    texts += [NO_OTHER, "Nothing It A a The the Yes. No. From to what", *(f"{p}%" for p in range(0, 101, 10))]
    texts += [word.capitalize() for word in (*TRAINING_COLOURS, *FIXED_SIZES)]
    plain = re.sub(r"\{\w+\}s?", " ", " ".join(texts))
    words = set(re.findall(r"\w+%?|[.,:?]", plain))
    return sorted(words | {PHRASE_START, PHRASE_END, SEG_TOKEN, DATA_REGION})


def corpus(seed: int, n: int) -> Iterator[str]:
    """`n` questions and answers of the training split, made without drawing anything."""
    rng = np.random.default_rng([seed, 0xC0])
    left = n
    while left > 0:
        for rounds in make_dialogues(sample_scene(rng, "train"), rng, split="train"):
            for text in [t for r in rounds for t in (r.question, r.answer)][:left]:
                yield text
                left -= 1
