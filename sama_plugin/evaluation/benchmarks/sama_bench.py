"""What the three forms of SAMA-Bench share: the questions of a data folder, and sums by video and data set.

A region is pointed at by its mask on the first frame where it is well visible. Source: `sama_official.md` §7.
Differs: the release draws one of the first five sparse frames at random and takes the box in place of the mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.bench_records import BenchItem, read_bench
from sama_plugin.evaluation.benchmarks.grounded_answers import (
    Row,
    answer_row,
    score_grounding,
    summarise_answers,
)
from sama_plugin.evaluation.data_fingerprint import fingerprint_data
from sama_plugin.evaluation.faults import Fault
from sama_plugin.evaluation.metrics.phrase_similarity import open_similarity
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.text_scoring import DEFAULT_SCORING, TextScoring
from sama_plugin.schema import Sample


class Dialogue(NamedTuple):
    """Turns of an item that are asked together.

    Attributes:
        item: the record's.
        turns: numbers of the item's turns.
    """

    item: BenchItem
    turns: tuple[int, ...]


class SamaBench:
    """Base of the three forms, which differ in `part`, in what makes a dialogue, and in how it is asked.

    Args:
        data: a folder as `bench_records` has it.
        scoring: of words.

    Raises:
        DataError: no questions, or files that cannot be used.
        HostError: the similarity's model cannot be loaded, or a judge is named whose key or package is missing.
    """

    name = ""
    part = "conversation"
    asks_alone = True

    def __init__(self, data: Path, scoring: TextScoring = DEFAULT_SCORING) -> None:
        self._bench = read_bench(data, self.part)
        self._judge = scoring.open_judge()
        self._similarity = open_similarity(scoring.similarity)
        self._dialogues: dict[str, Dialogue] = {}
        for item in self._bench.items:
            if self.asks_alone:
                for k, question_id in enumerate(item.question_ids):
                    self._dialogues[question_id] = Dialogue(item, (k,))
            else:
                turns = tuple(range(len(item.question_ids)))
                self._dialogues[item.sample.sample_id] = Dialogue(item, turns)
        self.dialogue_ids: Sequence[str] = list(self._dialogues)

    @cached_property
    def fingerprint(self) -> str:
        """Of records, masks and videos."""
        videos = {item.sample.video_path for item in self._bench.items}
        return fingerprint_data(self._bench.files, videos)

    def dialogue(self, dialogue_id: str) -> Dialogue:
        """Turns that are asked together."""
        return self._dialogues[dialogue_id]

    def sample(self, dialogue_id: str) -> Sample:
        """The video and the turns that are asked together."""
        item, turns = self._dialogues[dialogue_id]
        return item.part(turns)

    def question_ids(self, dialogue_id: str) -> list[str]:
        """Ids of the file where it has some, else made of record and round."""
        item, turns = self._dialogues[dialogue_id]
        return [item.question_ids[k] for k in turns]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """A row per question with mIoU and recall; captions are scored when all are there."""
        item, turns = self._dialogues[dialogue_id]
        rows: list[Row] = []
        faults: list[Fault] = []
        for k, prediction in zip(turns, predictions, strict=True):
            row = answer_row(item.sample.turns[k], prediction)
            if self.part == "conversation":
                faults += score_grounding(
                    row, item.sample, item.targets[k], item.size, prediction, self._similarity
                )
            row["turn"] = k
            rows.append(row)
        return Scored(item.video, rows, faults, {"dataset": item.dataset})

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means over videos, also by data set where there are several."""
        by_dataset: dict[str, list[str]] = defaultdict(list)
        for dialogue in dialogues:
            by_dataset[dialogue.facts["dataset"]].append(dialogue.video)
        video_groups = by_dataset if len(by_dataset) > 1 else {}
        summary = summarise_answers(dialogues, video_groups, self.row_groups(dialogues), self._judge)
        summary.counts.update(self._bench.left_out)
        return summary

    def row_groups(self, dialogues: Sequence[Scored]) -> dict[str, list[Row]]:
        """Rows whose masks are summed up by themselves too; none here."""
        return {}
