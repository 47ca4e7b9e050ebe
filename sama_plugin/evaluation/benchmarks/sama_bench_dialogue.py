"""SAMA-Bench as dialogues: the questions of a record one after another, the model's own answers as history.

An object that an earlier answer should have shown is meant by its id where a question means it and the model has shown
it; else it is pointed at as any region. Source: the paper's multi-turn chat; the SAMA release never asks a second turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Scored
from sama_plugin.evaluation.benchmarks.grounded_answers import Row
from sama_plugin.evaluation.benchmarks.sama_bench import SamaBench
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import Questioner
from sama_plugin.schema import Turn


class SamaBenchDialogue(SamaBench):
    """Questions with history; also by `first_turn`, `later_turns` and `earlier_object`, those that mean one."""

    name = "sama-bench-dialogue"
    asks_alone = False

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask all questions of a record in one dialogue."""
        sample = self.sample(dialogue_id)
        questioner = Questioner(sample, answerer, points_anew=True)
        meant = earlier_objects(sample.turns)
        return [
            questioner.ask(question_id, turn, refers)
            for question_id, turn, refers in zip(
                self.question_ids(dialogue_id), sample.turns, meant, strict=True
            )
        ]

    def row_groups(self, dialogues: Sequence[Scored]) -> dict[str, list[Row]]:
        """Rows by their place in the dialogue."""
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        return {
            "first_turn": [row for row in rows if row["turn"] == 0],
            "later_turns": [row for row in rows if row["turn"] > 0],
            "earlier_object": [row for row in rows if row["means_earlier"]],
        }

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """See `SamaBench.score`; rows say whether they mean an object of an earlier answer."""
        scored = super().score(dialogue_id, predictions)
        meant = earlier_objects(self.sample(dialogue_id).turns)
        for row, refers in zip(scored.questions, meant, strict=True):
            row["means_earlier"] = any(number is not None for number in refers)
        return scored


def earlier_objects(turns: Sequence[Turn]) -> list[list[int | None]]:
    """For each region of each turn the number of the last `[SEG]` before that has its mask, None where none has.

    Args:
        turns: of one dialogue, in order.
    """
    shown: dict[str, int] = {}
    num_shown = 0
    meant = []
    for turn in turns:
        meant.append([shown.get(region_id) for region_id in turn.region_ids])
        for ids in turn.target_ids:
            if len(ids) == 1:
                shown[ids[0]] = num_shown
            num_shown += 1
    return meant
