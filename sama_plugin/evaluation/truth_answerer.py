"""The true answers as an answerer: what a benchmark gives to who makes no mistake, to check it and its data."""

from __future__ import annotations

from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue, TurnFinder
from sama_plugin.evaluation.targets import union_rles
from sama_plugin.schema import Sample


class TruthAnswerer:
    """Answers with the truth; no video is opened, so masks have the frames of the ground truth."""

    def start(self, sample: Sample) -> ReplyDialogue:
        """Begin a dialogue."""
        finder = TurnFinder(sample)

        def reply(question: str) -> Reply:
            turn = finder.find(question)
            return Reply(turn.answer, [union_rles(sample, ids) for ids in turn.target_ids])

        return ReplyDialogue(reply)
