"""Which questions of which dialogues of a source are learned, and which together: by columns, read on access.

A source may be a list in memory or an index on disk; the choice, its order and its results are the same.
"""

from __future__ import annotations

import abc
import bisect
import dataclasses
import itertools
from collections import ChainMap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np

from sama_plugin.schema import Rle, Sample, Turn


@dataclass(frozen=True)
class TurnColumns:
    """What is known of every turn of some dialogues without reading them; rows in the order of dialogues and turns.

    Attributes:
        dialogue: (n,) int64; which of the dialogues each turn belongs to.
        task: (n,) object; str.
        kind: (n,) object; str.
        length: (n,) int64; characters of question and answer.
        clips: one per dialogue; equal where two are about the same frames.
        videos: one per dialogue; path of its video, frame folder or picture, empty where it has none.
        num_drawn: of each dialogue's turns, see `Sample`.
    """

    dialogue: np.ndarray
    task: np.ndarray
    kind: np.ndarray
    length: np.ndarray
    clips: Sequence[Any]
    videos: Sequence[str]
    num_drawn: int = 0

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[tuple[int, str, str, int]],
        clips: Sequence[Any],
        videos: Sequence[str],
        num_drawn: int = 0,
    ) -> TurnColumns:
        """Columns of (dialogue, task, kind, length) rows."""
        dialogue, task, kind, length = list(zip(*rows, strict=True)) or ((), (), (), ())
        return cls(
            np.array(dialogue, dtype=np.int64),
            np.array(task, dtype=object),
            np.array(kind, dtype=object),
            np.array(length, dtype=np.int64),
            clips,
            videos,
            num_drawn,
        )


@runtime_checkable
class Dialogues(Protocol):
    """A sequence of samples that knows its columns without reading them."""

    def turn_columns(self) -> TurnColumns:
        """Of all its dialogues."""


def text_length(turn: Turn) -> int:
    """Characters of a turn: all that sets the lengths of sequences of one model apart."""
    return len(turn.question) + len(turn.answer)


def columns_of(samples: Sequence[Sample]) -> TurnColumns:
    """Columns of any sequence of samples; one that does not know them is read once."""
    if isinstance(samples, Dialogues):
        return samples.turn_columns()
    held = list(samples)
    rows = (
        (i, turn.task, turn.kind, text_length(turn)) for i, sample in enumerate(held) for turn in sample.turns
    )
    clips = [sample.clip_key for sample in held]
    return TurnColumns.of_rows(rows, clips, [sample.video_path for sample in held])


class SamplesOnAccess(Sequence[Sample], abc.ABC):
    """Samples that are made when they are asked for; equal to any sequence of the same ones."""

    @abc.abstractmethod
    def sample_at(self, index: int) -> Sample:
        """The sample at an index from 0."""

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        places = range(len(self))[index]
        return self.sample_at(places) if isinstance(places, int) else [self.sample_at(i) for i in places]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class Chain(SamplesOnAccess):
    """Several sequences of samples, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Sample]]) -> None:
        self._parts = parts
        self._ends = list(itertools.accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def sample_at(self, index: int) -> Sample:
        """See `SamplesOnAccess`."""
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - self._ends[part]]  # counted from its end


class Selection(SamplesOnAccess):
    """The examples that a source gives to an epoch.

    Args:
        dialogues: of the source.
        kinds: kinds of question that are kept, the rest of a dialogue is left out; empty keeps all.
        tasks: likewise, by task.
        merge: so many neighbouring dialogues about the same frames become one example.
        repeat: how often the whole is gone through.

    Attributes:
        tasks: of each example: that of its first turn.
        lengths: of each example: characters of its dialogue, of turns that are drawn on average.
        paths: of each example: its video, frame folder or picture, empty where it has none.
        videos: paths of all that its examples are about.
    """

    def __init__(
        self,
        dialogues: Sequence[Sample],
        *,
        kinds: Sequence[str] = (),
        tasks: Sequence[str] = (),
        merge: int = 1,
        repeat: int = 1,
    ) -> None:
        self._dialogues, self._kinds, self._tasks = dialogues, frozenset(kinds), frozenset(tasks)
        columns = columns_of(dialogues)
        is_kept = _is_among(columns.kind, self._kinds) & _is_among(columns.task, self._tasks)
        owners, lengths = columns.dialogue[is_kept], columns.length[is_kept]
        self._members, first_rows, positions = np.unique(owners, return_index=True, return_inverse=True)
        self._starts = _group_starts([columns.clips[i] for i in self._members], merge)
        self.videos = frozenset(columns.videos[i] for i in self._members) - {""}
        sums = np.bincount(positions, weights=lengths, minlength=len(self._members))
        if columns.num_drawn:
            sums *= np.minimum(1, columns.num_drawn / np.bincount(positions, minlength=len(sums)))
        first_tasks = columns.task[is_kept][first_rows]
        begins = self._starts[:-1]
        self.tasks: list[str] = [*first_tasks[begins]] * repeat
        rounded = sums.astype(np.int64)
        self.lengths: list[int] = (np.add.reduceat(rounded, begins).tolist() if len(begins) else []) * repeat
        self.paths: list[str] = [columns.videos[i] for i in self._members[begins]] * repeat

    def __len__(self) -> int:
        return len(self.tasks)

    def sample_at(self, index: int) -> Sample:
        """See `SamplesOnAccess`."""
        group = index % (len(self._starts) - 1)
        members = self._members[self._starts[group] : self._starts[group + 1]]
        return _merged([self._kept(self._dialogues[int(member)]) for member in members])

    def _kept(self, sample: Sample) -> Sample:
        turns = tuple(
            turn
            for turn in sample.turns
            if (not self._kinds or turn.kind in self._kinds) and (not self._tasks or turn.task in self._tasks)
        )
        return sample if turns == sample.turns else dataclasses.replace(sample, turns=turns)


def tasks_of(samples: Sequence[Sample]) -> list[str]:
    """Task of each example: that of its first turn."""
    return samples.tasks if isinstance(samples, Selection) else [sample.turns[0].task for sample in samples]


def paths_of(samples: Sequence[Sample]) -> list[str]:
    """Path of each example's video, frame folder or picture, empty where it has none."""
    return samples.paths if isinstance(samples, Selection) else [sample.video_path for sample in samples]


def lengths_of(samples: Sequence[Sample]) -> list[int]:
    """Characters of each example's dialogue."""
    if isinstance(samples, Selection):
        return samples.lengths
    return [sum(map(text_length, sample.turns)) for sample in samples]


def _is_among(column: np.ndarray, wanted: frozenset[str]) -> np.ndarray:
    """(n,) bool; all True where nothing particular is wanted."""
    if not wanted:
        return np.ones(len(column), dtype=bool)
    return np.fromiter((value in wanted for value in column), dtype=bool, count=len(column))


def _group_starts(clips: Sequence[Any], size: int) -> np.ndarray:
    """(groups + 1,) int64; where each run of equal clips, at most `size` long, begins, and the end."""
    starts: list[int] = []
    for i, clip in enumerate(clips):
        if not starts or clip != clips[starts[-1]] or i - starts[-1] == size:
            starts.append(i)
    return np.array([*starts, len(clips)], dtype=np.int64)


def _merged(group: list[Sample]) -> Sample:
    """One sample of neighbours about the same frames."""
    if len(group) == 1:
        return group[0]
    turns = tuple(turn for sample in group for turn in sample.turns)
    tracks: Any = [sample.masks for sample in group]  # only read, maybe on access; `ChainMap` asks for more
    masks: ChainMap[str, list[Rle | None]] = ChainMap(*tracks)
    return dataclasses.replace(group[0], turns=turns, masks=masks)
