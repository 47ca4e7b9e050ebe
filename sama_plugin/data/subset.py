"""Chooses records so that tasks, sources and lengths keep their caps and shares, by one stated strategy.

Everything is counted in turns. A record has turns in several cells: its source, its length, and each of its tasks.

1. Every cell gets a limit. A cap is one. Shares of a dimension are limits too: together they allow as many turns as the
   scarcest of them can fill, so that a cell with a share of 0.3 is at most 0.3 of what is allowed; what has no share of
   its own has the rest in common.
2. Records are taken one by one: next always the one whose turns are in the cells that are furthest from their limits,
   in proportion, on average; of equal ones that with the rarest task, then as the seed draws.
3. A record is dropped as soon as one of its cells has no room for its turns; the fullest cell is the reason.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sama_plugin.data.record_facts import RecordFacts
from sama_plugin.errors import DataError

OTHERS = "(others)"
"""Cells of a dimension that have no share of their own, together."""

ALL = ("all", "")
LENGTH_EDGES = (25, 50, 100, 200)
"""Words of a record at which a new length begins."""

Cell = tuple[str, str]
"""Dimension and name, such as `("task", "referring")`."""


@dataclass(frozen=True)
class Wishes:
    """What a subset should be like.

    Attributes:
        caps: cell → turns at most.
        shares: cell → its share of what is kept, at most; 0 to 1.
        even: dimensions whose cells all get the same share.
        total: turns at most; None leaves it open.
        length_edges: words at which a new length begins, rising.
    """

    caps: Mapping[Cell, int] = field(default_factory=dict)
    shares: Mapping[Cell, float] = field(default_factory=dict)
    even: Sequence[str] = ()
    total: int | None = None
    length_edges: Sequence[int] = LENGTH_EDGES

    def __post_init__(self) -> None:
        if list(self.length_edges) != sorted({edge for edge in self.length_edges if edge > 0}):
            raise DataError(
                f"Lengths begin at {list(self.length_edges)} words, expected rising numbers above 0."
            )
        for cell, share in self.shares.items():
            if not 0 <= share <= 1:
                raise DataError(f"Share of {' '.join(cell)} is {share}, expected 0 to 1.")
            if cell[0] in self.even:
                raise DataError(f"Shares of {cell[0]} are even and also given; leave one of the two out.")
        for cell, cap in (*self.caps.items(), *([(ALL, self.total)] if self.total is not None else [])):
            if cap < 0:
                raise DataError(f"Cap of {' '.join(cell).strip()} is {cap}, expected 0 or more.")


class Dropped(NamedTuple):
    """A record that is not kept, and why.

    Attributes:
        row: the record.
        cell: that had no room for it.
        has: turns of the record in the cell.
        kept: turns that the cell had by then.
    """

    row: RecordFacts
    cell: Cell
    has: int
    kept: int


@dataclass
class Subset:
    """What was chosen.

    Attributes:
        kept: in the order of the records.
        dropped: likewise.
        available: cell → turns of all records.
        limits: cell → turns at most; cells without one are left out.
        taken: cell → turns of the kept records.
    """

    kept: list[RecordFacts]
    dropped: list[Dropped]
    available: Counter[Cell]
    limits: dict[Cell, int]
    taken: Counter[Cell]


def choose_subset(rows: Sequence[RecordFacts], wishes: Wishes, seed: int) -> Subset:
    """Choose records; see the head of this file for how.

    Args:
        rows: to choose from.
        wishes: caps and shares.
        seed: of the order among equals; the same seed chooses the same records.

    Raises:
        DataError: a cap or share for a cell that there is not, or shares that do not fit together.
    """
    named = {cell for cell in wishes.shares if cell[0] not in wishes.even}
    content = [_cells_of(row, wishes.length_edges, named) for row in rows]
    available: Counter[Cell] = Counter()
    for cells in content:
        available.update(cells)
    limits = _find_limits(available, wishes)
    kept, dropped, taken = _take_in_turn(content, available, limits, seed)
    return Subset(
        [rows[place] for place in sorted(kept)],
        [Dropped(rows[place], *dropped[place]) for place in sorted(dropped)],
        available,
        limits,
        taken,
    )


def length_name(words: int, edges: Sequence[int]) -> str:
    """The length that a number of words belongs to, such as `25-49`."""
    place = bisect.bisect_right(edges, words)
    first = edges[place - 1] if place else 0
    return f"{first}-{edges[place] - 1}" if place < len(edges) else f"{first}+"


def _cells_of(row: RecordFacts, edges: Sequence[int], named: Iterable[Cell]) -> dict[Cell, int]:
    """Turns of a record in each of its cells."""
    turns = row.num_turns
    cells = {("task", task): count for task, count in row.tasks.items()}
    cells |= {("source", row.source): turns, ("length", length_name(row.words, edges)): turns}
    for dimension in {cell[0] for cell in named}:
        others = sum(count for cell, count in cells.items() if cell[0] == dimension and cell not in named)
        if others:
            cells[dimension, OTHERS] = others
    return {**cells, ALL: turns}


def _find_limits(available: Mapping[Cell, int], wishes: Wishes) -> dict[Cell, int]:
    for cell in (*wishes.caps, *wishes.shares):
        if cell not in available:
            have = ", ".join(
                name for dimension, name in sorted(available) if dimension == cell[0] and name != OTHERS
            )
            raise DataError(f"There is no {cell[0]} '{cell[1]}', there is {have or 'nothing'}.")
    shares = _all_shares(available, wishes)
    allowed = available.get(ALL, 0) if wishes.total is None else wishes.total
    fillable = [available[cell] / share for cell, share in shares.items() if share > 0]
    whole = min([allowed, *fillable])
    limits = {cell: int(share * whole + 1e-9) for cell, share in shares.items()}
    if wishes.total is not None or shares:
        limits[ALL] = int(whole)
    for cell, cap in wishes.caps.items():
        limits[cell] = min(cap, limits.get(cell, cap))
    return limits


def _all_shares(available: Mapping[Cell, int], wishes: Wishes) -> dict[Cell, float]:
    """Share of every cell that has one, those of the others of a dimension and of even dimensions filled in."""
    shares = dict(wishes.shares)
    for dimension in dict.fromkeys(cell[0] for cell in wishes.shares):
        left = 1 - sum(share for cell, share in wishes.shares.items() if cell[0] == dimension)
        others = (dimension, OTHERS)
        if left < -1e-6 or (left > 1e-6 and others not in available):
            raise DataError(
                f"Shares of {dimension} come to {1 - left:g}, expected "
                + ("at most 1." if left < 0 else f"1, as every {dimension} has one.")
            )
        if others in available:
            shares[others] = max(left, 0.0)
    for dimension in wishes.even:
        cells = [cell for cell in available if cell[0] == dimension]
        shares |= {cell: 1 / len(cells) for cell in cells}
    return shares


Reason = tuple[Cell, int, int]
"""A full cell, turns of the record in it, and turns that it had by then."""


def _take_in_turn(
    content: Sequence[Mapping[Cell, int]],
    available: Mapping[Cell, int],
    limits: Mapping[Cell, int],
    seed: int,
) -> tuple[list[int], dict[int, Reason], Counter[Cell]]:
    """Places of the records that are kept, the others with their reasons, and the turns of each cell."""
    waiting = _Waiting(_group_alike(content, available, seed), content, limits)
    kept: list[int] = []
    dropped: dict[int, Reason] = {}
    taken: Counter[Cell] = Counter()
    while True:
        dropped.update(waiting.drop_full())
        if not waiting.is_open.any():
            return kept, dropped, taken
        kept.append(waiting.take())
        taken.update(content[kept[-1]])


class _Waiting:
    """Records that are neither kept nor dropped yet, in groups of equal ones.

    Args:
        groups: places of records; of equally good groups the first is taken.
        content: turns of each record by cell.
        limits: of cells.

    Attributes:
        is_open: (G,) bool; whether a group has records left.
    """

    def __init__(
        self, groups: list[list[int]], content: Sequence[Mapping[Cell, int]], limits: Mapping[Cell, int]
    ) -> None:
        self.groups, self.cells = groups, list(limits)
        rows = [[content[members[0]].get(cell, 0) for cell in self.cells] for members in groups]
        self.turns = np.array(rows, dtype=np.int64).reshape(len(groups), len(self.cells))  # (G, C)
        counted = self.turns.sum(axis=1, keepdims=True)
        self._parts = self.turns / np.maximum(counted, 1)
        self._bonus = (counted[:, 0] == 0).astype(float)  # nothing limits these
        self.limits = np.array(list(limits.values()), dtype=np.int64)
        self.room = self.limits.copy()
        self.is_open = np.ones(len(groups), dtype=bool)

    def take(self) -> int:
        """The place of the record whose turns are in the emptiest cells on average; it waits no longer."""
        scores = self._parts @ (self.room / np.maximum(self.limits, 1)) + self._bonus
        best = int(np.where(self.is_open, scores.round(9), -1.0).argmax())
        self.room -= self.turns[best]
        place = self.groups[best].pop()
        self.is_open[best] = bool(self.groups[best])
        return place

    def drop_full(self) -> Iterator[tuple[int, Reason]]:
        """Places of the records for which there is no room any more, each with the reason; they wait no longer."""
        for group in np.flatnonzero(self.is_open & (self.turns > self.room).any(axis=1)):
            lacking = np.where(self.turns[group] > self.room, self.room, np.iinfo(np.int64).max)
            cell = int(lacking.argmin())
            reason = (self.cells[cell], int(self.turns[group, cell]), int((self.limits - self.room)[cell]))
            yield from ((place, reason) for place in self.groups[group])
            self.is_open[group] = False


def _group_alike(
    content: Sequence[Mapping[Cell, int]], available: Mapping[Cell, int], seed: int
) -> list[list[int]]:
    """Places of records with the same turns in the same cells; those with the rarest task first, else as drawn."""
    groups: dict[frozenset[tuple[Cell, int]], list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(content)).tolist():
        groups.setdefault(frozenset(content[place].items()), []).append(place)

    def rarity(members: list[int]) -> int:
        return min(available[cell] for cell in content[members[0]] if cell[0] == "task")

    return sorted(groups.values(), key=rarity)
