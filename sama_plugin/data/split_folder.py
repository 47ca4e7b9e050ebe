"""A split on disk: a folder per part in the published form, and what is in each.

out/<part>/records.json, ...   see `data.export`
out/split.json                 `sama.split/1`: settings, counts and videos of each part; written last
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sama_plugin.data.corpus import Corpus
from sama_plugin.data.export import export_corpus, export_targets
from sama_plugin.data.kept_inputs import check_inputs_kept
from sama_plugin.data.record_facts import CorpusFacts, RecordFacts, gather_facts
from sama_plugin.data.report_page import align_table
from sama_plugin.data.splitting import Cell, Part, split_videos
from sama_plugin.data.text_file import write_text

SCHEMA = "sama.split/1"
REPORT = "split.json"


@dataclass
class PartContent:
    """What is in one part.

    Attributes:
        name: of its folder.
        rows: of its records.
        missing: ids that its records mean and no dictionary has, `record:id`.
    """

    name: str
    rows: list[RecordFacts]
    missing: list[str] = field(default_factory=list)

    @property
    def videos(self) -> list[str]:
        """Paths of its videos, sorted."""
        return sorted({row.video for row in self.rows})

    @property
    def cells(self) -> Counter[Cell]:
        """Source and task → turns."""
        counts: Counter[Cell] = Counter()
        for row in self.rows:
            counts.update({(row.source, task): count for task, count in row.tasks.items()})
        return counts


def write_split(
    corpus: Corpus, out: Path, parts: Sequence[Part], seed: int, *, progress: bool = True
) -> tuple[list[PartContent], CorpusFacts]:
    """Split a corpus by video and write its parts.

    Args:
        corpus: what to split; records of which defects leave nothing go into no part.
        out: folder, made if missing; files in it are replaced.
        parts: to make.
        seed: of the split.
        progress: whether to show bars.

    Raises:
        DataError: sizes that do not fit the number of videos; a file that the corpus is read from would be written
            over.
    """
    targets = [path for part in parts for path in export_targets(out / part.name)]
    check_inputs_kept(corpus.files(), [*targets, out / REPORT])
    facts = gather_facts(corpus, progress=progress)
    part_of = split_videos(facts.rows, parts, seed)
    made = [
        PartContent(part.name, [row for row in facts.rows if part_of[row.video] == part.name])
        for part in parts
    ]
    for part in made:
        indices = [row.record for row in part.rows]
        part.missing = export_corpus(corpus, out / part.name, indices=indices, progress=progress).missing
    values = _report_values(corpus, parts, seed, made, facts)
    write_text(out / REPORT, [json.dumps(values, indent=1), "\n"])
    return made, facts


def _report_values(
    corpus: Corpus, parts: Sequence[Part], seed: int, made: Sequence[PartContent], facts: CorpusFacts
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "corpus": corpus.name,
        "seed": seed,
        "parts": {
            content.name: {
                "asked": part.size,
                "records": len(content.rows),
                "turns": sum(row.num_turns for row in content.rows),
                "cells": [
                    {"source": source, "task": task, "turns": count}
                    for (source, task), count in sorted(content.cells.items())
                ],
                "videos": content.videos,
            }
            for part, content in zip(parts, made, strict=True)
        },
        "unusable": {str(record): codes for record, codes in facts.unusable.items()},
    }


def format_split(made: Sequence[PartContent]) -> str:
    """Videos, records and turns of each part, and its share of every source and task."""
    sizes = align_table(
        ["part", "videos", "records", "turns"],
        (
            [part.name, f"{len(part.videos):,}", f"{len(part.rows):,}", f"{sum(part.cells.values()):,}"]
            for part in made
        ),
    )
    whole: Counter[Cell] = Counter()
    for part in made:
        whole.update(part.cells)
    shares = align_table(
        ["source", "task", "turns", *(part.name for part in made)],
        (
            [*cell, f"{count:,}", *(f"{100 * part.cells[cell] / count:.1f}%" for part in made)]
            for cell, count in sorted(whole.items())
        ),
    )
    return "\n".join([*sizes, "", *shares])
