"""Holds a dialogue of a benchmark: puts its turns into words for an answerer and keeps what the answers showed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from sama_plugin.constants import DATA_REGION
from sama_plugin.errors import MediaError, PromptError
from sama_plugin.evaluation.answerer import Answerer, Dialogue
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.targets import live_stand_ins, point_at
from sama_plugin.schema import GroundedObject, RegionPrompt, Sample, Turn


class Questioner:
    """One dialogue about a sample, one question after another.

    Args:
        sample: its turns are those that will be asked, in order.
        answerer: who answers.
        points_anew: what becomes of a region that means an object of an earlier answer which was never produced: True
            points at it as at any other, False does not ask the question.
    """

    def __init__(
        self,
        sample: Sample,
        answerer: Answerer,
        *,
        points_anew: bool = False,
    ) -> None:
        self.sample = sample
        self.points_anew = points_anew
        self._given: list[tuple[Turn, Prediction]] = []
        self._grounded: list[GroundedObject | None] = []  # for each `[SEG]` due so far, what stands for it
        self._dialogue: Dialogue | None = None
        self._trouble = ""
        try:
            self._dialogue = answerer.start(sample)
        except MediaError as error:
            self._trouble = str(error)
        self._names: dict[str, str] = {}  # mask id of a region → its name, where the answerer knows it
        self._num_names = 0  # also where the answerer refused the question

    def ask(self, question_id: str, turn: Turn, refers: Sequence[int | None] = ()) -> Prediction:
        """Ask a turn; where the question is refused or the video cannot be read, the prediction says so.

        Args:
            question_id: of the prediction.
            turn: the question, and what its answer should show.
            refers: for each `<mask>` the 0-based number of the earlier `[SEG]` it means, or None; empty means none.

        Raises:
            DataError: a region that is visible nowhere, or masks that do not fit the video.
        """
        asked = self._put_into_words(turn, refers or (None,) * len(turn.region_ids))
        prediction = Prediction(question_id, asked=False)
        if asked is not None:
            question, regions = asked
            try:
                if self._dialogue is None:
                    raise MediaError(self._trouble)
                answer = self._dialogue.ask(question, list(regions.values()))
                prediction = Prediction.of_answer(question_id, answer)
                self._names.update({region_id: region.name for region_id, region in regions.items()})
            except (PromptError, MediaError) as error:
                prediction = Prediction(question_id, question, error=str(error))
        self._given.append((turn, prediction))
        return prediction

    def _stand_in(self, number: int) -> GroundedObject | None:
        """The object that stands for a `[SEG]` that an earlier answer should have."""
        for turn, prediction in self._given:
            self._grounded += live_stand_ins(self.sample, turn, prediction.shown)
        self._given.clear()
        return self._grounded[number]

    def _put_into_words(
        self, turn: Turn, refers: Sequence[int | None]
    ) -> tuple[str, dict[str, RegionPrompt]] | None:
        """The question as a user would put it, and the regions it defines by their mask ids; None: not to be asked."""
        regions: dict[str, RegionPrompt] = {}
        names = []
        for region_id, number in zip(turn.region_ids, refers, strict=True):
            thing = None if number is None else self._stand_in(number)
            if thing is not None:
                names.append(thing.id)
            elif number is not None and not self.points_anew:
                return None
            elif region_id in self._names:
                names.append(self._names[region_id])
            else:
                if region_id not in regions:
                    self._num_names += 1
                    regions[region_id] = point_at(self.sample, region_id, f"r{self._num_names}")
                names.append(regions[region_id].name)
        question = turn.question
        for name in names:
            question = question.replace(DATA_REGION, f"<{name}>", 1)
        return question, regions


def ask_alone(sample: Sample, turn: Turn, answerer: Answerer, question_id: str) -> Prediction:
    """Ask a turn without the others: no history."""
    return Questioner(dataclasses.replace(sample, turns=(turn,)), answerer).ask(question_id, turn)
