"""What results files say of a checkpoint, as a model card shows it: tables, and entries for its front matter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import EvalResult

from sama_plugin.errors import DataError
from sama_plugin.evaluation.catalogue import BENCHMARKS
from sama_plugin.evaluation.results import Results, read_results, table_notes, table_rows
from sama_plugin.host.model_card import PIPELINE, CardNumbers

SHORT = 12
"""Digits of a fingerprint that are shown."""


def measured_mark(fingerprint: str) -> str:
    """How a card tells which weights its numbers are of."""
    return f"Measured on checkpoint `{fingerprint[:SHORT]}`"


def read_measured(path: Path, fingerprint: str) -> Results:
    """Results of this very checkpoint.

    Args:
        path: `results.json`, or the folder it lies in.
        fingerprint: of the checkpoint's folder.

    Raises:
        DataError: no results file, or one of other weights.
    """
    results = read_results(path / "results.json" if path.is_dir() else path)
    measured = results.code.get("checkpoint")
    if measured != fingerprint:
        whose = "of no checkpoint of SAMA" if measured is None else f"of checkpoint {str(measured)[:SHORT]}"
        raise DataError(
            f"{path} has numbers {whose}, the card is of {fingerprint[:SHORT]}; measure this one: sama eval "
            f"{results.benchmark} --model DIR --data DATA --out OUT"
        )
    return results


def card_numbers(measured: Sequence[tuple[Results, str]], fingerprint: str) -> CardNumbers:
    """Entries and text of a card.

    Args:
        measured: results, and the command that makes them.
        fingerprint: of the checkpoint they are of.
    """
    text = "\n\n".join(_section(results, command) for results, command in measured)
    return CardNumbers(
        [entry for results, _ in measured for entry in _entries(results)],
        f"{measured_mark(fingerprint)}, by the commands shown.\n\n{text}",
    )


def _entries(results: Results) -> list[EvalResult]:
    """One for each metric over all cases that has a number."""
    return [
        EvalResult(
            task_type=PIPELINE,
            dataset_type=results.benchmark,
            dataset_name=results.benchmark,
            metric_type=name,
            metric_name=name,
            metric_value=round(value, 4),
        )
        for name, value in results.metrics.items()
        if "/" not in name and value is not None
    ]


def _section(results: Results, command: str) -> str:
    """Heading, what to know, command, table, kinds of questions, settings."""
    rows = table_rows(results)
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items() if value is not None)
    entry = BENCHMARKS.get(results.benchmark)
    parts = [
        f"**{results.benchmark}**" + (f": {entry.what}" if entry else ""),
        " ".join([*table_notes(results), f"Measured by `{command}`."]),
        _table([row for row in rows if not row[0].startswith(" ")], words=1),
        *_by_kind(rows),
        f"Settings: {settings}. Code: sama_plugin {results.code.get('version')}.",
    ]
    return "\n\n".join(parts)


def _by_kind(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The kinds of each metric, folded away; nothing where there are none."""
    kinds, metric = [], ""
    for row in rows[1:]:
        if row[0].startswith(" "):
            kinds.append((metric, row[0].strip(), row[1], row[-1]))
        else:
            metric = row[0]
    if not kinds:
        return []
    table = _table([("metric", "kind", "all", "cases"), *kinds], words=2)
    return [f"<details><summary>by kind of question</summary>\n\n{table}\n\n</details>"]


def _table(rows: Sequence[tuple[str, ...]], words: int) -> str:
    """A Markdown table, the first `words` columns of words, the rest of numbers."""
    marks = ("---",) * words + ("--:",) * (len(rows[0]) - words)
    return "\n".join(f"| {' | '.join(line)} |" for line in (rows[0], marks, *rows[1:]))
