"""Runs a benchmark: asks, keeps each finished dialogue at once, goes on after a kill, writes the results.

Beside `results.json` a run leaves `dialogues.jsonl`: a first line that says what was run, then a line per
finished dialogue with questions, answers, objects as RLE and scores.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import json
import logging
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from tqdm import tqdm

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


class RunFile:
    """The finished dialogues of a run on disk; held by one process at a time, to be used in a `with`.

    Args:
        path: the JSONL file; made if it is not there.
        identity: what is run; a file of something else is refused.

    Attributes:
        dialogues: id → what `Benchmark.run` gave, of this run and of earlier ones it goes on with.

    Raises:
        DataError: see `evaluate`.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self.identity = dict(identity)
        self.dialogues: dict[str, dict[str, Any]] = {}
        self._descriptor = -1

    def __enter__(self) -> RunFile:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be opened for writing: {error}; choose another folder."
            ) from error
        try:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"{self.path} is being written by another process; wait for it.") from error
            self._read_lines()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)  # releases the lock

    def append(self, dialogue_id: str, dialogue: dict[str, Any]) -> None:
        """Add a finished dialogue; when this returns it is on the disk.

        Raises:
            DataError: the disk refuses.
        """
        self._write_line({"dialogue": dialogue_id, **dialogue})
        self.dialogues[dialogue_id] = dialogue

    def _read_lines(self) -> None:
        """Load what is there, drop a torn last line, and begin an empty file with the identity."""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            logger.info("%s: its last line was cut off in the middle; that dialogue is run again.", self.path)
            os.ftruncate(self._descriptor, len(whole))
        lines = whole.splitlines()
        if not lines:
            self._write_line(self.identity)
            return
        rows = [self._parse_line(number, line) for number, line in enumerate(lines, start=1)]
        self._check_identity(rows[0])
        for number, row in enumerate(rows[1:], start=2):
            if "dialogue" not in row:
                raise DataError(
                    f"{self.path}, line {number} has no 'dialogue'; delete the file to start anew."
                )
            self.dialogues[row.pop("dialogue")] = row

    def _parse_line(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{self.path}, line {number} is not JSON: {error}; delete the file to start anew."
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{self.path}, line {number} is no object; delete the file to start anew.")
        return row

    def _check_identity(self, found: dict[str, Any]) -> None:
        if found.get("schema") != RUN_SCHEMA:
            raise DataError(
                f"{self.path} begins with schema {found.get('schema')!r}, expected {RUN_SCHEMA!r}; "
                "choose another folder."
            )
        old, new = _flatten(found), _flatten(self.identity)
        differing = [
            f"{key} is {old.get(key)!r} there and {new.get(key)!r} now"
            for key in sorted(old.keys() | new.keys())
            if (key in old, old.get(key)) != (key in new, new.get(key))
        ]
        if differing:
            raise DataError(
                f"{self.path} holds a run that differs: {'; '.join(differing)}. Choose another folder, or "
                "delete this one to run anew."
            )

    def _write_line(self, row: Mapping[str, Any]) -> None:
        data = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}; what is finished is kept.") from error


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts → one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
