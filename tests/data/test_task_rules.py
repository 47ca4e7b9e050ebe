from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.data.task_rules import infer_task
from tests.data.planted_defects import GOATS
from tests.data.published_fixture import change_record, write_published


@pytest.mark.parametrize(
    ("question", "answer", "is_later", "task"),
    [
        ("What is <mask>?", "A goat.", False, "referring"),
        ("Where does <mask> go?", "<p> The goat </p> [SEG] goes left.", False, "referring"),
        ("Segment the goat.", "<p> The goat </p> [SEG]", False, "grounding"),
        ("How many goats are there?", "Two.", False, "general"),
        ("When does <mask> turn back?", "From 1 s to 2 s.", False, "temporal"),
        ("Which goat jumps first?", "<p> The small one </p> [SEG]", False, "temporal"),
        ("What does <mask> do next?", "It runs.", False, "temporal"),
        ("During which part of the video is <mask> seen?", "All.", False, "temporal"),
        ("How many times does <mask> jump?", "Once.", False, "temporal"),
        ("Who stands next to <mask>?", "A goat.", False, "referring"),
        ("What does it eat?", "Grass.", True, "multi_turn"),
        ("When do THEY stop?", "At 2 s.", True, "multi_turn"),
        ("Is there another one?", "<p> Yes </p> [SEG]", True, "multi_turn"),
        ("What does it eat?", "Grass.", False, "general"),
        ("Does <mask> see it?", "No.", True, "referring"),
        ("What is on the exit sign?", "EXIT", True, "general"),
        ("", "", True, "general"),
    ],
)
def test_first_rule_that_fits_decides(question: str, answer: str, is_later: bool, task: str) -> None:
    assert infer_task(question, answer, is_later=is_later) == task


def test_pointing_at_what_an_answer_showed_means_that_answer() -> None:
    settings = {"is_later": True, "points_back": True}
    assert infer_task("What does <mask> do?", "It runs.", **settings) == "multi_turn"
    assert infer_task("When does <mask> turn back?", "At 2 s.", **settings) == "multi_turn"


def test_reader_infers_the_tasks_that_records_do_not_name(tmp_path: Path) -> None:
    published = write_published(tmp_path)

    def point_back(record: dict[str, Any]) -> None:
        record["conversation"][2]["value"] = "And <mask>?"
        record["obj_masks"][1] = [41]

    (records,) = published.records
    for change, tasks in (
        (lambda record: None, ["referring", "grounding"]),
        (point_back, ["referring", "multi_turn"]),
    ):
        change_record(GOATS, change)(published)
        made, _ = make_samples(open_corpus(records, published.masks, published.media), GOATS)
        assert [turn.task for turn in made[0].sample.turns] == tasks
