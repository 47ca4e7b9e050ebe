"""What the rule-based writer says is true of the masks, varied, and the same for the same seed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.annotation.facts import measure_video
from sama_plugin.data.annotation.rounds import TaggedRound
from sama_plugin.data.annotation.rule_writer import write_description, write_dialogues
from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.data.annotation.verification import description_faults, dialogue_faults
from tests.data.annotation.made_tracks import HEIGHT, WIDTH, line, make_video, random_video, rectangle_track
from tests.data.annotation.truth import SPAN, Truth, false_statements

ALL = [
    *(
        "place_start",
        "place_end",
        "way",
        "shift",
        "growth",
        "when",
        "views",
        "half",
        "side",
        "keeps_side",
        "larger",
    ),
    *("approach", "crossing", "extreme", "area", "moved", "first", "nearest", "those", "named", "describe"),
]
FOLLOWUPS = [
    "others",
    "next",
    "moment",
    "it_segment",
    "it_side",
    "it_way",
    "it_place_end",
    "it_growth",
    "it_when",
]


def dialogues_of(seed: int, count: int = 3, rounds: int = 6) -> tuple[TrackedVideo, list[list[TaggedRound]]]:
    video = random_video(np.random.default_rng(seed))
    facts = measure_video(video)
    return video, write_dialogues(video, facts, range(len(video.objects)), seed, count, rounds)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_every_statement_is_true_and_every_dialogue_well_formed(seed: int) -> None:
    video, made = dialogues_of(seed)
    truth = Truth(video)
    for rounds in made:
        assert false_statements(truth, rounds) == []
        assert dialogue_faults(rounds, range(len(video.objects)), 1, 6) == []


def test_a_false_statement_would_be_seen() -> None:
    opposite = {"left": "right", "right": "left", "first": "second", "second": "first", "larger": "smaller"}
    opposite |= {"smaller": "larger", "Yes": "No", "up": "down", "down": "up"}
    for seed in range(6):
        video, made = dialogues_of(seed, 1)
        for one in (
            one for rounds in made for one in rounds if not one.needs_history and one.kind in ("way", "side")
        ):
            word = next((word for word in opposite if re.search(rf"\b{word}\b", one.answer)), None)
            if word is not None:
                wrong = replace(one, answer=re.sub(rf"\b{word}\b", opposite[word], one.answer))
                assert false_statements(Truth(video), [wrong]) == [str(wrong)]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
def test_descriptions_are_true(seed: int) -> None:
    video = random_video(np.random.default_rng(seed))
    facts, truth = measure_video(video), Truth(video)
    for number in range(len(video.objects)):
        text = write_description(video, facts, number, seed)
        assert description_faults(text) == []
        sentences = text.rstrip(".").split(". ")
        for sentence in sentences:
            if "throughout" in sentence:
                assert truth.seen[number].all()
            elif SPAN.search(sentence):
                assert truth.is_visible(sentence, number)
            elif "becomes" in sentence:
                assert truth.grows(sentence, number)
            elif sentence.startswith("It "):
                clauses = sentence.replace(" and ", ", ").split(", ")
                if clauses[0].startswith("It starts"):
                    assert truth.is_at(clauses[0], truth.start(number)), text
                if clauses[-1].startswith(("ends on", "ends at", "ends in")):
                    assert truth.is_at(clauses[-1], truth.end(number)), text


def test_all_kinds_of_questions_are_asked() -> None:
    kinds: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for seed in range(12):
        for rounds in dialogues_of(seed, 10)[1]:
            kinds.update(one.kind for one in rounds)
            tasks.update(one.task for one in rounds)
    assert [kind for kind in (*ALL, *FOLLOWUPS) if not kinds[kind]] == []
    shares = {task: count / tasks.total() for task, count in tasks.items()}
    assert set(shares) == {"referring", "temporal", "grounding", "multi_turn", "none"}
    assert 0.02 < shares["none"] < 0.25
    assert shares["multi_turn"] > 0.2
    assert max(shares.values()) < 0.5


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    video = random_video(np.random.default_rng(3))
    facts = measure_video(video)
    numbers = range(len(video.objects))
    made = [write_dialogues(video, facts, numbers, seed, 2, 5) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    more = write_dialogues(video, facts, numbers, 1, 4, 5)
    assert more[:2] == made[0]


def test_nothing_is_asked_twice_about_a_video() -> None:
    for seed in range(5):
        _, made = dialogues_of(seed)
        asked = [one.question for rounds in made for one in rounds if not one.needs_history]
        assert len(asked) == len(set(asked))


def test_nothing_clear_gives_no_dialogue() -> None:
    blob = rectangle_track([(WIDTH * 0.55, HEIGHT * 0.45)] * 3)
    video = make_video([blob])
    facts = measure_video(video)
    rounds = [one for d in write_dialogues(video, facts, [0], 0, 2, 5) for one in d]
    assert {one.kind for one in rounds} <= {
        "when",
        "it_when",
        "place_start",
        "place_end",
        "it_place_start",
        "it_place_end",
        "it_segment",
    }


@pytest.mark.parametrize(
    ("way", "seen", "words"),
    [
        (line((8, 24), (56, 24)), (), "It starts on the left, moves to the right and ends on the right"),
        (line((8, 8), (8, 8)), (), "It starts at the upper left and stays where it is"),
        (line((32, 24), (32, 42)), (), "It starts in the middle, moves down and ends at the bottom"),
        (line((8, 24), (56, 24), 10) + line((56, 24), (8, 24), 10), (), "moves to the right and comes back"),
        (line((8, 24), (8, 24)), [(10, 19)], "It is visible from 50% to 100% of the video"),
        (line((8, 24), (8, 24)), (), "A red cup that covers about 2% of the picture"),
    ],
)
def test_descriptions_say_what_happens(way: list, seen: list, words: str) -> None:
    video = make_video([rectangle_track(way, seen=seen)], ["red cup"])
    assert words in write_description(video, measure_video(video), 0, 0)


@pytest.mark.parametrize(
    ("said", "question", "answer"),
    [
        ("The dog that barks.", "the dog that barks", "<p> The dog that barks </p> <obj0>."),
        ("What barks at night?", "What barks at night?", "<p> It </p> <obj0>."),
    ],
)
def test_what_the_source_says_of_an_object_finds_it(said: str, question: str, answer: str) -> None:
    video = make_video([rectangle_track([(20, 20)] * 8)])
    (thing,) = video.objects
    video = replace(video, objects=(replace(thing, expressions=(said,)),))
    made = [one for d in write_dialogues(video, measure_video(video), [0], 0, 3, 6) for one in d]
    (named,) = [one for one in made if one.kind == "named"]
    assert question in named.question
    assert named.answer == answer
