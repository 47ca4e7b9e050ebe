"""Samples of a public corpus, made when they are asked for: what is known of them beforehand, and what was left out."""

from __future__ import annotations

import contextlib
import logging
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sama_plugin.data.selection import SamplesOnAccess, TurnColumns, text_length
from sama_plugin.errors import DataError, MediaError
from sama_plugin.schema import Rle, Sample

logger = logging.getLogger(__name__)

BROKEN_ROW = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading a record of another form than the published one raises."""

Track = list[Rle | None]


@contextlib.contextmanager
def published_form(place: str) -> Iterator[None]:
    """Turns errors of `BROKEN_ROW` into ours, where one fault spoils a whole file.

    Args:
        place: file, and where in it.

    Raises:
        DataError: the place, and what is missing or of another type there.
    """
    try:
        yield
    except BROKEN_ROW as error:
        what = f"{type(error).__name__} {error}"
        raise DataError(f"{place} is not in the published form: {what}; get it anew.") from error


class LeftOut:
    """What a reader left out, counted by reason, with the first place of each.

    Attributes:
        counts: reason → how often.
        first: reason → where and what it was the first time.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, reason: str, place: str) -> None:
        """Count one.

        Args:
            reason: a name with hyphens, such as `phrase-missing`.
            place: which record, and what it says.
        """
        self.counts[reason] += 1
        self.first.setdefault(reason, place)

    def __str__(self) -> str:
        return "; ".join(
            f"{count} {reason}, the first: {self.first[reason]}"
            for reason, count in self.counts.most_common()
        )


class LazyTracks(Mapping[str, Track]):
    """Mask tracks that are read when somebody looks at them, each once.

    Args:
        ids: of the tracks there are.
        load: gives the track of an id; one entry per frame.
    """

    def __init__(self, ids: Sequence[str], load: Callable[[str], Track]) -> None:
        self._ids = dict.fromkeys(ids)
        self._load = load
        self._loaded: dict[str, Track] = {}

    def __getitem__(self, key: str) -> Track:
        if key not in self._ids:
            raise KeyError(key)
        if key not in self._loaded:
            self._loaded[key] = self._load(key)
        return self._loaded[key]

    def __contains__(self, key: object) -> bool:
        return key in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class LazySamples(SamplesOnAccess):
    """Samples made of rows on access. All are made once at the beginning, and of each a few numbers are kept.

    Args:
        source: name of the corpus; in the samples' ids, errors and reports.
        rows: whatever a sample is made of.
        make: row → sample, None if nothing of it can be used; tells `LeftOut` what it leaves out. A row that breaks the
            published form, with an error of `BROKEN_ROW` or ours, is left out as `record-form`.
        num_drawn: turns per example, see `Sample`.

    Attributes:
        left_out: what is not among the samples.

    Raises:
        DataError: nothing is left.
    """

    def __init__(
        self,
        source: str,
        rows: Sequence[Any],
        make: Callable[[Any, LeftOut], Sample | None],
        *,
        num_drawn: int = 0,
    ) -> None:
        self.source, self.left_out = source, LeftOut()
        self._rows, self._make, self._num_drawn = rows, make, num_drawn
        self._places = array("q")
        self._columns = self._read_columns()
        if not self._places:
            why = f": {self.left_out}" if self.left_out.counts else ", it has no records"
            raise DataError(f"{source} has nothing that can be used{why}.")
        if self.left_out.counts:
            logger.warning("%s: left out: %s", source, self.left_out)

    def turn_columns(self) -> TurnColumns:
        """See `data.selection.Dialogues`."""
        return self._columns

    def __len__(self) -> int:
        return len(self._places)

    def sample_at(self, index: int) -> Sample:
        """See `SamplesOnAccess`.

        Raises:
            DataError: its file has changed since.
        """
        place = self._places[index]
        try:
            sample = self._make(self._rows[place], LeftOut())
        except BROKEN_ROW as error:
            raise DataError(f"Record {place} of {self.source} has changed since it was opened.") from error
        assert sample is not None, "it was made before"
        return sample

    def _read_columns(self) -> TurnColumns:
        names: dict[str, int] = {}
        tasks, kinds, dialogues, lengths = array("h"), array("h"), array("q"), array("q")
        videos: list[str] = []
        for place, row in enumerate(self._rows):
            sample = self._try_to_make(place, row)
            if sample is None:
                continue
            self._places.append(place)
            same = videos and videos[-1] == sample.video_path
            videos.append(videos[-1] if same else sample.video_path)
            for turn in sample.turns:
                dialogues.append(len(videos) - 1)
                tasks.append(names.setdefault(turn.task, len(names)))
                kinds.append(names.setdefault(turn.kind, len(names)))
                lengths.append(text_length(turn))
        words = np.array([*names, ""], dtype=object)
        return TurnColumns(
            np.array(dialogues, dtype=np.int64),
            words[np.array(tasks, dtype=np.int64)],
            words[np.array(kinds, dtype=np.int64)],
            np.array(lengths, dtype=np.int64),
            videos,
            videos,
            self._num_drawn,
        )

    def _try_to_make(self, place: int, row: Any) -> Sample | None:
        try:
            return self._make(row, self.left_out)
        except (*BROKEN_ROW, DataError, MediaError) as error:
            what = f"{type(error).__name__} {error}" if isinstance(error, BROKEN_ROW) else str(error)
            self.left_out.add("record-form", f"record {place}, {what}")
            return None
