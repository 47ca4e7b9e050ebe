"""The table of the paper: models in rows, SAMA-Bench and the referring benchmarks in columns, from results files.

Numbers are printed in percent. A cell that has none is `-` with a note that says why. `overall` is the mean of the same
metric over referring, grounding and multi-turn, as far as they have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sama_plugin.errors import DataError
from sama_plugin.evaluation.results import Results, read_results
from sama_plugin.evaluation.scoring import RESULTS_FILE

OVERALL = "overall"
TEXT = ("METEOR", "CIDEr", "CLAIR")
MASKS = ("mIoU", "recall")


class Column(NamedTuple):
    """Where the numbers of a column come from.

    Attributes:
        title: over the column.
        benchmark: whose results.
        metric: of them.
    """

    title: str
    benchmark: str
    metric: str


SECTIONS: dict[str, tuple[Column, ...]] = {
    "referring (SAMA-Bench-C)": tuple(Column(name, "sama-bench-c", name) for name in TEXT),
    "grounding (SAMA-Bench-G)": tuple(Column(name, "sama-bench-g", name) for name in (*MASKS, *TEXT)),
    "multi-turn (SAMA-Bench as dialogues)": tuple(
        Column(name, "sama-bench-dialogue", name) for name in (*MASKS, *TEXT)
    ),
    "referring segmentation of videos, J&F": (
        Column("MeViS", "mevis", "J&F"),
        Column("Ref-YT-VOS", "ref-youtube-vos", "J&F"),
        Column("Ref-DAVIS17", "ref-davis17", "J&F"),
        Column("ReVOS", "revos", "J&F"),
    ),
    "pictures, descriptions, questions": (
        Column("RefCOCO cIoU", "refcoco", "cIoU"),
        Column("RefCOCO+ cIoU", "refcoco+", "cIoU"),
        Column("RefCOCOg cIoU", "refcocog", "cIoU"),
        Column("GCG mIoU", "gcg", "mIoU"),
        Column("VideoRefer-D", "videorefer-bench-d", "average"),
        Column("VideoRefer-Q", "videorefer-bench-q", "accuracy"),
    ),
    "moving shapes": (
        Column("J&F", "shapes", "J&F"),
        Column("referring", "shapes", "referring_accuracy"),
        Column("multi-turn", "shapes", "multi_turn_accuracy"),
        Column("no target", "shapes", "no_target_accuracy"),
    ),
}
"""Title → columns; a section of which no model has a number is left out."""

CHAT = tuple(SECTIONS)[:3]
"""Sections that `overall` is the mean of."""

SERVED = {"ref-youtube-vos": "its server scores it: `sama eval submit ref-youtube-vos`"}


class ModelResults(NamedTuple):
    """A row.

    Attributes:
        name: of the model or baseline.
        results: benchmark → its numbers.
    """

    name: str
    results: dict[str, Results]


@dataclass
class _Notes:
    """Reasons of empty cells, numbered from 1."""

    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, reason: str) -> str:
        """An empty cell."""
        return f"- [{self.numbers.setdefault(reason, len(self.numbers) + 1)}]"


def read_model(text: str) -> ModelResults:
    """All results below a folder as those of one model.

    Args:
        text: `DIR` or `NAME=DIR`; without a name it is the folder's.

    Raises:
        DataError: no results there, or two of the same benchmark.
    """
    name, equals, place = text.rpartition("=")
    folder = Path(place if equals else text)
    files = sorted(folder.rglob(RESULTS_FILE))
    if not files:
        raise DataError(f"There is no {RESULTS_FILE} in {folder} or below; make some with `sama eval BENCH`.")
    found: dict[str, Results] = {}
    for path in files:
        results = read_results(path)
        if results.benchmark in found:
            raise DataError(
                f"{folder} has two results of '{results.benchmark}', the second is {path}; name a folder per model."
            )
        found[results.benchmark] = results
    return ModelResults(name or folder.resolve().name, found)


def format_paper_table(models: Sequence[ModelResults]) -> str:
    """A table in Markdown for each section, and the reasons of empty cells.

    Args:
        models: one or more rows.

    Raises:
        DataError: two rows of one name.
    """
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        raise DataError(f"Two rows are called the same, of {', '.join(names)}; name them NAME=DIR.")
    notes = _Notes()
    parts = []
    if any(column.benchmark in m.results for m in models for title in CHAT for column in SECTIONS[title]):
        rows = [[_overall(model, metric, notes) for metric in (*MASKS, *TEXT)] for model in models]
        parts.append(_format_section(OVERALL, (*MASKS, *TEXT), names, rows))
    for title, columns in SECTIONS.items():
        if not any(column.benchmark in model.results for model in models for column in columns):
            continue
        rows = [[_cell(model, column, notes) for column in columns] for model in models]
        parts.append(_format_section(title, [column.title for column in columns], names, rows))
    if not parts:
        raise DataError("None of the results is of a benchmark of the table.")
    reasons = [f"[{number}] {reason}" for reason, number in notes.numbers.items()]
    return "\n\n".join(["\n\n".join(parts), "\n".join(reasons)] if reasons else parts)


def _cell(model: ModelResults, column: Column, notes: _Notes) -> str:
    results = model.results.get(column.benchmark)
    if results is None:
        return notes.mark(SERVED.get(column.benchmark, f"no results of {column.benchmark}"))
    value = results.metrics.get(column.metric)
    if value is None:
        return notes.mark(results.absent.get(column.metric, "no case that it could be measured on"))
    return f"{100 * value:.1f}"


def _overall(model: ModelResults, metric: str, notes: _Notes) -> str:
    columns = [column for title in CHAT for column in SECTIONS[title] if column.metric == metric]
    values = [
        results.metrics.get(metric)
        for column in columns
        if (results := model.results.get(column.benchmark)) is not None
    ]
    if len(values) < len(columns):
        missing = [column.benchmark for column in columns if column.benchmark not in model.results]
        return notes.mark(f"no results of {', '.join(missing)}")
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return notes.mark("it is absent in one of the three parts, see there")
    return f"{100 * sum(numbers) / len(numbers):.1f}"


def _format_section(
    title: str, columns: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    table = [("", *columns), *((name, *row) for name, row in zip(names, rows, strict=True))]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for name, *cells in table:
        padded = [name.ljust(widths[0])] + [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(padded)} |")
    rule = f"|{'-' * (widths[0] + 2)}|" + "".join("-" * (w + 1) + ":|" for w in widths[1:])
    return "\n".join([f"**{title}**", "", lines[0], rule, *lines[1:]])
