"""What a choice of records goes by: their videos, sources, tasks and lengths, a small row per record."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tqdm import tqdm

from sama_plugin.data.corpus import Corpus
from sama_plugin.data.record_form import media_path
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.data.statistics import source_of, written_words


class RecordFacts(NamedTuple):
    """A record that can be used.

    Attributes:
        record: its index.
        video: path of its video below the media root; equal for records about one video.
        source: the published data set that the video is of, else the corpus.
        tasks: task → turns and descriptions of it, 1 or more each.
        words: of all questions, answers and descriptions.
    """

    record: int
    video: str
    source: str
    tasks: dict[str, int]
    words: int

    @property
    def num_turns(self) -> int:
        """Turns and descriptions."""
        return sum(self.tasks.values())


class CorpusFacts(NamedTuple):
    """A corpus, record by record.

    Attributes:
        rows: of the records that can be used, in their order.
        unusable: record → the codes of the defects that leave nothing of it.
        defects: code → how many there are, in all records.
    """

    rows: list[RecordFacts]
    unusable: dict[int, list[str]]
    defects: Counter[str]


def gather_facts(corpus: Corpus, *, progress: bool = True) -> CorpusFacts:
    """Read every record once; what defects cost is not counted.

    Raises:
        DefectError: a mask dictionary that cannot be used.
    """
    facts = CorpusFacts([], {}, Counter())
    for index in tqdm(range(len(corpus)), desc="read", unit="record", disable=None if progress else True):
        made, defects = make_samples(corpus, index, part="both")
        facts.defects.update(defect.code for defect in defects)
        if not made:
            facts.unusable[index] = sorted({defect.code for defect in defects})
            continue
        turns = [turn for sample, _ in made for turn in sample.turns]
        words = sum(written_words(turn) for turn in turns)
        raw = made[0].raw
        tasks = dict(Counter(turn.task for turn in turns))
        row = RecordFacts(index, str(media_path(raw)), source_of(raw, corpus), tasks, words)
        facts.rows.append(row)
    return facts
