"""Answers in words: a JSON list, JSON lines, or a folder with a file per answer.

    Video-ChatGPT       [{"video_name", "Q", "A", "pred"}], or [{"id", "question", "answer", "pred"}]
    VideoChat2          {"acc_dict", "res_list": [{"pred", "gt"}]}, in the order of the questions
    SAMA-Bench-C        <description_id>.json: {"pred_text_cleaned", "description", "file_name", "description_id"}

A row belongs to the question whose id it has; where its ids are none of the benchmark's, to the question with its words
about its video; and where rows have neither, to the question at its place, if there are as many rows as questions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.faults import Fault
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.prompting.placeholders import PLACEHOLDER

TEXT_KEYS = ("pred_text_cleaned", "pred", "prediction", "output", "text")
ID_KEYS = ("question_id", "description_id", "qid", "id")
QUESTION_KEYS = ("Q", "question")
VIDEO_KEYS = ("video_name", "video", "file_name")

Row = Mapping[str, Any]
Place = tuple[str, str]
"""Dialogue id and question id."""


def read_json_answers(
    benchmark: Benchmark, source: Path, faults: list[Fault]
) -> Iterator[tuple[str, list[Prediction]]]:
    """The predictions of a file or folder, a dialogue at a time.

    Args:
        benchmark: that they are of.
        source: see the head of this file.
        faults: what is missing, extra, double, empty or damaged is added.

    Yields:
        Dialogue id and the predictions that are there.

    Raises:
        DataError: nothing that can be read, or rows that belong to no question.
    """
    rows = read_rows(source, faults)
    places = [(i, q) for i in benchmark.dialogue_ids for q in benchmark.question_ids(i)]
    find = choose_key(benchmark, rows, places, source)
    found: dict[Place, Prediction] = {}
    for number, row in enumerate(rows):
        place = find(number, row)
        text = _first(row, TEXT_KEYS)
        where = f"{source.name}, row {number + 1}"
        if place is None:
            faults.append(Fault("extra_predictions", where))
        elif place in found:
            faults.append(Fault("duplicate_predictions", f"{where}, question '{place[1]}'"))
        elif not isinstance(text, str):
            faults.append(Fault("unreadable_rows", f"{where}: none of {', '.join(TEXT_KEYS)} is text"))
        else:
            if not text.strip():
                faults.append(Fault("empty_answers", f"{where}, question '{place[1]}'"))
            found[place] = Prediction(place[1], raw=text.strip())
    faults += [Fault("missing_predictions", f"question '{q}'") for i, q in places if (i, q) not in found]
    for dialogue_id in benchmark.dialogue_ids:
        made = [found[p] for q in benchmark.question_ids(dialogue_id) if (p := (dialogue_id, q)) in found]
        if made:
            yield dialogue_id, made


def read_rows(source: Path, faults: list[Fault]) -> list[Row]:
    """Rows of a file, or of all files of a folder in the order of their names.

    Raises:
        DataError: no file, or none that can be read.
    """
    files = sorted(source.glob("*.json*")) if source.is_dir() else [source]
    rows: list[Row] = []
    for path in files:
        try:
            values = _parse(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            faults.append(Fault("unreadable_rows", f"{path.name}: {error}"))
            continue
        if isinstance(values, dict):
            values = values.get("res_list", [values])
        for number, row in enumerate(values):
            if isinstance(row, dict):
                rows.append(row)
            else:
                faults.append(Fault("unreadable_rows", f"{path.name}, row {number + 1}: {str(row)[:40]!r}"))
    if not rows:
        why = f" ({faults[-1].said})" if faults else ""
        raise DataError(f"{source} has no answers that can be read{why}; expected JSON objects with a text.")
    return rows


def choose_key(
    benchmark: Benchmark, rows: Sequence[Row], places: Sequence[Place], source: Path
) -> Callable[[int, Row], Place | None]:
    """How rows find their question: by id, by words and video, or by order.

    Raises:
        DataError: in none of these ways.
    """
    by_id = {question_id: (dialogue_id, question_id) for dialogue_id, question_id in places}
    if len(by_id) == len(places) and any(str(_first(row, ID_KEYS)) in by_id for row in rows):
        return lambda number, row: by_id.get(str(_first(row, ID_KEYS)))
    by_words = {
        (Path(sample.video_path).stem, _plain(turn.question)): (dialogue_id, question_id)
        for dialogue_id in benchmark.dialogue_ids
        if (sample := benchmark.sample(dialogue_id))
        for turn, question_id in zip(sample.turns, benchmark.question_ids(dialogue_id), strict=True)
    }
    if any(_words(row) in by_words for row in rows):
        return lambda number, row: by_words.get(_words(row))
    if len(rows) == len(places) and all(_first(row, ID_KEYS) is None for row in rows):
        return lambda number, row: places[number]
    raise DataError(
        f"The {len(rows)} answers of {source} belong to none of the {len(places)} questions of '{benchmark.name}': "
        f"neither by {', '.join(ID_KEYS)}, nor by {'/'.join(VIDEO_KEYS)} with {'/'.join(QUESTION_KEYS)}, nor by their "
        "number."
    )


def _parse(text: str) -> Any:
    """JSON, or lines of it."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _first(row: Row, keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _words(row: Row) -> tuple[str, str]:
    return Path(str(_first(row, VIDEO_KEYS) or "")).stem, _plain(str(_first(row, QUESTION_KEYS) or ""))


def _plain(question: str) -> str:
    return " ".join(PLACEHOLDER.sub("", question).split()).lower()
