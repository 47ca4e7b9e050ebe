"""The demo's conversation: answerable whatever the scene is, and judged honestly."""

from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.demo.story import Story, find_meant, judge, make_story
from sama_plugin.media.masks import encode_track
from sama_plugin.schema import GroundedAnswer, GroundedObject

SEEDS = range(8)


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    return [make_story(seed) for seed in SEEDS]


def answer(raw: str, *tracks: np.ndarray) -> GroundedAnswer:
    objects = [GroundedObject(f"obj{i}", "x", 0.9, encode_track(track)) for i, track in enumerate(tracks, 1)]
    return GroundedAnswer("?", raw, raw, objects, {}, {})


def test_same_seed_gives_the_same_story(stories: list[Story]) -> None:
    again = make_story(SEEDS[1])
    np.testing.assert_array_equal(again.frames, stories[1].frames)
    assert [t.question for t in again.turns] == [t.question for t in stories[1].turns]
    assert [t.truth for t in again.turns] != [t.truth for t in stories[2].turns]


def test_every_story_has_the_four_kinds_of_turns(stories: list[Story]) -> None:
    for story in stories:
        assert len(story.turns) >= 5
        assert [p.kind for p in story.turns[0].regions] == ["box"]
        assert any(t.target is not None and t.refers is None for t in story.turns)
        assert any("{obj}" in t.question for t in story.turns if t.refers is not None)
        assert story.turns[-1].target is None
        assert story.turns[-1].answer_key is None


def test_turns_refer_to_earlier_groundings_only(stories: list[Story]) -> None:
    for story in stories:
        for number, turn in enumerate(story.turns):
            assert ("{obj}" in turn.question) == (turn.refers is not None)
            if turn.refers is not None:
                assert turn.refers < number
                assert story.turns[turn.refers].target is not None


def test_truth_is_what_the_scene_holds(stories: list[Story]) -> None:
    for story in stories:
        names = {thing.name for thing in story.scene.objects}
        pairs = {f"{thing.colour} {thing.shape}" for thing in story.scene.objects}
        assert story.turns[0].answer_key in names
        assert story.turns[-1].question.removeprefix("Where is the ").removesuffix("?") not in pairs
        for turn in story.turns:
            if turn.target is not None:
                assert story.scene.objects[turn.target].name in turn.truth
                assert story.tracks[turn.target].any()


def test_box_holds_the_object_it_is_drawn_around(stories: list[Story]) -> None:
    for story in stories:
        prompt = story.turns[0].regions[0]
        assert prompt.box_xyxy is not None
        x0, y0, x1, y1 = (int(v) for v in prompt.box_xyxy)
        pointed = [thing.name for thing in story.scene.objects].index(story.turns[0].answer_key)
        mask = story.tracks[pointed, prompt.frame]
        assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0


def test_true_answers_are_judged_right(stories: list[Story]) -> None:
    for story in stories:
        for turn in story.turns:
            tracks = [] if turn.target is None else [story.tracks[turn.target]]
            assert judge(turn, answer(turn.truth, *tracks), story.tracks).is_right


def test_wrong_answers_are_judged_wrong(stories: list[Story]) -> None:
    story = stories[0]
    empty = np.zeros_like(story.tracks[0])
    for turn in story.turns:
        for wrong in (answer("A tiny pink cube."), answer(turn.truth, empty + True), answer("")):
            wants_words = turn.answer_key is not None and wrong.raw == turn.truth
            assert judge(turn, wrong, story.tracks).is_right == wants_words


def test_mask_of_another_object_and_two_objects_for_one_are_wrong(stories: list[Story]) -> None:
    story = stories[0]
    turn = next(t for t in story.turns if t.target is not None)
    other = story.tracks[(turn.target or 0) - 1]
    true = story.tracks[turn.target or 0]
    assert "mask IoU 0.0" in judge(turn, answer("", other), story.tracks).remark
    assert judge(turn, answer("", true, other), story.tracks).remark == "2 objects, expected 1"


def test_object_meant_later_is_the_one_nearest_the_truth(stories: list[Story]) -> None:
    tracks = stories[0].tracks
    said = answer("", tracks[1], tracks[0])
    found = find_meant(said, tracks[0])
    assert found is not None
    assert found.id == "obj2"
    assert find_meant(answer("nothing"), tracks[0]) is None
    assert find_meant(answer("unseen", np.zeros_like(tracks[0])), tracks[0]) is None
