"""The true answers as an answerer: what a benchmark gives to who makes no mistake, to check it and its data."""

from __future__ import annotations

from collections.abc import Sequence

from sama_plugin.constants import DATA_REGION
from sama_plugin.errors import DataError
from sama_plugin.evaluation.targets import union_rles
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt, Sample


class TruthDialogue:
    """Gives the answer of the sample's next turn that has the words of the question."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self._next = 0
        self._num_objects = 0

    def ask(self, question: str, regions: Sequence[RegionPrompt]) -> GroundedAnswer:
        """See `Dialogue.ask`.

        Raises:
            DataError: no turn that is left has these words.
        """
        plain = PLACEHOLDER.sub(DATA_REGION, question)
        for number, turn in enumerate(self.sample.turns[self._next :], start=self._next):
            if PLACEHOLDER.sub(DATA_REGION, turn.question) == plain:
                self._next = number + 1
                break
        else:
            raise DataError(f"Sample '{self.sample.sample_id}' has no turn left that asks {question!r}.")
        parsed = parse_answer(turn.answer)
        objects = []
        for phrase, ids in zip(parsed.phrases, turn.target_ids, strict=True):
            self._num_objects += 1
            rle = union_rles(self.sample, ids)
            objects.append(GroundedObject(f"obj{self._num_objects}", phrase, 1.0, rle))
        return GroundedAnswer(question, parsed.text, turn.answer, objects, {}, {})


class TruthAnswerer:
    """Answers with the truth; no video is opened, so masks have the frames of the ground truth."""

    def start(self, sample: Sample) -> TruthDialogue:
        """Begin a dialogue."""
        return TruthDialogue(sample)
