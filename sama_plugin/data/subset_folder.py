"""A balanced subset on disk, and what was kept and why: as text, as JSON values (`sama.balance/1`), as a page.

out/records.json, ...    the kept records in the published form, see `data.export`
out/balance.html         the report to look at
out/balance.json         wishes, cells, and every dropped record with its reason; written last
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from sama_plugin.data.bar_chart import CHART_STYLE, draw_legend, draw_rows
from sama_plugin.data.corpus import Corpus
from sama_plugin.data.export import Exported, export_corpus, export_targets
from sama_plugin.data.kept_inputs import check_inputs_kept
from sama_plugin.data.record_facts import CorpusFacts, gather_facts
from sama_plugin.data.report_page import align_table, format_page, format_table
from sama_plugin.data.subset import ALL, Cell, Dropped, Subset, Wishes, choose_subset
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError

SCHEMA = "sama.balance/1"
REPORT, PAGE = "balance.json", "balance.html"
HEADS = ("dimension", "cell", "turns", "at most", "kept", "dropped", "share before", "share after")
LEADING_NUMBER = re.compile(r"\d+")
REASON_HEADS = ("full cell", "at most", "records it kept out")


def write_subset(
    corpus: Corpus, out: Path, wishes: Wishes, seed: int, *, progress: bool = True
) -> tuple[Subset, CorpusFacts, Exported]:
    """Choose records of a corpus and write them with a report.

    Args:
        corpus: to choose from; records of which defects leave nothing are not kept.
        out: folder, made if missing; files in it are replaced.
        wishes: caps and shares.
        seed: of the order among equals.
        progress: whether to show bars.

    Raises:
        DataError: wishes that do not fit the corpus, or that no record fits; a file that the corpus is read from would
            be written over.
    """
    check_inputs_kept(corpus.files(), [*export_targets(out), out / PAGE, out / REPORT])
    facts = gather_facts(corpus, progress=progress)
    subset = choose_subset(facts.rows, wishes, seed)
    if subset.dropped and not subset.kept:
        reasons = "; ".join(f"{name} of at most {limit}" for name, limit, _ in _reason_rows(subset))
        raise DataError(
            f"No record fits: each has more turns than there is room for in {reasons}; allow more."
        )
    indices = [row.record for row in subset.kept]
    exported = export_corpus(corpus, out, indices=indices, progress=progress)
    write_text(out / PAGE, [format_subset_page(corpus.name, subset)])
    values = subset_values(corpus.name, subset, facts, wishes, seed)
    write_text(out / REPORT, [json.dumps(values, indent=1), "\n"])
    return subset, facts, exported


def subset_values(name: str, subset: Subset, facts: CorpusFacts, wishes: Wishes, seed: int) -> dict[str, Any]:
    """The report as plain values, every dropped record in it."""
    return {
        "schema": SCHEMA,
        "corpus": name,
        "seed": seed,
        "wishes": {
            "caps": {_name(cell): cap for cell, cap in wishes.caps.items()},
            "shares": {_name(cell): share for cell, share in wishes.shares.items()},
            "even": list(wishes.even),
            "total": wishes.total,
            "length_edges": list(wishes.length_edges),
        },
        "cells": [
            {
                "dimension": cell[0],
                "name": cell[1],
                "turns": count,
                "limit": subset.limits.get(cell),
                "kept": subset.taken[cell],
            }
            for cell, count in _sorted_cells(subset)
        ],
        "kept": [row.record for row in subset.kept],
        "dropped": [
            {"record": one.row.record, "video": one.row.video, "reason": _reason(one, subset)}
            for one in subset.dropped
        ],
        "unusable": {str(record): codes for record, codes in facts.unusable.items()},
    }


def format_subset(subset: Subset) -> str:
    """Cells before and after, and how many records each full cell kept out, for a terminal."""
    lines = [_verdict(subset), "", *align_table(HEADS, _cell_rows(subset))]
    if subset.dropped:
        lines += ["", *align_table(REASON_HEADS, _reason_rows(subset))]
    return "\n".join(lines)


def format_subset_page(name: str, subset: Subset) -> str:
    """The report as a page; nothing beside it."""
    body = [f"<h1>Balance of {escape(name)}</h1>", f"<p>{escape(_verdict(subset))}</p>"]
    body.append(draw_legend(["kept", "dropped"]))
    for dimension in dict.fromkeys(cell[0] for cell, _ in _sorted_cells(subset) if cell != ALL):
        cells = [cell for cell, _ in _sorted_cells(subset) if cell[0] == dimension]
        series = {
            "kept": [subset.taken[cell] for cell in cells],
            "dropped": [subset.available[cell] - subset.taken[cell] for cell in cells],
        }
        picture = draw_rows([cell[1] for cell in cells], series, title=f"Turns by {dimension}")
        body.append(f'<h2>Turns by {escape(dimension)}</h2><div class="rows">{picture}</div>')
    body += ["<h2>Cells</h2>", format_table(HEADS, _cell_rows(subset))]
    if subset.dropped:
        body += ["<h2>Why records were dropped</h2>", format_table(REASON_HEADS, _reason_rows(subset))]
    return format_page(f"Balance of {name}", body, style=CHART_STYLE + ".rows { max-width: 40rem; }\n")


def _verdict(subset: Subset) -> str:
    records = len(subset.kept) + len(subset.dropped)
    turns = f"{subset.taken[ALL]:,} of {subset.available[ALL]:,} turns"
    return f"{len(subset.kept):,} of {records:,} records kept, with {turns}."


def _sorted_cells(subset: Subset) -> list[tuple[Cell, int]]:
    """By dimension; within it the largest first, lengths in their order."""

    def place(item: tuple[Cell, int]) -> tuple[str, int, str]:
        (dimension, name), count = item
        words = LEADING_NUMBER.match(name) if dimension == "length" else None
        return dimension, int(words[0]) if words else -count, name

    return sorted(subset.available.items(), key=place)


def _cell_rows(subset: Subset) -> list[Sequence[str]]:
    before, after = subset.available[ALL], subset.taken[ALL]
    return [
        (
            *cell,
            f"{count:,}",
            f"{subset.limits[cell]:,}" if cell in subset.limits else "-",
            f"{subset.taken[cell]:,}",
            f"{count - subset.taken[cell]:,}",
            f"{100 * count / max(before, 1):.1f}%",
            f"{100 * subset.taken[cell] / max(after, 1):.1f}%",
        )
        for cell, count in _sorted_cells(subset)
    ]


def _reason_rows(subset: Subset) -> list[Sequence[str]]:
    counts = Counter(one.cell for one in subset.dropped)
    return [(_name(cell), f"{subset.limits[cell]:,}", f"{count:,}") for cell, count in counts.most_common()]


def _reason(one: Dropped, subset: Subset) -> str:
    return f"{_name(one.cell)} had {one.kept} of at most {subset.limits[one.cell]} turns, this has {one.has}"


def _name(cell: Cell) -> str:
    return ":".join(part for part in cell if part)
