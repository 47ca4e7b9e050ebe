"""SAMA-Bench-G: every question by itself, as the SAMA release asks; answers are text with masks."""

from __future__ import annotations

from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmarks.sama_bench import SamaBench
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone


class SamaBenchG(SamaBench):
    """Questions without history; mIoU, recall, captions."""

    name = "sama-bench-g"

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask one question in a dialogue of its own."""
        sample = self.sample(dialogue_id)
        return [ask_alone(sample, sample.turns[0], answerer, self.question_ids(dialogue_id)[0])]
