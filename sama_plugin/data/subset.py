"""Chooses records so that tasks, sources and lengths keep their caps and shares, by one stated strategy.

Everything is counted in turns. A record has turns in several cells: its source, its length, and each of its tasks.

1. Every cell gets a limit. A cap is one. Shares of a dimension are limits too: together they allow as many turns as the
   scarcest of them can fill, so that a cell with a share of 0.3 is at most 0.3 of what is allowed; what has no share of
   its own has the rest in common.
2. Records are taken in an order: first those with turns in the cell that has least to choose from, so that what is
   scarce is in before what is plentiful fills other cells; of equal ones those with the rarest task, then as the seed
   draws.
3. A record is kept if all its cells have room for its turns, else dropped; the fullest cell is the reason.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sama_plugin.data.record_facts import RecordFacts
from sama_plugin.errors import DataError

DIMENSIONS = ("task", "source", "length")
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
    taken: Counter[Cell] = Counter()
    kept: list[int] = []
    dropped: dict[int, Dropped] = {}
    for place in _order(content, available, limits, seed):
        cells = content[place]
        room = {cell: limits[cell] - taken[cell] for cell in cells if cell in limits}
        if full := [cell for cell, left in room.items() if cells[cell] > left]:
            worst = min((room[cell], cell) for cell in full)[1]
            dropped[place] = Dropped(rows[place], worst, cells[worst], taken[worst])
        else:
            kept.append(place)
            taken.update(cells)
    return Subset(
        [rows[place] for place in sorted(kept)],
        [dropped[place] for place in sorted(dropped)],
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


def _order(
    content: Sequence[Mapping[Cell, int]],
    available: Mapping[Cell, int],
    limits: Mapping[Cell, int],
    seed: int,
) -> list[int]:
    """Places of records in the order in which they are taken."""
    plenty = {cell: available[cell] / max(limit, 1) for cell, limit in limits.items()}

    def scarcity(place: int) -> tuple[float, int]:
        cells = content[place]
        rarest_task = min(available[cell] for cell in cells if cell[0] == "task")
        return min((plenty[cell] for cell in cells if cell in plenty), default=0.0), rarest_task

    return sorted(np.random.default_rng(seed).permutation(len(content)).tolist(), key=scarcity)
