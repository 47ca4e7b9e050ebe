"""Regions that are redrawn, renamed and removed, and a conversation that another session takes up."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.errors import MediaError, PromptError
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.media.regions import region_prompt
from sama_plugin.schema import GroundedAnswer
from tests.conftest import LoadedCheckpoint
from tests.inference.scripted import write_answers

SIZE = (128, 160)


@pytest.fixture
def clip(shapes_set: Path) -> VideoClip:
    return VideoClip.open(shapes_set / "videos" / "00000.mp4")


@pytest.fixture
def lively(loaded: LoadedCheckpoint, lively_model: Any) -> LoadedCheckpoint:
    return loaded._replace(model=lively_model)


@pytest.fixture
def session(lively: LoadedCheckpoint, clip: VideoClip) -> VideoSession:
    return new_session(lively, clip)


def new_session(loaded: LoadedCheckpoint, clip: VideoClip) -> VideoSession:
    return VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, clip, max_new_tokens=24)


def square(at: int, side: int = 12) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[at : at + side, at : at + side] = True
    return mask


def test_region_is_drawn_anew_in_its_place(session: VideoSession, clip: VideoClip) -> None:
    session.region("r1", frame=2, mask=square(9))
    session.region("r2", frame=2, mask=square(40))
    anew = region_prompt("r1", clip, frame=3, mask=square(60))
    with pytest.raises(PromptError, match="'r1' is defined already"):
        session.add_region(anew)
    session.add_region(anew, replace=True)
    assert list(session.regions) == ["r1", "r2"]
    assert (session.regions["r1"].mask == square(60)).all()
    session.add_region(region_prompt("r3", clip, mask=square(5)), replace=True)
    assert list(session.regions) == ["r1", "r2", "r3"]


def test_region_is_renamed_in_its_place_and_removed(session: VideoSession) -> None:
    session.region("r1", frame=2, mask=square(9))
    session.region("r2", frame=2, mask=square(40))
    renamed = session.rename_region("r1", "ball")
    assert list(session.regions) == ["ball", "r2"]
    assert renamed.prompt is not None
    assert (renamed.name, renamed.prompt.name, renamed.frame) == ("ball", "ball", 2)
    session.rename_region("ball", "ball")
    session.remove_region("ball")
    assert list(session.regions) == ["r2"]


@pytest.mark.parametrize(
    ("name", "new_name", "words"),
    [
        ("r9", "a", "no region 'r9'; there are r1, r2"),
        ("r1", "r2", "'r2' is defined already"),
        ("r1", "obj1", "reserved"),
        ("r1", "<b>", "cannot be used"),
    ],
)
def test_wrong_renaming_changes_nothing(session: VideoSession, name: str, new_name: str, words: str) -> None:
    before = [session.region("r1", mask=square(9)), session.region("r2", mask=square(40))]
    with pytest.raises(PromptError, match=words):
        session.rename_region(name, new_name)
    assert list(session.regions.values()) == before


def test_region_that_a_question_means_stays_until_it_is_rewound(
    session: VideoSession, clip: VideoClip, lively: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.region("r1", mask=square(9))
    write_answers(monkeypatch, lively.tokenizer, ["Left."])
    session.ask("Where is <r1>?")
    for change in (
        lambda: session.remove_region("r1"),
        lambda: session.rename_region("r1", "ball"),
        lambda: session.add_region(region_prompt("r1", clip, mask=square(60)), replace=True),
    ):
        with pytest.raises(PromptError, match=r"'r1' is meant by question 1, .*rewind to 0 turns"):
            change()
    session.rewind(0)
    session.remove_region("r1")
    assert session.regions == {}


def test_region_that_is_being_asked_about_stays_until_the_answer_is_given_up(
    session: VideoSession, clip: VideoClip, lively: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.region("r1", mask=square(9))
    session.region("r2", mask=square(40))
    write_answers(monkeypatch, lively.tokenizer, ["It goes left and up."] * 3)
    stream = session.stream("Where is <r1>?")
    next(stream)
    for change in (
        lambda: session.remove_region("r1"),
        lambda: session.rename_region("r1", "ball"),
        lambda: session.add_region(region_prompt("r1", clip, mask=square(60)), replace=True),
    ):
        with pytest.raises(PromptError, match="'r1' is meant by the question that is being answered"):
            change()
    session.remove_region("r2")
    assert "".join(stream).endswith("up.")
    session.rewind(0)
    for give_up in (lambda _: session.cancel(), lambda left: left.close()):
        stream = session.stream("Where is <r1>?")
        next(stream)
        give_up(stream)
        session.rename_region("r1", "ball")
        session.rename_region("ball", "r1")


@pytest.fixture
def talk(
    session: VideoSession, lively: LoadedCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> list[GroundedAnswer]:
    """Two turns; the next answers are written too."""
    more = ["<p> It </p> [SEG] stops."] * 2
    write_answers(monkeypatch, lively.tokenizer, ["A ball.", "<p> The ball </p> [SEG].", *more])
    session.region("r1", frame=4, mask=square(30, 40))
    for question in ("What is <r1>?", "Segment it."):
        session.ask(question)
    return session.answers


def test_restored_session_goes_on_as_the_lost_one_does(
    session: VideoSession, talk: list[GroundedAnswer], lively: LoadedCheckpoint, clip: VideoClip
) -> None:
    other = new_session(lively, clip)
    other.restore(list(session.regions.values()), talk)
    assert other.answers == talk
    assert other.objects == session.objects
    assert other._dialogue.input_ids == session._dialogue.input_ids
    asked = [s.ask("And what does <r1> do?") for s in (session, other)]
    assert any(asked[0].objects[0].rle)
    assert asked[0].raw == asked[1].raw
    masks = [answer.objects[0].masks for answer in asked]
    assert (masks[0] != masks[1]).mean() < 1e-3  # a pixel on the border may fall either way by rounding
    assert asked[1].counters["prefix_tokens_reused"] == 0
    other.rewind(1)
    assert other.answers == talk[:1]


def test_turns_are_restored_after_those_that_are_there(
    lively: LoadedCheckpoint, clip: VideoClip, session: VideoSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ["<p> It </p> [SEG].", "<p> That </p> [SEG].", "Left."]
    write_answers(monkeypatch, lively.tokenizer, written)
    for question in ("Segment it.", "Segment that.", "Where is <obj2>?"):
        session.ask(question)
    other = new_session(lively, clip)
    write_answers(monkeypatch, lively.tokenizer, [written[0], "Stays.", written[2]])
    first = other.ask("Segment it.")
    other.ask("What does it do?")
    other.rewind(1)
    with pytest.raises(PromptError, match="<obj9>"):
        other.restore([], [dataclasses.replace(session.answers[1], question="What is <obj9>?")])
    assert other.answers == [first]
    other.restore([], session.answers[1:2])
    counters = other.ask("Where is <obj2>?").counters
    assert other._dialogue.input_ids == session._dialogue.input_ids
    prompt = first.counters["prefix_tokens_computed"]
    assert counters["prefix_tokens_reused"] == prompt + first.num_tokens
    assert counters["vision_frames_encoded"] <= 1  # that of the region


def test_restored_questions_mean_objects_of_answers_before(
    lively: LoadedCheckpoint, clip: VideoClip, session: VideoSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_answers(monkeypatch, lively.tokenizer, ["<p> It </p> [SEG].", "Left."])
    session.region("r1", frame=4, mask=square(30))
    answer = session.ask("Segment <r1>.")
    answer.objects[0].rle = [encode_mask(square(30))] * clip.num_frames
    session.ask("Where is <obj1>?")
    other = new_session(lively, clip)
    other.restore(list(session.regions.values()), session.answers)
    assert (other._turns[1].regions[0].mask == square(30)).all()


def test_nothing_is_restored_that_does_not_fit(
    session: VideoSession, talk: list[GroundedAnswer], lively: LoadedCheckpoint, clip: VideoClip
) -> None:
    regions = list(session.regions.values())
    with pytest.raises(PromptError, match="'r1' is defined already"):
        session.restore(regions, talk)
    for wrong_clip, words in (
        (clip.window(0, 3), "Frame 4"),
        (clip.window(0, 9), f"masks for {clip.num_frames} frames"),
    ):
        other = new_session(lively, wrong_clip)
        with pytest.raises(MediaError, match=words):
            other.restore(regions, talk)
        assert (other.regions, other.answers) == ({}, [])
    other = new_session(lively, clip)
    with pytest.raises(PromptError, match="<r1>, which was never defined"):
        other.restore([], talk)
    for wrong in (
        dataclasses.replace(talk[1], raw="It.<|im_end|>"),
        dataclasses.replace(talk[1], question="What? [SEG]"),
    ):
        with pytest.raises(PromptError, match=r"<\|im_end\|>|\[SEG\]"):
            other.restore(regions, [talk[0], wrong])
    broken = [{"size": list(SIZE), "counts": "0"}] * clip.num_frames
    thing = dataclasses.replace(talk[1].objects[0], rle=broken)
    with pytest.raises(MediaError, match="Broken run lengths"):
        other.restore(
            regions,
            [
                talk[0],
                dataclasses.replace(talk[1], objects=[thing]),
                dataclasses.replace(talk[0], question="What is <obj1>?"),
            ],
        )
    assert (other.regions, other.answers, other._turns) == ({}, [], [])
    other.restore(regions, talk)
