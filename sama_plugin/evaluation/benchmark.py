"""What a benchmark is: dialogues to be asked one at a time, predictions to be scored one dialogue at a time, a sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.faults import Fault
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.schema import Sample


@dataclass
class Scored:
    """A dialogue with scores; plain values but for the faults.

    Attributes:
        video: name of what it is about, the same wherever the data lie; comparisons resample videos.
        questions: a row per question with `question_id` and `scores`, name → number; what else a benchmark sums up.
        faults: what was wrong with the predictions.
        facts: of the dialogue, for sums over subsets.
        scores: name → number, of the video as a whole where its questions are not summed up one by one; in one dialogue
            of each video.
    """

    video: str
    questions: list[dict[str, Any]]
    faults: list[Fault] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


class Summary(NamedTuple):
    """Numbers of a whole benchmark; see `Results`.

    Attributes:
        metrics: name → number; None where there is none.
        counts: cases of each metric by its name, and other counts.
        absent: metric → why it is None although there were cases.
        notes: what a reader of the numbers should know.
    """

    metrics: dict[str, float | None]
    counts: dict[str, int]
    absent: dict[str, str] = {}  # noqa: RUF012 - a named tuple's default, never changed
    notes: tuple[str, ...] = ()


class Benchmark(Protocol):
    """A list of dialogues.

    Attributes:
        name: under which it is registered.
        fingerprint: changes whenever its data does.
        dialogue_ids: unique, in a fixed order.
    """

    name: str
    dialogue_ids: Sequence[str]

    @property
    def fingerprint(self) -> str:
        """Of the data."""
        ...

    def sample(self, dialogue_id: str) -> Sample:
        """The dialogue: its video, questions and true answers."""
        ...

    def question_ids(self, dialogue_id: str) -> Sequence[str]:
        """Ids of its questions, one per turn of the sample, in order."""
        ...

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Hold one dialogue; one prediction per question."""
        ...

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """Score one dialogue.

        Args:
            dialogue_id: which.
            predictions: one per question, in order, whoever made them.
        """
        ...

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Sum up all dialogues, in the order of `dialogue_ids`; scores that need all of them are added to the rows."""
        ...


OpenBenchmark = Callable[[], Benchmark]
"""Opens a benchmark anew, in another process."""
