"""Runs a benchmark: asks, keeps each finished dialogue at once, goes on after a kill, writes the results.

Beside `results.json` a run leaves `dialogues.jsonl`: a first line that says what was run, then a line per
finished dialogue with questions, answers, objects as RLE and scores.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from tqdm import tqdm

from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.results import Results, code_version, write_results

logger = logging.getLogger(__name__)

RUN_SCHEMA = "sama.run/1"
RUN_FILE = "dialogues.jsonl"
RESULTS_FILE = "results.json"

BENCHMARKS = {"shapes": "sama_plugin.evaluation.benchmarks.shapes:ShapesBenchmark"}
"""Name → `module:class`, imported when asked for; the class takes the data folder."""


class Summary(NamedTuple):
    """Numbers of a whole benchmark; see `Results`."""

    metrics: dict[str, float | None]
    counts: dict[str, int]


class Benchmark(Protocol):
    """A list of dialogues that can be run one at a time and summed up.

    Attributes:
        name: under which it is registered.
        fingerprint: changes whenever its data does.
        dialogue_ids: unique, in a fixed order.
    """

    name: str
    fingerprint: str
    dialogue_ids: Sequence[str]

    def run(self, dialogue_id: str, answerer: Answerer) -> dict[str, Any]:
        """Hold one dialogue and score it; gives what JSON can hold."""
        ...

    def summarise(self, dialogues: Sequence[dict[str, Any]]) -> Summary:
        """Sum up what `run` gave, in the order of `dialogue_ids`."""
        ...


def open_benchmark(name: str, data: Path) -> Benchmark:
    """Open a registered benchmark.

    Args:
        name: a key of `BENCHMARKS`.
        data: its data folder.

    Raises:
        DataError: an unknown name (near matches are named), or data that breaks its format.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=3, cutoff=0.4) or sorted(BENCHMARKS)
        raise DataError(f"There is no benchmark '{name}'; did you mean {', '.join(near)}?")
    module, attribute = BENCHMARKS[name].split(":")
    benchmark: Benchmark = getattr(import_module(module), attribute)(data)
    return benchmark


def evaluate(
    benchmark: Benchmark,
    answerer: Answerer,
    out: Path,
    settings: Mapping[str, Any],
    *,
    checkpoint: Path | None = None,
) -> Results:
    """Run a benchmark, or the rest of it where an earlier run was cut off, and write `out/results.json`.

    Args:
        benchmark: what to ask.
        answerer: who answers.
        out: folder of the run; made if it is not there.
        settings: plain values that shape the answers, e.g. seed and limits; kept in the results.
        checkpoint: folder of the model that answers; its contents are fingerprinted.

    Raises:
        DataError: the folder holds a run of something else (which setting differs is said), another process
            is writing to it, or it cannot be written.
        CheckpointError: there is no such checkpoint folder.
    """
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DataError(f"Settings must be plain numbers, strings, lists and dicts: {error}.") from error
    code = code_version(checkpoint)
    identity = {
        "schema": RUN_SCHEMA,
        "benchmark": benchmark.name,
        "data": benchmark.fingerprint,
        "settings": kept,
        "code": code,
    }
    with RunFile(out / RUN_FILE, identity) as run:
        left = [i for i in benchmark.dialogue_ids if i not in run.dialogues]
        if len(left) < len(benchmark.dialogue_ids):
            logger.info("%s: %d dialogues are done, %d are left.", out, len(run.dialogues), len(left))
        done = len(benchmark.dialogue_ids) - len(left)
        with tqdm(
            total=done + len(left), initial=done, desc=benchmark.name, unit="dialogue", disable=None
        ) as bar:
            for dialogue_id in left:
                run.append(dialogue_id, benchmark.run(dialogue_id, answerer))
                bar.update()
        summary = benchmark.summarise([run.dialogues[i] for i in benchmark.dialogue_ids])
        results = Results(benchmark.name, summary.metrics, summary.counts, kept, code)
        write_results(out / RESULTS_FILE, results)
    return results
