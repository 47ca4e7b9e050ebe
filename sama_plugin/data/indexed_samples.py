"""The samples of a corpus, read on access; with an index, what is in them is known without reading."""

from __future__ import annotations

from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.index_tables import PART_NAMES
from sama_plugin.data.selection import SamplesOnAccess, TurnColumns
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.errors import DataError
from sama_plugin.schema import Sample

CHOICES = {
    "either": "turns.part = 1 - records.has_conversation",
    "conversation": "turns.part = 0",
    "description": "turns.part = 1",
    "both": "1",
}
"""Which rows of `turns` each of `sama239k.PARTS` takes."""

TURNS = "FROM turns JOIN records ON records.position = turns.record WHERE {} ORDER BY record, part, turn"


class IndexedSamples(SamplesOnAccess):
    """What `read_corpus` makes of an indexed corpus, in the same order; pickles as the paths of its index.

    Args:
        corpus: indexed.
        part: one of `sama239k.PARTS`.
    """

    def __init__(self, corpus: IndexedCorpus, part: str = "either") -> None:
        self.corpus, self.part = corpus, part
        self._places: list[tuple[int, int]] = corpus.rows(
            "SELECT DISTINCT record, part " + TURNS.format(CHOICES[part])
        )

    def __len__(self) -> int:
        return len(self._places)

    def sample_at(self, index: int) -> Sample:
        """See `SamplesOnAccess`.

        Raises:
            DataError: the index is damaged, or was made by other rules than the reader has now.
        """
        position, one = self._places[index]
        records, _ = make_samples(self.corpus, position, part=PART_NAMES[one])
        if not records:
            raise DataError(
                f"{self.corpus.name}, record {position} has nothing that the reader keeps now, but had when "
                f"{self.corpus.path} was made; remove that and run: sama data prepare"
            )
        return records[0].sample

    def turn_columns(self) -> TurnColumns:
        """Of all dialogues, from the index' columns; see `Dialogues`."""
        numbers = {place: i for i, place in enumerate(self._places)}
        rows = self.corpus.rows("SELECT record, part, task, kind, length " + TURNS.format(CHOICES[self.part]))
        turns = ((numbers[record, one], task, kind, length) for record, one, task, kind, length in rows)
        of_records = self.corpus.rows("SELECT clip, media FROM records ORDER BY position")
        clips = [of_records[position][0] for position, _ in self._places]
        videos = [str(self.corpus.video_root / of_records[position][1]) for position, _ in self._places]
        return TurnColumns.of_rows(turns, clips, videos)
