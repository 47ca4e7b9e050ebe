"""What a dialogue of a benchmark asks: names of regions, objects of earlier answers, and what cannot be asked."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.questioner import Questioner, ask_alone
from sama_plugin.evaluation.targets import point_at, union_rles, union_track
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Sample
from tests.evaluation.fake_answerers import (
    BLUE,
    FIRST_DIALOGUE,
    LEFT_BOX,
    RED,
    RIGHT_BOX,
    FakeAnswerer,
    FakeDialogue,
    OracleDialogue,
    box_track,
    write_shapes,
)


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    benchmark = open_benchmark("shapes", write_shapes(tmp_path, [FIRST_DIALOGUE]))
    return benchmark.sample(benchmark.dialogue_ids[0])


@pytest.mark.parametrize(("points_anew", "question"), [(False, ""), (True, "What colour is <r2>?")])
def test_an_object_that_was_not_shown_is_not_asked_about_or_pointed_at(sample, points_anew, question):
    questioner = Questioner(sample, FakeAnswerer(FakeDialogue), points_anew=points_anew)
    refers = [(), (), (1,), ()]
    made = [
        questioner.ask(str(k), turn, who)
        for k, (turn, who) in enumerate(zip(sample.turns, refers, strict=True))
    ]
    assert (made[2].question, made[2].asked) == (question, points_anew)
    assert made[3].is_answered


def test_a_video_that_cannot_be_read_answers_nothing(sample):
    class Blind(FakeAnswerer):
        def start(self, sample):
            raise MediaError("it is damaged")

    prediction = ask_alone(sample, sample.turns[0], Blind(), "7")
    assert (prediction.question_id, prediction.error, prediction.asked) == ("7", "it is damaged", True)


def test_alone_the_sample_has_only_the_turn_that_is_asked(sample):
    answerer = FakeAnswerer(OracleDialogue)
    ask_alone(sample, sample.turns[1], answerer, "0")
    assert answerer.dialogues[0].sample.turns == (sample.turns[1],)


def test_targets_are_joined_and_empty_ones_need_a_size(sample):
    both = union_track(sample, [str(RED), str(BLUE)])
    assert np.array_equal(both, box_track(LEFT_BOX) | box_track(RIGHT_BOX, range(2, 4)))
    assert union_rles(sample, [str(RED)]) == sample.masks[str(RED)]
    assert union_rles(sample, [str(RED), str(BLUE)])[3] == encode_mask(both[3])
    unseen = dataclasses.replace(sample, masks={**sample.masks, "9": [None] * 4})
    assert union_track(unseen, ["9"], (24, 32)).shape == (4, 24, 32)
    with pytest.raises(DataError, match="is visible on no frame"):
        union_track(unseen, ["9"])
    with pytest.raises(DataError, match="region '9' is visible on no frame"):
        point_at(unseen, "9", "r1")
