"""What a benchmark asks of whoever answers: a dialogue about a sample's video, one question after another.

A model, a baseline and the ground truth itself all answer through these two protocols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sama_plugin.schema import GroundedAnswer, RegionPrompt, Sample


class Dialogue(Protocol):
    """One conversation about one video; its own earlier answers are its history."""

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        """Answer the next question.

        Args:
            question: means regions as `<r1>` and objects of earlier answers by their id, `<obj1>`.
            regions: those the question means for the first time; later questions may mean them again.
        """
        ...


class Answerer(Protocol):
    """Starts dialogues."""

    def start(self, sample: Sample) -> Dialogue:
        """Open the video of a sample.

        Args:
            sample: its turns are those that will be asked, in order (one may be left out); they and the masks are for
                baselines only, a model must not look.

        Raises:
            MediaError: it cannot be read; the questions then count as refused.
        """
        ...
