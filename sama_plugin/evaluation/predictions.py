"""Predictions on disk, in an open form that any model can write: what was asked and answered, without scores.

A JSONL file. Its first line says what was run, each other one holds a dialogue:

    {"schema": "sama.predictions/1", "benchmark": "mevis", "data": FINGERPRINT, "settings": {...}, "code": {...}}
    {"dialogue": ID, "answers": [{"question_id": ID, "question": "Segment the dog.", "asked": true, "error": null,
      "raw": "<p> The dog </p> [SEG].", "text": "The dog.", "phrases": ["The dog"],
      "objects": [{"id": "obj1", "phrase": "The dog", "score": 0.9, "rle": [null | {"size": [H, W], "counts": str}]}]}]}

Of the first line `schema` and `benchmark` are needed; a `data` that is there has to be that of the benchmark. Of an
answer `question_id` and one of `raw`, `text` and `objects` are needed; `raw` says more than `text`, from which it is
made otherwise. `rle` has an entry per frame of the video, null where the object is absent. A run in shards writes a
file per shard (`predictions-1-of-3.jsonl`, `"shard": "1/3"`); all files `predictions*.jsonl` of a folder are one set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.faults import Fault
from sama_plugin.media.masks import check_mask, mask_area
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.schema import GroundedAnswer, GroundedObject, Rle

PREDICTIONS_SCHEMA = "sama.predictions/1"
NO_PREDICTION = "no prediction"


@dataclass(frozen=True)
class Shard:
    """A part of a run: every `count`-th dialogue, from the `number`-th on (1-based)."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `1/3`.

        Raises:
            DataError: not two whole numbers I/N with 1 <= I <= N.
        """
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise DataError(f"--shard is '{text}', expected I/N with 1 <= I <= N, such as 1/3.")

    def part(self, ids: Sequence[str]) -> list[str]:
        """The ids that belong to it."""
        return list(ids[self.number - 1 :: self.count])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


ALL = Shard(1, 1)


@dataclass(frozen=True)
class Prediction:
    """An answer to one question of a benchmark, or why there is none.

    Attributes:
        question_id: unique in its dialogue.
        question: as it was asked; empty if it was not.
        raw: the answer, special tokens kept.
        objects: of the answer, one per `[SEG]`; their masks can be decoded.
        asked: False where the question means an object of an earlier answer that was never produced.
        error: why there is no answer though it was asked.
    """

    question_id: str
    question: str = ""
    raw: str = ""
    objects: tuple[GroundedObject, ...] = ()
    asked: bool = True
    error: str | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, be it an empty one."""
        return self.asked and self.error is None

    @property
    def text(self) -> str:
        """The answer without special tokens."""
        return parse_answer(self.raw).text

    @property
    def shown(self) -> list[GroundedObject]:
        """Objects that have a pixel on some frame."""
        return [thing for thing in self.objects if any(rle and mask_area(rle) for rle in thing.rle)]

    @classmethod
    def of_answer(cls, question_id: str, answer: GroundedAnswer) -> Prediction:
        """What an answerer said."""
        return cls(question_id, answer.question, answer.raw, tuple(answer.objects))

    def to_row(self) -> dict[str, Any]:
        """Plain values, see the head of this file."""
        return {
            "question_id": self.question_id,
            "question": self.question,
            "asked": self.asked,
            "error": self.error,
            "raw": self.raw,
            "text": self.text,
            "phrases": [thing.phrase for thing in self.objects],
            "objects": [
                {"id": o.id, "phrase": o.phrase, "score": o.score, "rle": list(o.rle)} for o in self.objects
            ],
        }


def read_row(row: Any) -> tuple[Prediction, list[Fault]]:
    """An answer of a file.

    Returns:
        The answer, and what is wrong with it but can be scored.

    Raises:
        DataError: not the form above.
    """
    if not isinstance(row, dict) or not isinstance(row.get("question_id"), str | int):
        raise DataError(f"an answer is {str(row)[:80]!r}, expected an object with 'question_id'.")
    question_id = str(row["question_id"])
    raw, text = row.get("raw"), row.get("text")
    things = row.get("objects") or []
    phrases = row.get("phrases") or []
    for name, value, kind in (
        ("raw", raw, str),
        ("text", text, str),
        ("objects", things, list),
        ("phrases", phrases, list),
    ):
        if value is not None and not isinstance(value, kind):
            raise DataError(f"question '{question_id}': '{name}' is {str(value)[:80]!r}.")
    faults: list[Fault] = []
    objects = tuple(
        _read_object(question_id, thing, k, str(phrases[k] or "") if k < len(phrases) else "", faults)
        for k, thing in enumerate(things)
    )
    prediction = Prediction(
        question_id,
        str(row.get("question") or ""),
        str(raw if raw is not None else text or ""),
        objects,
        bool(row.get("asked", True)),
        None if row.get("error") is None else str(row["error"]),
    )
    return prediction, faults


def _read_object(question_id: str, thing: Any, k: int, phrase: str, faults: list[Fault]) -> GroundedObject:
    if not isinstance(thing, dict) or not isinstance(thing.get("rle"), list):
        raise DataError(
            f"question '{question_id}', object {k}: {str(thing)[:80]!r}, expected an object with a list 'rle'."
        )
    where = f"question '{question_id}', object {k}"
    score = _read_score(thing.get("score", 1.0))
    if score is None:
        faults.append(Fault("not_numbers", f"{where}: score is {str(thing['score'])[:80]}"))
    rles, unreadable = _read_masks(thing["rle"])
    if unreadable:
        faults.append(Fault("unreadable_masks", f"{where}: {len(unreadable)} frames, first {unreadable[0]}"))
    return GroundedObject(
        id=str(thing.get("id") or f"obj{k + 1}"),
        phrase=str(thing.get("phrase") or phrase),
        score=score or 0.0,
        rle=rles,
    )


def _read_score(value: Any) -> float | None:
    """A finite number; None where it is none."""
    try:
        score = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        score = math.inf
    return score if math.isfinite(score) else None


def _read_masks(rles: Sequence[Any]) -> tuple[list[Rle | None], list[str]]:
    """The masks of a track, empty where they cannot be decoded, and why, frame by frame."""
    masks: list[Rle | None] = []
    unreadable = []
    for frame, rle in enumerate(rles):
        try:
            if rle is not None:
                check_mask(rle)
                if 0 in rle["size"]:
                    raise MediaError(f"a mask of size {rle['size']} has no pixel")
        except MediaError as error:
            unreadable.append(f"frame {frame}: {str(error)[:80]}")
            masks.append(None)
        else:
            masks.append(rle)
    return masks, unreadable


def align_predictions(
    question_ids: Sequence[str], rows: Iterable[Any]
) -> tuple[list[Prediction], list[Fault]]:
    """Put the answers of a dialogue in the order of its questions.

    Args:
        question_ids: of the benchmark.
        rows: answers as a file has them.

    Returns:
        One prediction per question (where none is there, one with an error), and what is wrong: the first of two
        answers counts, answers to what is not asked do not.

    Raises:
        DataError: an answer that has not the form.
    """
    found: dict[str, Prediction] = {}
    faults: list[Fault] = []
    for row in rows:
        prediction, own = read_row(row)
        if prediction.question_id not in question_ids:
            faults.append(Fault("extra_predictions", f"question '{prediction.question_id}'"))
        elif prediction.question_id in found:
            faults.append(Fault("duplicate_predictions", f"question '{prediction.question_id}'"))
        else:
            found[prediction.question_id] = prediction
            faults += own
    for question_id in question_ids:
        if question_id not in found:
            faults.append(Fault("missing_predictions", f"question '{question_id}'"))
            found[question_id] = Prediction(question_id, error=NO_PREDICTION)
        elif found[question_id].is_answered and not found[question_id].raw and not found[question_id].objects:
            faults.append(Fault("empty_answers", f"question '{question_id}'"))
        elif found[question_id].error is not None:
            faults.append(
                Fault("refused_questions", f"question '{question_id}': {str(found[question_id].error)[:80]}")
            )
    return [found[question_id] for question_id in question_ids], faults
