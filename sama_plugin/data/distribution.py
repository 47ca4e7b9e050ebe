"""How often each value came: exact, and as small as the number of different values, however many come."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from typing import Any, NamedTuple

QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}
NICE_STEPS = (1, 2, 5)


class Bins(NamedTuple):
    """Columns of a histogram: bin k goes from `edges[k]` on, up to `edges[k + 1]`; the last one has no end.

    Attributes:
        edges: lower ends, rising.
        labels: one per bin.
    """

    edges: list[float]
    labels: list[str]


class Distribution:
    """Values and how often each came.

    Args:
        digits: values are rounded to so many after the point, which bounds how many different ones there can be.
    """

    def __init__(self, digits: int = 0) -> None:
        self.digits = digits
        self.counts: Counter[float] = Counter()

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[round(value, self.digits or None)] += 1

    def add_all(self, other: Distribution) -> None:
        """Count the values of another distribution too."""
        self.counts.update(other.counts)

    def summary(self) -> dict[str, Any]:
        """`num`, `mean`, `min`, the `QUANTILES` (each a value that came) and `max`; only `num` where none came."""
        total = len(self)
        if not total:
            return {"num": 0}
        values = sorted(self.counts)
        mean = math.fsum(value * count for value, count in self.counts.items()) / total
        cumulated, reached = [], 0
        for value in values:
            reached += self.counts[value]
            cumulated.append(reached)
        quantiles = {
            name: values[bisect.bisect_left(cumulated, share * total)] for name, share in QUANTILES.items()
        }
        return {"num": total, "mean": mean, "min": values[0], **quantiles, "max": values[-1]}

    def histogram(self, bins: Bins) -> list[int]:
        """How many values each bin holds; the first also holds what lies below it."""
        heights = [0] * len(bins.edges)
        for value, count in self.counts.items():
            heights[max(bisect.bisect_right(bins.edges, value) - 1, 0)] += count
        return heights


def whole_bins(distribution: Distribution, most: int = 24) -> Bins:
    """Bins for whole numbers, equally wide, that show nearly all of them; what is far out goes into the last one.

    Args:
        distribution: of whole numbers.
        most: bins at most.
    """
    if not len(distribution):
        return Bins([0], ["0"])
    low, high = min(distribution.counts), max(distribution.counts)
    top = min(high, max(4 * distribution.summary()["p95"], low + most - 1))
    step = nice_step((top - low + 1) / most)
    first = int(low // step * step)
    edges = [float(edge) for edge in range(first, int(top) + 1, step)][:most]
    labels = [f"{edge:.0f}" for edge in edges]
    if high >= edges[-1] + step:
        labels[-1] += "+"
    return Bins(edges, labels)


def nice_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... that is not less."""
    power = 1
    while True:
        for step in NICE_STEPS:
            if step * power >= least:
                return step * power
        power *= 10
