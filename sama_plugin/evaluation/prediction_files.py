"""Files of predictions, all shards of a run as one set; a dialogue is in memory only while it is read.

The form of the files is described in `predictions`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.data.run_file import describe_differences
from sama_plugin.errors import DataError
from sama_plugin.evaluation.faults import Fault
from sama_plugin.evaluation.predictions import PREDICTIONS_SCHEMA, Shard

PATTERN = "predictions*.jsonl"


class _Place(NamedTuple):
    """Where a line is."""

    file: Path
    number: int
    offset: int


class PredictionSet:
    """All predictions of a folder, or of one file; a dialogue is in memory only while it is read.

    Args:
        source: a folder with files `predictions*.jsonl`, or one such file.

    Attributes:
        header: the first line, without the shard.
        places: dialogue id → where it is, the first where it is there twice.
        faults: dialogues that are there twice, and a last line that was cut off.

    Raises:
        DataError: no file, a shard that is missing, files of different runs, or lines that are no JSON objects.
    """

    def __init__(self, source: Path) -> None:
        files = sorted(source.glob(PATTERN)) if source.is_dir() else [source]
        if not files or not files[0].is_file():
            raise DataError(f"{source} has no {PATTERN}; write some with `sama eval run`.")
        self.places: dict[str, _Place] = {}
        self.faults: list[Fault] = []
        headers = [self._index(file) for file in files]
        _check_shards(source, [header.pop("shard", None) for header in headers])
        for file, header in zip(files[1:], headers[1:], strict=True):
            differing = describe_differences(headers[0], header)
            if differing:
                raise DataError(
                    f"{file} is of another run than {files[0].name} ({differing}); score each by itself."
                )
        self.header = headers[0]

    def read(self, dialogue_id: str) -> bytes:
        """The line of a dialogue, for `parse_line`; empty where there is none."""
        place = self.places.get(dialogue_id)
        if place is None:
            return b""
        with place.file.open("rb") as stream:
            stream.seek(place.offset)
            return stream.readline()

    def where(self, dialogue_id: str) -> str:
        """File and line of a dialogue, for errors."""
        place = self.places.get(dialogue_id)
        return "no line" if place is None else f"{place.file}, line {place.number}"

    def _index(self, file: Path) -> dict[str, Any]:
        """Note where the lines of a file are; gives its header."""
        header: dict[str, Any] | None = None
        offset = 0
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                place = _Place(file, number, offset)
                offset += len(line)
                if not line.strip():
                    continue
                if not line.endswith(b"\n") and not _is_json(line):
                    self.faults.append(Fault("torn_lines", f"{file.name}, line {number}"))
                    continue
                row = _parse(line, f"{file}, line {number}")
                if header is None:
                    header = _checked_header(row, file)
                    continue
                dialogue_id = row.get("dialogue")
                if not isinstance(dialogue_id, str | int) or not isinstance(row.get("answers"), list):
                    raise DataError(
                        f"{file}, line {number}: expected 'dialogue' and a list 'answers', got {sorted(row)}."
                    )
                if str(dialogue_id) in self.places:
                    self.faults.append(
                        Fault(
                            "duplicate_predictions", f"dialogue '{dialogue_id}', {file.name}, line {number}"
                        )
                    )
                self.places.setdefault(str(dialogue_id), place)
        if header is None:
            raise DataError(f"{file} is empty, expected a first line with 'schema' and 'benchmark'.")
        return header


def parse_line(line: bytes) -> list[Any]:
    """Answers of a line of a prediction file; none of an empty one."""
    answers: list[Any] = json.loads(line)["answers"] if line else []
    return answers


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is no object.")
    return row


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _checked_header(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    if row.get("schema") != PREDICTIONS_SCHEMA or not isinstance(row.get("benchmark"), str):
        raise DataError(
            f"{file}, line 1: schema {row.get('schema')!r} and benchmark {row.get('benchmark')!r}, expected "
            f"{PREDICTIONS_SCHEMA!r} and a name; see `sama eval score --help`."
        )
    settings = row.get("settings")
    if settings is not None and not isinstance(settings, dict):
        raise DataError(f"{file}, line 1: 'settings' is {str(settings)[:80]!r}, expected an object.")
    return dict(row)


def _check_shards(source: Path, shards: Sequence[str | None]) -> None:
    """See that all shards of a run are there."""
    named = [Shard.parse(shard) for shard in shards if shard is not None]
    for count in {shard.count for shard in named}:
        there = {shard.number for shard in named if shard.count == count}
        missing = sorted(set(range(1, count + 1)) - there)
        if missing or len(named) < len(shards):
            raise DataError(
                f"{source} has shards {sorted(map(str, named))}"
                + (
                    f", {', '.join(f'{k}/{count}' for k in missing)} missing; run them first."
                    if missing
                    else ""
                )
                + (" and a file that is none; keep runs apart." if len(named) < len(shards) else "")
            )
