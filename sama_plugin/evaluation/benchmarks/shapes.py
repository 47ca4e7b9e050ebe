"""The small world as a benchmark: its dialogues, held turn by turn, the answerer's own answers as history.

In: the folder `sama shapes` wrote. Out: J, F and J&F of grounding, exactness of words and spans, whether what
is not there is denied, and how many turns come out right that cannot be answered without earlier ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.data.sources.sama239k import Record, read_records
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.faults import Fault, fit_objects
from sama_plugin.evaluation.metrics.object_matching import score_objects
from sama_plugin.evaluation.metrics.temporal_iou import temporal_iou, visibility_iou
from sama_plugin.evaluation.metrics.text_match import (
    answer_matches,
    normalise,
    parse_span,
    says_none,
    span_error,
)
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import Questioner
from sama_plugin.evaluation.results import fingerprint_file
from sama_plugin.evaluation.targets import union_track
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.schema import Sample, Turn

GOOD_MASK = 0.5
"""Least J&F at which a mask turn that needs the history counts as right."""

GOOD_SPAN = 0.1
"""Largest span error at which a turn that asks for a time and needs the history counts as right."""

NONE_KEY = "none"


@dataclass(frozen=True)
class TurnFacts:
    """What a record keeps beside the words of a turn.

    Attributes:
        needs_history: whether it cannot be answered without the earlier turns.
        refers: for each `<mask>` the 0-based number of the earlier `[SEG]` it means, or None.
        answer_key: short canonical answer; `none` where the answer is that there is nothing; None for masks.
    """

    needs_history: bool
    refers: tuple[int | None, ...]
    answer_key: str | None


class ShapesBenchmark:
    """Dialogues of one folder of moving shapes.

    Args:
        data: folder with `records.json`, `mask_dict.json` and `videos/`.

    Raises:
        DataError: a file is missing or a record breaks the format.
    """

    name = "shapes"

    def __init__(self, data: Path) -> None:
        records, masks = data / "records.json", data / "mask_dict.json"
        self._samples: dict[str, Sample] = {}
        self._facts: dict[str, list[TurnFacts]] = {}
        self._held_out: dict[str, bool] = {}
        for record in read_records(records, masks, data, source=self.name, strict=True):
            sample_id = record.sample.sample_id
            self._samples[sample_id] = record.sample
            self._facts[sample_id] = _read_facts(record)
            self._held_out[sample_id] = bool(record.raw.get("held_out", False))
        if not self._samples:
            raise DataError(f"{records} has no dialogue; make some with `sama shapes`.")
        self._files = (records, masks)
        self._notes = _origin(data / "meta.json")
        self.dialogue_ids: Sequence[str] = list(self._samples)

    @cached_property
    def fingerprint(self) -> str:
        """Of records, masks and the videos that are there."""
        videos = sorted({Path(sample.video_path) for sample in self._samples.values()})
        files = [*self._files, *(video for video in videos if video.is_file())]
        return hashlib.sha256("".join(map(fingerprint_file, files)).encode()).hexdigest()

    def sample(self, dialogue_id: str) -> Sample:
        """The dialogue with its true answers."""
        return self._samples[dialogue_id]

    def question_ids(self, dialogue_id: str) -> list[str]:
        """Numbers of its turns, from 0."""
        return [str(i) for i in range(len(self._samples[dialogue_id].turns))]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Hold one dialogue.

        A turn that means an object the answerer never produced is not asked and counts as wrong; so does one
        the answerer refuses. The dialogue goes on after both.
        """
        sample, facts = self._samples[dialogue_id], self._facts[dialogue_id]
        questioner = Questioner(sample, answerer)
        return [
            questioner.ask(str(i), turn, fact.refers)
            for i, (turn, fact) in enumerate(zip(sample.turns, facts, strict=True))
        ]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """A row per turn with question, answer and scores."""
        sample, facts = self._samples[dialogue_id], self._facts[dialogue_id]
        faults: list[Fault] = []
        rows = [
            _score_turn(sample, turn, fact, prediction, faults)
            for turn, fact, prediction in zip(sample.turns, facts, predictions, strict=True)
        ]
        return Scored(Path(sample.video_path).name, rows, faults, {"held_out": self._held_out[dialogue_id]})

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Metrics over all turns, over videos with and without held-out combinations, and by kind of turn."""
        turns = [turn for dialogue in dialogues for turn in dialogue.questions]
        metrics: dict[str, float | None] = {}
        counts = {
            "dialogues": len(dialogues),
            "turns": len(turns),
            "not_asked": sum(not turn["asked"] for turn in turns),
        }
        _measure(turns, "", metrics, counts)
        for subset, wanted in (("held_out", True), ("familiar", False)):
            chosen = [turn for d in dialogues if d.facts["held_out"] == wanted for turn in d.questions]
            _measure(chosen, f"{subset}/", metrics, counts)
        for name in ("J&F", "referring_accuracy", "multi_turn_accuracy", "no_target_accuracy"):
            for kind in sorted({turn["kind"] for turn in turns if name in turn["scores"]}):
                scores = [t["scores"][name] for t in turns if t["kind"] == kind and name in t["scores"]]
                metrics[f"{name}/{kind}"], counts[f"{name}/{kind}"] = float(np.mean(scores)), len(scores)
        return Summary(metrics, counts, notes=self._notes)


METRICS = {
    "J": "turns with targets: region similarity",
    "F": "turns with targets: contour accuracy",
    "J&F": "turns with targets: mean of both",
    "phrase_accuracy": "turns with targets: share of them whose object is called right",
    "false_none_rate": "turns with targets, where asked: whether no object was produced",
    "referring_accuracy": "turns answered in words that need no history: whether the words are right",
    "multi_turn_accuracy": "turns that need the history: whether words, masks, span or denial are right",
    "no_target_accuracy": "turns about what is not there: whether that is said and no object produced",
    "no_object_rate": "turns about what is not there: whether no object was produced, whatever was said",
    "visibility_iou": "turns with targets: overlap of the frames where a target and its object show",
    "span_error": "turns that ask for a time: mean distance of start and end, as a share of the clip",
    "temporal_iou": "turns that ask for a time: overlap of the span with the true one",
}
"""Name → which turns it is measured on, and what."""


def _measure(
    turns: Sequence[dict[str, Any]], prefix: str, metrics: dict[str, float | None], counts: dict[str, int]
) -> None:
    """Mean of each metric over the turns that have it, and their number, into `metrics` and `counts`."""
    for name in METRICS:
        scores = [turn["scores"][name] for turn in turns if name in turn["scores"]]
        metrics[prefix + name] = float(np.mean(scores)) if scores else None
        counts[prefix + name] = len(scores)


def _origin(meta: Path) -> tuple[str, ...]:
    """How to make the same data again, where `sama shapes` has left word of it; a dataset put together has none."""
    try:
        made = json.loads(meta.read_text(encoding="utf-8"))
        command = f"sama shapes --seed {int(made['seed'])} --videos {int(made['num_videos'])}"
        split = f" --split {made['split']}" if made["split"] != "test" else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return (f"Data made by `{command}{split} --out DATA`.",)


def _read_facts(record: Record) -> list[TurnFacts]:
    """Facts of each turn.

    Raises:
        DataError: facts are missing or do not fit the turn; says the sample and the turn.
    """
    sample, rows = record.sample, record.raw.get("turns")
    if not isinstance(rows, list) or len(rows) != len(sample.turns):
        raise DataError(
            f"Sample '{sample.sample_id}': 'turns' must list its {len(sample.turns)} rounds, one entry each."
        )
    facts = []
    num_said = 0
    for i, (turn, row) in enumerate(zip(sample.turns, rows, strict=True)):
        where = f"Sample '{sample.sample_id}' turn {i}"
        refers = tuple(row.get("refers") or (None,) * len(turn.region_ids))
        if len(refers) != len(turn.region_ids):
            raise DataError(
                f"{where}: 'refers' is {list(refers)} but the question has {len(turn.region_ids)} regions."
            )
        if any(k is not None and not 0 <= k < num_said for k in refers):
            raise DataError(
                f"{where}: 'refers' is {list(refers)} but {num_said} objects were grounded before it."
            )
        key = row.get("answer_key")
        if turn.span is not None and parse_span(turn.answer) is None:
            raise DataError(f"{where}: the answer {turn.answer!r} to a question for a time has no span.")
        if not turn.target_ids and turn.span is None and key is None:
            raise DataError(f"{where}: an answer in words needs an 'answer_key'.")
        facts.append(TurnFacts(bool(row.get("needs_history", False)), refers, key))
        num_said += len(turn.target_ids)
    return facts


def _score_turn(
    sample: Sample, turn: Turn, fact: TurnFacts, prediction: Prediction, faults: list[Fault]
) -> dict[str, Any]:
    """The row of a turn; what is wrong with the masks is added to `faults`."""
    shown, text = prediction.shown, prediction.raw
    if turn.target_ids:
        scores = _score_masks(sample, turn, prediction, faults)
        right = scores["J&F"] >= GOOD_MASK
        if prediction.is_answered:
            scores["false_none_rate"] = float(not shown)
    elif fact.answer_key == NONE_KEY:
        right = says_none(text) and not shown
        scores = {
            "no_target_accuracy": float(right),
            "no_object_rate": float(prediction.is_answered and not shown),
        }
    elif turn.span is not None:
        truth = parse_span(turn.answer)
        assert truth is not None, "checked when it was read"
        scores = {
            "span_error": span_error(text, truth),
            "temporal_iou": temporal_iou(parse_span(text), truth),
        }
        right = scores["span_error"] <= GOOD_SPAN
    else:
        assert fact.answer_key is not None, "checked when it was read"
        right = answer_matches(text, fact.answer_key)
        scores = {} if fact.needs_history else {"referring_accuracy": float(right)}
    if fact.needs_history:
        scores["multi_turn_accuracy"] = float(right)
    return {
        "question_id": prediction.question_id,
        "task": turn.task,
        "kind": turn.kind,
        "question": prediction.question or turn.question,
        "truth": turn.answer,
        "answer": text,
        "asked": prediction.asked,
        "error": prediction.error,
        "scores": scores,
    }


def _score_masks(sample: Sample, turn: Turn, prediction: Prediction, faults: list[Fault]) -> dict[str, float]:
    """Scores of a turn with targets."""
    targets = [union_track(sample, ids) for ids in turn.target_ids]
    shown = prediction.shown
    tracks = fit_objects(prediction.question_id, shown, targets[0].shape, faults)
    matched = score_objects(targets, tracks)
    num_called_right, visibility = 0, 0.0
    for target, phrase, p in zip(targets, parse_answer(turn.answer).phrases, matched.partners, strict=True):
        if p is None:
            continue
        visibility += visibility_iou(target, tracks[p])
        overlaps = bool((target & tracks[p]).any())
        num_called_right += overlaps and normalise(shown[p].phrase) == normalise(phrase)
    return {
        "J": matched.region,
        "F": matched.contour,
        "J&F": (matched.region + matched.contour) / 2,
        "phrase_accuracy": num_called_right / len(targets),
        "visibility_iou": visibility / len(targets),
    }
