"""The results file of a benchmark: numbers, how many cases each stands on, the settings and the code."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sama_plugin
from sama_plugin.errors import CheckpointError, DataError

RESULTS_SCHEMA = "sama.results/1"
CARD_FILE = "README.md"
"""The card of a checkpoint, which tells what was measured on it."""


@dataclass(frozen=True)
class Results:
    """What `results.json` holds.

    Attributes:
        benchmark: its name.
        metrics: name → fraction in [0, 1], CIDEr in [0, 10]; None where no case was there to measure. `A/B` is B on the
            subset A or A on the subset B, whichever of them is a metric by itself.
        counts: how many cases each metric stands on, by the metric's name, and other counts.
        settings: what the run was asked to do.
        code: see `code_version`; `scored_by` where the predictions are of another version than the scores.
        data: fingerprint of the benchmark's data.
        absent: metric → why it is None although there were cases.
        notes: what a reader of the numbers should know, such as how captions were cut into words.
    """

    benchmark: str
    metrics: dict[str, float | None]
    counts: dict[str, int]
    settings: dict[str, Any]
    code: dict[str, Any]
    data: str | None = None
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def code_version(checkpoint: Path | None = None) -> dict[str, Any]:
    """What made a result.

    Args:
        checkpoint: folder of the model, if one answered.

    Returns:
        `version` of this package, git `commit` if it runs from a checkout (with a digest of the changes behind it
        where tracked files differ), else None, and `checkpoint`, a fingerprint of the folder's contents, or None.

    Raises:
        CheckpointError: the folder does not exist or is empty.
    """
    return {
        "version": sama_plugin.__version__,
        "commit": _git_commit(Path(sama_plugin.__file__).parent),
        "checkpoint": None if checkpoint is None else fingerprint_folder(checkpoint),
    }


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 over names and contents of all files under a folder; hidden ones and the folder's card do not count.

    Raises:
        CheckpointError: no folder, or no file in it.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path != folder / CARD_FILE
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise CheckpointError(f"{folder} is not a folder with files in it; name the checkpoint's folder.")
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(folder).as_posix()}\0{fingerprint_file(path)}\0".encode())
    return total.hexdigest()


def fingerprint_file(path: Path) -> str:
    """SHA-256 of a file's contents, read in pieces."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def write_results(path: Path, results: Results) -> None:
    """Write a results file, whole or not at all.

    Raises:
        DataError: a number that JSON has no word for, or the disk refuses.
    """
    content = {
        "schema": RESULTS_SCHEMA,
        "benchmark": results.benchmark,
        "metrics": results.metrics,
        "counts": results.counts,
        "settings": results.settings,
        "code": results.code,
        "data": results.data,
        "absent": results.absent,
        "notes": results.notes,
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    except ValueError as error:
        raise DataError(f"{path}: a result is not a finite number: {results.metrics}.") from error
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(
            f"{path} cannot be written: {error}; free the disk or choose another folder."
        ) from error


def read_results(path: Path) -> Results:
    """Read a results file.

    Raises:
        DataError: missing, not JSON, of another schema, or without one of its keys.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable results file: {error}.") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != RESULTS_SCHEMA:
        raise DataError(f"{path} has schema {schema!r}, expected {RESULTS_SCHEMA!r}.")
    keys = ("benchmark", "metrics", "counts", "settings", "code")
    missing = [key for key in keys if key not in content]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it was not written by this package.")
    more = {key: content[key] for key in ("data", "absent", "notes") if key in content}
    return Results(**{key: content[key] for key in keys}, **more)


def table_rows(results: Results) -> list[tuple[str, ...]]:
    """Results as rows of equally many words: a heading, then metric, all, each subset, cases.

    Kinds of a metric follow it, their names behind two blanks.
    """
    plain = [name for name in results.metrics if "/" not in name]
    pairs = [name.split("/", 1) for name in results.metrics if "/" in name]
    subsets = list(dict.fromkeys(first for first, second in pairs if second in plain))
    rows = [("metric", "all", *(s.replace("_", " ") for s in subsets), "cases")]
    for name in plain:
        numbers = [results.metrics.get(key) for key in (name, *(f"{s}/{name}" for s in subsets))]
        rows.append((name, *(_format_number(n) for n in numbers), str(results.counts.get(name, ""))))
        for key in (f"{first}/{second}" for first, second in pairs if first == name):
            blanks = ("",) * len(subsets)
            shown = _format_number(results.metrics[key])
            rows.append((f"  {key.split('/', 1)[1]}", shown, *blanks, str(results.counts.get(key, ""))))
    return rows


def table_notes(results: Results) -> list[str]:
    """What a reader of the table should know: what is absent and why, and the results' own notes."""
    notes = []
    for reason in dict.fromkeys(results.absent.values()):
        names = [name for name, own in results.absent.items() if own == reason]
        notes.append(f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} absent: {reason}")
    return notes + results.notes


def format_table(results: Results) -> str:
    """Results as a table for reading: a line per metric, a column per subset, and the number of cases."""
    rows = table_rows(results)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines))
    return "\n".join(lines + table_notes(results))


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _git_commit(folder: Path) -> str | None:
    """Commit of the checkout this package is a tracked part of; None outside one or without git."""

    def ask_git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if ask_git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = ask_git("rev-parse", "HEAD")
    if commit is None:
        return None
    changes = ask_git("diff-index", "-p", "--full-index", "--no-ext-diff", "--no-color", "HEAD", "--", ".")
    return f"{commit}+{hashlib.sha256(changes.encode()).hexdigest()[:12]}" if changes else commit
