from __future__ import annotations

import pytest

from sama_plugin.data.task_rules import INFERRED_TASKS, infer_task


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
    assert task in INFERRED_TASKS
