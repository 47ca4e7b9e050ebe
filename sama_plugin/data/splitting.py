"""Splits records by video into parts that are alike in sources and tasks."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.data.record_facts import RecordFacts
from sama_plugin.errors import DataError

Cell = tuple[str, str]
"""Source and task."""

PART_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
REST = "rest"


class Part(NamedTuple):
    """A part to make.

    Attributes:
        name: of its folder.
        size: a share of the videos, above 0 and below 1; or a number of them, 1 or more; None takes what is left.
    """

    name: str
    size: float | None


def read_parts(texts: Sequence[str]) -> list[Part]:
    """Parts of `NAME=SIZE` texts, such as `train=0.9`, `test=200`, `train=rest`.

    Raises:
        DataError: not of this form, a name that comes twice, more than one `rest`, fewer than two parts.
    """
    parts = []
    for text in texts:
        name, _, size = text.partition("=")
        if not PART_NAME.fullmatch(name):
            raise DataError(f"Part '{text}' has no name for a folder, expected such as train=0.9.")
        parts.append(Part(name, None if size == REST else _read_size(text, size)))
    names = Counter(part.name for part in parts)
    if len(parts) < 2 or max(names.values()) > 1:
        raise DataError(
            f"Parts are {', '.join(texts) or 'none'}, expected two or more with names of their own."
        )
    if sum(part.size is None for part in parts) > 1:
        raise DataError(f"Parts are {', '.join(texts)}, expected one 'rest' at most.")
    return parts


def _read_size(text: str, size: str) -> float:
    try:
        value = float(size)
    except ValueError:
        value = math.nan
    if not (0 < value < 1 or (value >= 1 and value == int(value))):
        raise DataError(
            f"Part '{text}' has size '{size}', expected a share such as 0.1, a whole number of videos, or {REST}."
        )
    return value


def part_sizes(parts: Sequence[Part], num_videos: int) -> list[int]:
    """How many videos each part gets; shares are of all videos, rounded so that the sum is right.

    Raises:
        DataError: shares and numbers do not come to all videos, or a part would be empty.
    """
    exact = [0.0 if part.size is None else part.size * (num_videos if part.size < 1 else 1) for part in parts]
    left = num_videos - sum(exact)
    has_rest = any(part.size is None for part in parts)
    if left < -1e-6 or (left > 1e-6 and not has_rest):
        raise DataError(
            f"Parts come to {sum(exact):g} of {num_videos} videos, expected all; let one part be {REST}."
        )
    exact = [left if part.size is None else size for part, size in zip(parts, exact, strict=True)]
    sizes = [math.floor(size + 1e-6) for size in exact]
    by_remainder = sorted(range(len(parts)), key=lambda k: sizes[k] - exact[k])
    for k in by_remainder[: num_videos - sum(sizes)]:
        sizes[k] += 1
    if empty := [part.name for part, size in zip(parts, sizes, strict=True) if size < 1]:
        raise DataError(f"Part {', '.join(empty)} would get none of {num_videos} videos; give it more.")
    return sizes


def split_videos(rows: Iterable[RecordFacts], parts: Sequence[Part], seed: int) -> dict[str, str]:
    """Give each video to one part, so that every part has its share of the turns of each source and task.

    The rarest cell of source and task comes first: its videos go, in an order drawn by the seed, each to the part that
    still needs most of that cell and is not full; then the next rarest, and so on.

    Args:
        rows: of the records.
        parts: to make; each gets exactly its number of videos.
        seed: of the order; the same seed gives the same parts.

    Returns:
        Video → name of its part.

    Raises:
        DataError: see `part_sizes`.

    Source: iterative stratification (Sechidis et al. 2011). Differs: cells count turns, and sizes are exact.
    """
    content = _content_of_videos(rows)
    room = part_sizes(parts, len(content))
    shares = [size / max(len(content), 1) for size in room]
    whole: Counter[Cell] = Counter()
    for cells in content.values():
        whole.update(cells)
    needs = [{cell: share * count for cell, count in whole.items()} for share in shares]
    names = sorted(content)
    waiting = dict.fromkeys(names[k] for k in np.random.default_rng(seed).permutation(len(names)))
    given: dict[str, str] = {}
    while waiting:
        rarest, videos = _rarest_cell(waiting, content)
        for video in videos:
            best = _neediest_part([need[rarest] for need in needs], room)
            given[video] = parts[best].name
            room[best] -= 1
            for cell, count in content[video].items():
                needs[best][cell] -= count
            del waiting[video]
    return given


def _neediest_part(needs: Sequence[float], room: Sequence[int]) -> int:
    """Of the parts that are not full, the one that needs most, then that has most room, then the first."""
    return max((k for k, left in enumerate(room) if left), key=lambda k: (needs[k], room[k], -k))


def _content_of_videos(rows: Iterable[RecordFacts]) -> dict[str, Counter[Cell]]:
    content: dict[str, Counter[Cell]] = {}
    for row in rows:
        cells = content.setdefault(row.video, Counter())
        for task, count in row.tasks.items():
            cells[row.source, task] += count
    return content


def _rarest_cell(waiting: Iterable[str], content: Mapping[str, Mapping[Cell, int]]) -> tuple[Cell, list[str]]:
    """The cell which the fewest of the waiting videos have, and these in their order."""
    holders: dict[Cell, list[str]] = {}
    for video in waiting:
        for cell in content[video]:
            holders.setdefault(cell, []).append(video)
    return min(holders.items(), key=lambda item: (len(item[1]), item[0]))
