from __future__ import annotations

import pytest

from sama_plugin.data.annotation.rounds import TaggedRound
from sama_plugin.data.annotation.verification import description_faults, dialogue_faults

GOOD = TaggedRound(
    "What does <obj0> do near <obj1>?",
    "<p> The dog </p> <obj0> barks at <p> two cats </p> <obj1> <obj2>.",
    "referring",
    "",
)


def faults(question: str, answer: str, task: str = "general", **kwargs: bool) -> list[str]:
    return dialogue_faults([TaggedRound(question, answer, task, "", **kwargs)], [0, 1, 2], 1, 3)


def test_a_good_dialogue_has_no_faults() -> None:
    follow = TaggedRound("Segment it.", "<p> It </p> <obj0>.", "multi_turn", "", needs_history=True)
    assert dialogue_faults([GOOD, follow, follow], [0, 1, 2], 1, 3) == []


@pytest.mark.parametrize(
    ("question", "answer", "words"),
    [
        ("What does <obj7> do?", "It runs.", "the question names <obj7>, but the objects are <obj0>"),
        ("What runs?", "<p> The dog </p> <obj7>.", "the answer names <obj7>"),
        ("What runs?", "The dog <obj0> runs.", "<obj0> without a phrase"),
        ("What runs?", "<p> The dog </p> runs.", "'the dog' without a tag"),
        ("What runs?", "<p> </p> <obj0> runs.", "a phrase without words"),
        ("What runs?", "<p> The dog <obj0> runs.", "without its other half"),
        ("What runs?", "<p> A dog </p> <obj0> and <p> a  dog </p> <obj1>.", "the phrase 'a dog' twice"),
        ("What runs?", "<p> A dog </p> <obj0>, <p> one more </p> <obj0>.", "tags <obj0> twice"),
        ("What runs?", "<p> A <obj1> dog </p> <obj0>.", "inside the phrase"),
        ("Where is <p> the dog </p> <obj0>?", "There it is.", "the question holds <p>, </p>"),
        ("Where is <mask>?", "There it is.", "the question holds <mask>"),
        ("Where is it?", "There [SEG] it is.", "the answer holds [SEG]"),
        ("Where is <vp>?", "There.", "holds <vp>"),
        ("", "There it is.", "the question has no words"),
        ("<obj0>", "There it is.", "the question has no words"),
        ("Where?", "...", "the answer has no words"),
        ("Where is obj1?", "There.", "by its number outside a tag"),
        ("What is <obj0>?", "The dog in the green box.", "the colour of a mark"),
        ("What is <obj0>?", "The highlighted dog.", "speaks of marks"),
        ("What is <obj0>?", "The dog in its bounding box.", "a bounding box"),
        ("What is <obj0>?", "A dog, in frame 3.", "counts the pictures"),
        ("What is <obj0>?", "A dog in the first image.", "counts the pictures"),
        ("Segment <obj0>.", "<p> The dog </p> <obj0>.", "only gives back"),
        ("Go on. " * 40, "Yes.", "80 words, at most 60"),
    ],
)
def test_each_fault_is_named(question: str, answer: str, words: str) -> None:
    found = faults(question, answer)
    assert any(words in fault for fault in found), found
    assert all(fault.startswith("Round 1: ") for fault in found)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("A box of apples.", "What is in <obj0>?"),
        ("<p> The green one </p> <obj0>.", "Which of <obj0> and <obj1> is first?"),
        ("An object in the middle.", "What is <obj0>?"),
        ("The second dog of the three.", "What is <obj0>?"),
    ],
)
def test_what_only_looks_like_a_leak_passes(question: str, answer: str) -> None:
    assert faults(question, answer) == []


def test_tasks_must_fit_their_answers() -> None:
    assert "needs an answer with grounded phrases" in faults("Find a dog.", "Here.", "grounding")[0]
    assert "needs an answer without tags" in faults("Find a dog.", "<p> A cat </p> <obj0>.", "none")[0]
    assert "the task is 'x'" in faults("Find a dog.", "Here.", "x")[0]


def test_a_dialogue_is_counted_and_does_not_repeat_itself() -> None:
    assert dialogue_faults([], [0], 1, 3) == ["There are 0 rounds, expected 1 to 3."]
    assert dialogue_faults([GOOD, GOOD], [0, 1, 2], 1, 3) == ["Round 2: it asks the same as round 1."]
    assert "nothing comes before it" in faults("And it?", "It runs.", needs_history=True)[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no words"),
        ("A dog.", "fewer than 6 words"),
        ("A dog <obj1> that runs over the lawn.", "holds <obj1>"),
        ("A dog in a red outline that runs over the lawn.", "colour of a mark"),
        ("word " * 201, "201 words, at most 200"),
    ],
)
def test_descriptions_are_checked_too(text: str, words: str) -> None:
    assert words in description_faults(text)[0]
    assert description_faults("A dog that runs over the lawn.") == []
