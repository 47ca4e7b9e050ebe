"""Scores predictions, whoever made them: reads all `predictions*.jsonl` of a folder, writes scores and results.

    scores.jsonl     a first line with `schema` and `benchmark`, then a line per dialogue with video, questions, faults
    results.json     see `results`

Both are made anew from what the files of predictions hold; predictions are only read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sama_plugin.data.run_file import describe_differences
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.benchmark import Benchmark, OpenBenchmark, Scored
from sama_plugin.evaluation.faults import Fault, count_faults, describe_faults
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.predictions import align_predictions
from sama_plugin.evaluation.results import Results, code_version, read_results, write_results
from sama_plugin.evaluation.workers import WorkerPool

logger = logging.getLogger(__name__)

RESULTS_FILE = "results.json"
SCORES_FILE = "scores.jsonl"
SCORES_SCHEMA = "sama.scores/1"


def score_predictions(
    benchmark: Benchmark,
    source: Path,
    out: Path,
    *,
    settings: Mapping[str, str] | None = None,
    processes: int = 1,
    reopen: OpenBenchmark | None = None,
) -> Results:
    """Score the predictions of any model, and write `scores.jsonl` and `results.json`; predictions are only read.

    What is wrong with them is scored by the rules of `faults`, counted in the results and named in the log.

    Args:
        benchmark: that they are of.
        source: a folder of prediction files, or one.
        out: folder of the results; made if it is not there.
        settings: how words are scored, where that is not the default; kept in the results as `scoring`.
        processes: that score.
        reopen: opens the benchmark in other processes; needed where there are several.

    Raises:
        DataError: no predictions, of another benchmark or of other data, or in no form that can be read; the results
            cannot be written.
    """
    predictions = PredictionSet(source)
    check_header(benchmark, predictions.header, source)
    faults = list(predictions.faults)
    known = set(benchmark.dialogue_ids)
    faults += [Fault("extra_predictions", f"dialogue '{i}'") for i in predictions.places if i not in known]
    open_worker: Callable[[int], Benchmark] = partial(_open_scorer, reopen)
    if processes == 1:
        open_worker = lambda number: benchmark  # noqa: E731
    tasks = ((i, predictions.read(i), predictions.where(i)) for i in benchmark.dialogue_ids)
    scored: dict[str, Scored] = {}
    with (
        WorkerPool(processes, open_worker) as pool,
        tqdm(total=len(known), desc=f"{benchmark.name}, scores", unit="dialogue", disable=None) as bar,
    ):
        for (dialogue_id, *_), made in pool.map(_score, tasks):
            scored[dialogue_id] = made
            bar.update()
    dialogues = [scored[i] for i in benchmark.dialogue_ids]
    summary = benchmark.summarise(dialogues)
    faults += [fault for dialogue in dialogues for fault in dialogue.faults]
    for said in describe_faults(faults):
        logger.warning("%s: %s", source, said)
    header = predictions.header
    results = Results(
        benchmark.name,
        summary.metrics,
        {**summary.counts, **count_faults(faults)},
        {**(header.get("settings") or {}), **({"scoring": dict(settings)} if settings else {})},
        _joint_code(header),
        benchmark.fingerprint,
        dict(summary.absent),
        list(summary.notes),
    )
    out.mkdir(parents=True, exist_ok=True)
    _write_scores(out / SCORES_FILE, benchmark, scored, results)
    write_results(out / RESULTS_FILE, results)
    return results


def run_of(results: Results) -> dict[str, Any]:
    """What tells runs apart; the first line of scores and the results of one run agree on it."""
    return {name: getattr(results, name) for name in ("benchmark", "data", "settings", "code")}


def read_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """What `score_predictions` wrote of each dialogue.

    Returns:
        dialogue id → `video` and `questions`, see `Scored`.

    Raises:
        DataError: the file is missing, broken or of another run than the results beside it.
    """
    path, results = folder / SCORES_FILE, read_results(folder / RESULTS_FILE)
    try:
        with path.open(encoding="utf-8") as file:
            first, *lines = [json.loads(line) for line in file]
        if first["schema"] != SCORES_SCHEMA:
            raise DataError(f"{path} has schema {first['schema']!r}, expected {SCORES_SCHEMA!r}.")
        if differing := describe_differences(first, {"schema": SCORES_SCHEMA, **run_of(results)}):
            raise DataError(
                f"{path} is of another run than {folder / RESULTS_FILE} ({differing}); score the predictions again."
            )
        return {line.pop("dialogue"): line for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read: {error}; make it with `sama eval score BENCH --predictions {folder} "
            f"--data DIR --out {folder}`."
        ) from error


def _open_scorer(reopen: OpenBenchmark | None, number: int) -> Benchmark:
    assert reopen is not None, "several processes need `reopen`"
    return reopen()


def _score(benchmark: Benchmark, task: tuple[str, bytes, str]) -> Scored:
    dialogue_id, line, where = task
    try:
        predictions, faults = align_predictions(benchmark.question_ids(dialogue_id), parse_line(line))
    except DataError as error:
        raise DataError(f"{where}, dialogue '{dialogue_id}': {error}") from error
    try:
        scored = benchmark.score(dialogue_id, predictions)
    except MediaError as error:
        raise DataError(
            f"Dialogue '{dialogue_id}' of '{benchmark.name}' cannot be scored: {error}"
        ) from error
    scored.faults = [
        fault._replace(said=f"dialogue '{dialogue_id}', {fault.said}") for fault in (*faults, *scored.faults)
    ]
    return scored


def check_header(benchmark: Benchmark, header: Mapping[str, Any], source: Path) -> None:
    """See that predictions are of a benchmark, and of its data if they say of which.

    Args:
        benchmark: that they should be of.
        header: their first line.
        source: where they lie.

    Raises:
        DataError: they are of something else.
    """
    if header["benchmark"] != benchmark.name:
        raise DataError(f"{source} has predictions of '{header['benchmark']}', not of '{benchmark.name}'.")
    data = header.get("data")
    if data is not None and data != benchmark.fingerprint:
        raise DataError(
            f"{source} has predictions for data with fingerprint {str(data)[:12]}, this one has "
            f"{benchmark.fingerprint[:12]}; score them with the data they were made for."
        )


def _joint_code(header: Mapping[str, Any]) -> dict[str, Any]:
    """What made the predictions, and what scored them if that is another version."""
    made_by, own = header.get("code"), code_version()
    if not isinstance(made_by, dict):
        return own
    scorer = {key: own[key] for key in ("version", "commit") if key in own}
    if all(made_by.get(key) == value for key, value in scorer.items()):
        return made_by
    return {**made_by, "scored_by": scorer}


def _write_scores(path: Path, benchmark: Benchmark, scored: Mapping[str, Scored], results: Results) -> None:
    first: dict[str, Any] = {"schema": SCORES_SCHEMA, **run_of(results)}
    rows: Sequence[dict[str, Any]] = [first] + [
        {
            "dialogue": dialogue_id,
            "video": dialogue.video,
            "scores": dialogue.scores,
            **dialogue.facts,
            "questions": dialogue.questions,
            "faults": [list(fault) for fault in dialogue.faults],
        }
        for dialogue_id in benchmark.dialogue_ids
        if (dialogue := scored[dialogue_id])
    ]
    write_text(path, (json.dumps(row, allow_nan=False) + "\n" for row in rows))
