"""Brings predictions of a published layout into the open form; what does not fit is counted in their first line."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.faults import Fault, describe_faults
from sama_plugin.evaluation.importers.json_answers import read_json_answers
from sama_plugin.evaluation.importers.mask_tree import read_mask_tree
from sama_plugin.evaluation.prediction_files import PATTERN, PredictionSet
from sama_plugin.evaluation.predictions import PREDICTIONS_SCHEMA, Prediction
from sama_plugin.evaluation.results import code_version

logger = logging.getLogger(__name__)

ReadLayout = Callable[[Benchmark, Path, list[Fault]], Iterator[tuple[str, list[Prediction]]]]

LAYOUTS: dict[str, ReadLayout] = {
    **dict.fromkeys(("mask-tree", "visa", "uninext", "onlinerefer", "trackgpt", "sa2va"), read_mask_tree),
    **dict.fromkeys(("json", "video-chatgpt", "videochat2", "sama-bench-c"), read_json_answers),
}
"""Name of a layout, or of a model that is published in it, → its reader."""

IMPORT_FAULTS = {
    "missing_predictions": "a question without any; scoring takes it as an empty answer",
    "extra_predictions": "for what is not asked; left out",
    "duplicate_predictions": "the first counts",
    "empty_answers": "scored as they are",
    "missing_frames": "a frame without a picture; its mask is empty",
    "extra_files": "no picture of a frame; left out",
    "unreadable_masks": "damaged pictures, soft or coloured ones; scored as empty",
    "void_pixels": "of id 255 beside other ids; they belong to no object",
    "unreadable_rows": "no JSON, or no text in it; left out",
}
"""Rule → what it means; all that have cases are counted in the predictions' settings and named in the log."""


def import_predictions(benchmark: Benchmark, layout: str, source: Path, out: Path) -> Counter[str]:
    """Write `predictions.jsonl`, whole or not at all; sizes are looked at when it is scored.

    Args:
        benchmark: that the predictions are of.
        layout: a key of `LAYOUTS`.
        source: a file or folder.
        out: folder; made if it is not there.

    Returns:
        Cases of each rule that has any, and how many `dialogues` and `answers` were found.

    Raises:
        DataError: an unknown layout, nothing there that the benchmark asks, predictions in `out` that were not
            imported in this layout, or the disk refuses.
    """
    if layout not in LAYOUTS:
        raise DataError(f"There is no layout '{layout}'; known are {', '.join(LAYOUTS)}.")
    if not source.exists():
        raise DataError(f"{source} does not exist; name the file or folder of the predictions.")
    _check_replaceable(out, layout)
    faults: list[Fault] = []
    made: Counter[str] = Counter()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as body:
        read = LAYOUTS[layout](benchmark, source, faults)
        for dialogue_id, predictions in tqdm(read, desc=layout, unit="dialogue", disable=None):
            rows = [prediction.to_row() for prediction in predictions]
            body.write(json.dumps({"dialogue": dialogue_id, "answers": rows}) + "\n")
            made.update(dialogues=1, answers=len(rows))
        found = Counter(fault.rule for fault in faults)
        header = {
            "schema": PREDICTIONS_SCHEMA,
            "benchmark": benchmark.name,
            "data": benchmark.fingerprint,
            "settings": {"imported": layout, "source": source.name, "faults": dict(sorted(found.items()))},
            "code": code_version(),
        }
        body.seek(0)
        _write(out / "predictions.jsonl", header, body)
    for said in describe_faults(faults, IMPORT_FAULTS):
        logger.warning("%s: %s", source, said)
    return found + made


def _check_replaceable(out: Path, layout: str) -> None:
    """See that an import takes the place of nothing but an earlier one."""
    if next(out.glob(PATTERN), None) is None:
        return
    settings = PredictionSet(out).header.get("settings") or {}
    if settings.get("imported") != layout:
        raise DataError(f"{out} has predictions that are no import of '{layout}'; choose another folder.")


def _write(path: Path, header: Mapping[str, Any], body: Iterator[str]) -> None:
    def lines() -> Iterator[str]:
        yield json.dumps(header) + "\n"
        yield from body

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, lines())
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from error
