"""No word and no mask: what a benchmark gives for nothing, as where it is right that nothing is there."""

from __future__ import annotations

from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue
from sama_plugin.schema import Sample


class SilentAnswerer:
    """Answers nothing; does not look at the truth."""

    def start(self, sample: Sample) -> ReplyDialogue:
        """Begin a dialogue."""
        return ReplyDialogue(lambda question: Reply("", []))
