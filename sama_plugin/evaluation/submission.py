"""Zip files for the servers of MeViS and Ref-YouTube-VOS, from predictions; and a checker of their layout.

    MeViS              <video>/<expression>/<frame>.png
    Ref-YouTube-VOS    Annotations/<video>/<expression>/<frame>.png

Every frame of every expression has a picture: 8-bit grey, 0 outside and 255 inside, of the frame's size.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from tqdm import tqdm

from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.benchmarks.expressions import Expression
from sama_plugin.evaluation.faults import Fault, fit_objects
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.predictions import align_predictions
from sama_plugin.evaluation.scoring import check_header
from sama_plugin.media.frame_subset import find_pictures

INSIDE = 255
ZIP_TIME = (1980, 1, 1, 0, 0, 0)
"""The same predictions give the same bytes."""

SHOWN = 5


class SubmittedBenchmark(Benchmark, Protocol):
    """A benchmark that a server scores.

    Attributes:
        zip_root: what names in the zip begin with.
        frames: video → names of its frames.
        frames_root: folder of the videos' folders.
        expressions: dialogue id → what is asked.
    """

    zip_root: str
    frames: dict[str, tuple[str, ...]]
    frames_root: Path
    expressions: dict[str, Expression]


def write_submission(benchmark: Benchmark, source: Path, path: Path) -> list[Fault]:
    """Write a zip, whole or not at all.

    Args:
        benchmark: one that a server scores.
        source: its predictions; all objects of an answer together are the mask, none is an empty one.
        path: of the zip; its folder is made if it is not there.

    Returns:
        What was wrong with the predictions, mended by the rules of `faults`.

    Raises:
        DataError: a benchmark without a server, predictions that are not there or of another benchmark, frames that
            are not there, or the disk refuses.
    """
    served = check_server(benchmark)
    predictions = PredictionSet(source)
    check_header(benchmark, predictions.header, source)
    faults = list(predictions.faults)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for dialogue_id in tqdm(benchmark.dialogue_ids, desc=path.name, unit="expression", disable=None):
                masks = _predicted_masks(served, dialogue_id, predictions, faults)
                for name, mask in zip(_names(served, dialogue_id), masks, strict=True):
                    archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), _encode_png(mask))
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return faults


def check_submission(benchmark: Benchmark, path: Path) -> None:
    """See that a zip has the layout that the benchmark's server takes.

    Args:
        benchmark: one that a server scores.
        path: of the zip.

    Raises:
        DataError: it cannot be read, names are missing or too many, or a picture is no 8-bit grey one of 0 and 255 of
            its frame's size; says how many and the first of them.
    """
    served = check_server(benchmark)
    try:
        with zipfile.ZipFile(path) as archive:
            faults = list(_find_faults(served, archive))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no zip file that can be read: {error}.") from error
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f"{path} is not what the server of '{benchmark.name}' takes: {'; '.join(faults[:SHOWN])}{more}."
        )


def check_server(benchmark: Benchmark) -> SubmittedBenchmark:
    """See that a benchmark is scored by a server.

    Raises:
        DataError: it is scored here.
    """
    if not hasattr(benchmark, "zip_root"):
        raise DataError(f"'{benchmark.name}' has no server; score it with `sama eval score`.")
    return benchmark  # type: ignore[return-value]


def _names(benchmark: SubmittedBenchmark, dialogue_id: str) -> list[str]:
    """Names in the zip of the pictures of an expression."""
    expression = benchmark.expressions[dialogue_id]
    folder = f"{benchmark.zip_root}{expression.video}/{expression.expression_id}"
    return [f"{folder}/{frame}.png" for frame in benchmark.frames[expression.video]]


def _frame_size(benchmark: SubmittedBenchmark, video: str) -> tuple[int, int]:
    """(H, W) of a video's first frame."""
    (first,) = find_pictures(benchmark.frames_root / video, benchmark.frames[video][:1])
    with Image.open(first) as picture:
        return picture.height, picture.width


def _predicted_masks(
    benchmark: SubmittedBenchmark, dialogue_id: str, predictions: PredictionSet, faults: list[Fault]
) -> np.ndarray:
    """(T, H, W) bool; all objects of the answer to an expression."""
    expression = benchmark.expressions[dialogue_id]
    rows = parse_line(predictions.read(dialogue_id))
    (prediction,), own = align_predictions(benchmark.question_ids(dialogue_id), rows)
    shape = (len(benchmark.frames[expression.video]), *_frame_size(benchmark, expression.video))
    tracks = fit_objects(prediction.question_id, prediction.shown, shape, own)
    faults += [fault._replace(said=f"dialogue '{dialogue_id}', {fault.said}") for fault in own]
    return np.logical_or.reduce(tracks) if tracks else np.zeros(shape, dtype=bool)


def _encode_png(mask: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * INSIDE).save(written, format="PNG")
    return written.getvalue()


def _find_faults(benchmark: SubmittedBenchmark, archive: zipfile.ZipFile) -> Iterator[str]:
    wanted = {
        name: expression.video
        for dialogue_id, expression in benchmark.expressions.items()
        for name in _names(benchmark, dialogue_id)
    }
    there = Counter(name for name in archive.namelist() if not name.endswith("/"))
    yield from (f"'{name}' is missing" for name in wanted if name not in there)
    yield from (f"'{name}' is there twice" for name, count in there.items() if count > 1)
    yield from (f"'{name}' is not asked for" for name in there if name not in wanted)
    sizes: dict[str, tuple[int, int]] = {}
    for name in there:
        if name in wanted:
            video = wanted[name]
            if video not in sizes:
                sizes[video] = _frame_size(benchmark, video)
            fault = _picture_fault(archive.read(name), sizes[video])
            if fault:
                yield f"'{name}' {fault}"


def _picture_fault(content: bytes, size: tuple[int, int]) -> str:
    """What is wrong with a picture; empty if nothing."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.format != "PNG" or picture.mode != "L":
                return f"is {picture.format} of mode {picture.mode}, expected 8-bit grey PNG"
            values = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        return f"cannot be read: {error}"
    if values.shape != size:
        return f"is {values.shape}, its frame {size}"
    others = set(np.unique(values).tolist()) - {0, INSIDE}
    return f"has values {sorted(others)[:3]}, expected 0 and {INSIDE}" if others else ""
