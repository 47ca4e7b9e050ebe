"""Runs a benchmark: asks its dialogues and keeps the predictions; `scoring` does the rest.

A run asks, and keeps each finished dialogue at once in `predictions.jsonl` (see `predictions`); it goes on after a
kill, in any number of processes, or in shards over machines. Its file belongs to one model, data, settings and code;
another run is refused there, and told why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Benchmark, OpenBenchmark
from sama_plugin.evaluation.predictions import ALL, PREDICTIONS_SCHEMA, Shard
from sama_plugin.evaluation.results import Results, code_version
from sama_plugin.evaluation.scoring import score_predictions
from sama_plugin.evaluation.workers import WorkerPool

logger = logging.getLogger(__name__)

SHOWN_MISSING = 3


class OpenedAnswerer(NamedTuple):
    """Who answers, ready.

    Attributes:
        answerer: who.
        settings: plain values that shape the answers, e.g. seed and limits; kept with predictions and results.
    """

    answerer: Answerer
    settings: Mapping[str, Any]


OpenAnswerer = Callable[[int], OpenedAnswerer]
"""Gives who answers in the process of a number, from 0."""


class _Asker(NamedTuple):
    """What a process needs to ask."""

    benchmark: Benchmark
    opened: OpenedAnswerer


def evaluate(
    benchmark: Benchmark,
    answerer: Answerer,
    out: Path,
    settings: Mapping[str, Any],
    *,
    checkpoint: Path | None = None,
) -> Results:
    """Run a benchmark, or the rest of it, in this process, and score it.

    Args:
        benchmark: what to ask.
        answerer: who answers.
        out: folder of predictions, scores and results; made if it is not there.
        settings: see `OpenedAnswerer`.
        checkpoint: folder of the model that answers; its contents are fingerprinted.

    Raises:
        DataError: as for `run_benchmark`.
        CheckpointError: there is no such checkpoint folder.
    """
    run_benchmark(benchmark, lambda number: OpenedAnswerer(answerer, settings), out, checkpoint=checkpoint)
    return score_predictions(benchmark, out, out)


def run_benchmark(
    benchmark: Benchmark,
    open_answerer: OpenAnswerer,
    out: Path,
    *,
    checkpoint: Path | None = None,
    shard: Shard = ALL,
    processes: int = 1,
    reopen: OpenBenchmark | None = None,
) -> None:
    """Ask what was not asked yet, and keep the predictions.

    Args:
        benchmark: what to ask.
        open_answerer: gives who answers; sent by name to other processes.
        out: folder of the predictions; made if it is not there.
        checkpoint: folder of the model that answers; its contents are fingerprinted.
        shard: the part of the dialogues that is asked here.
        processes: that ask; what they predict does not depend on how many there are.
        reopen: opens the benchmark in other processes; needed where there are several.

    Raises:
        DataError: the folder holds a run of something else (what differs is said), another process is writing to it,
            or it cannot be written; settings that are no plain values.
        CheckpointError: there is no such checkpoint folder.
        HostError: one of several processes died.
    """
    open_worker: Callable[[int], _Asker] = partial(_open_asker, reopen, open_answerer)
    if processes == 1:
        open_worker = lambda number: _Asker(benchmark, open_answerer(number))  # noqa: E731
    with WorkerPool(processes, open_worker) as pool:
        _, settings = next(pool.map(_tell_settings, [None]))
        identity = {
            "schema": PREDICTIONS_SCHEMA,
            "benchmark": benchmark.name,
            "data": benchmark.fingerprint,
            "settings": _plain(settings),
            "code": code_version(checkpoint),
            **({} if shard == ALL else {"shard": str(shard)}),
        }
        ids = shard.part(benchmark.dialogue_ids)
        with RunFile(out / predictions_file(shard), identity, keeps_content=False) as run:
            left = [i for i in ids if i not in run.rows]
            if len(left) < len(ids):
                logger.info("%s: %d dialogues are done, %d are left.", out, len(ids) - len(left), len(left))
            with tqdm(
                total=len(ids),
                initial=len(ids) - len(left),
                desc=benchmark.name,
                unit="dialogue",
                disable=None,
            ) as bar:
                for dialogue_id, rows in pool.map(_ask, left):
                    run.append(dialogue_id, {"answers": rows})
                    bar.update()


def predictions_file(shard: Shard) -> str:
    """Name of the file of a shard."""
    return "predictions.jsonl" if shard == ALL else f"predictions-{shard.number}-of-{shard.count}.jsonl"


def _open_asker(reopen: OpenBenchmark | None, open_answerer: OpenAnswerer, number: int) -> _Asker:
    assert reopen is not None, "several processes need `reopen`"
    return _Asker(reopen(), open_answerer(number))


def _tell_settings(asker: _Asker, nothing: None) -> Mapping[str, Any]:
    return asker.opened.settings


def _ask(asker: _Asker, dialogue_id: str) -> list[dict[str, Any]]:
    predictions = asker.benchmark.ask(dialogue_id, asker.opened.answerer)
    return [prediction.to_row() for prediction in predictions]


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataError(f"Settings must be plain numbers, strings, lists and dicts: {error}.") from error
    return kept


def check_media(benchmark: Benchmark, shard: Shard = ALL) -> None:
    """See that the videos of all dialogues are there, before a model is loaded.

    Raises:
        DataError: some are not; how many, and the first of them.
    """
    dialogue_ids = shard.part(benchmark.dialogue_ids)
    videos = dict.fromkeys(benchmark.sample(i).video_path for i in dialogue_ids)
    missing = [video for video in videos if not Path(video).exists()]
    if missing:
        shown = ", ".join(missing[:SHOWN_MISSING])
        raise DataError(
            f"{len(missing)} of the {len(videos)} videos of '{benchmark.name}' are not there, such as {shown}; "
            "`sama eval list` says where they come from."
        )
