"""The small world as a benchmark: its dialogues, held turn by turn, the answerer's own answers as history.

In: the folder `sama shapes` wrote. Out: J, F and J&F of grounding, exactness of words and spans, whether what
is not there is denied, and how many turns come out right that cannot be answered without earlier ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sama_plugin.constants import DATA_REGION
from sama_plugin.data.sources.sama239k import Record, read_records
from sama_plugin.errors import DataError, PromptError
from sama_plugin.evaluation.answerer import Answerer, Dialogue
from sama_plugin.evaluation.harness import Summary
from sama_plugin.evaluation.metrics.object_matching import score_objects
from sama_plugin.evaluation.metrics.text_match import (
    answer_matches,
    normalise,
    parse_span,
    says_none,
    span_error,
)
from sama_plugin.evaluation.results import fingerprint_file
from sama_plugin.media.masks import decode_mask, decode_track
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.schema import GroundedAnswer, GroundedObject, RegionPrompt, Rle, Sample, Turn

GOOD_MASK = 0.5
"""Least J&F at which a mask turn that needs the history counts as right."""

GOOD_SPAN = 0.1
"""Largest span error at which a turn that asks for a time and needs the history counts as right."""

POINTING_AREA = 0.5
"""A region is pointed at on the first frame where it shows at least this share of its largest area."""

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


@dataclass
class _Talk:
    """A dialogue so far.

    Attributes:
        names: mask id of a region → its name, where the answerer knows it.
        num_names: names given, also where the answerer refused the question.
        grounded: for each `[SEG]` the earlier answers should have, the object that stands for it.
    """

    names: dict[str, str] = field(default_factory=dict)
    num_names: int = 0
    grounded: list[GroundedObject | None] = field(default_factory=list)


class _Asked(NamedTuple):
    """A turn put into words: the question with names, the regions it defines, and their mask ids."""

    question: str
    regions: list[RegionPrompt]
    region_ids: list[str]


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
        videos = sorted({Path(sample.video_path) for sample in self._samples.values()})
        files = [records, masks, *(video for video in videos if video.is_file())]
        self.fingerprint = hashlib.sha256("".join(map(fingerprint_file, files)).encode()).hexdigest()
        self.dialogue_ids: Sequence[str] = list(self._samples)

    def run(self, dialogue_id: str, answerer: Answerer) -> dict[str, Any]:
        """Hold one dialogue.

        A turn that means an object the answerer never produced is not asked and counts as wrong; so does one
        the answerer refuses. The dialogue goes on after both.

        Returns:
            `held_out`, and a row per turn with question, answer, objects and scores.
        """
        sample, facts = self._samples[dialogue_id], self._facts[dialogue_id]
        dialogue = answerer.start(sample)
        talk = _Talk()
        rows = []
        for turn, fact in zip(sample.turns, facts, strict=True):
            asked = _put_into_words(sample, turn, fact, talk)
            answer, error = (None, None) if asked is None else _ask(dialogue, asked)
            if asked is not None and answer is not None:
                talk.names.update({i: r.name for i, r in zip(asked.region_ids, asked.regions, strict=True)})
            row, partners = _score_turn(sample, turn, fact, answer)
            row["asked"], row["error"] = asked is not None, error
            talk.grounded += partners
            rows.append(row)
        return {"held_out": self._held_out[dialogue_id], "turns": rows}

    def summarise(self, dialogues: Sequence[dict[str, Any]]) -> Summary:
        """Metrics over all turns, over videos with and without held-out combinations, and by kind of turn."""
        turns = [turn for dialogue in dialogues for turn in dialogue["turns"]]
        metrics: dict[str, float | None] = {}
        counts = {
            "dialogues": len(dialogues),
            "turns": len(turns),
            "not_asked": sum(not turn["asked"] for turn in turns),
            "refused": sum(turn["error"] is not None for turn in turns),
        }
        _measure(turns, "", metrics, counts)
        for subset, wanted in (("held_out", True), ("familiar", False)):
            chosen = [turn for d in dialogues if d["held_out"] == wanted for turn in d["turns"]]
            _measure(chosen, f"{subset}/", metrics, counts)
        for name in ("J&F", "referring_accuracy", "multi_turn_accuracy", "no_target_accuracy"):
            for kind in sorted({turn["kind"] for turn in turns if name in turn["scores"]}):
                scores = [t["scores"][name] for t in turns if t["kind"] == kind and name in t["scores"]]
                metrics[f"{name}/{kind}"], counts[f"{name}/{kind}"] = float(np.mean(scores)), len(scores)
        return Summary(metrics, counts)


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
    "span_error": "turns that ask for a time: mean distance of start and end, as a share of the clip",
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


def _put_into_words(
    sample: Sample,
    turn: Turn,
    fact: TurnFacts,
    talk: _Talk,
) -> _Asked | None:
    """The question as a user would put it; None where it means an object that was never produced."""
    regions: list[RegionPrompt] = []
    region_ids: list[str] = []
    names = []
    for region_id, number in zip(turn.region_ids, fact.refers, strict=True):
        if number is not None:
            thing = talk.grounded[number]
            if thing is None:
                return None
            names.append(thing.id)
        elif region_id in talk.names:
            names.append(talk.names[region_id])
        elif region_id in region_ids:
            names.append(regions[region_ids.index(region_id)].name)
        else:
            talk.num_names += 1
            regions.append(_point_at(sample, region_id, f"r{talk.num_names}"))
            region_ids.append(region_id)
            names.append(regions[-1].name)
    question = turn.question
    for name in names:
        question = question.replace(DATA_REGION, f"<{name}>", 1)
    return _Asked(question, regions, region_ids)


def _point_at(sample: Sample, region_id: str, name: str) -> RegionPrompt:
    """An object as a region, on the first frame where it is well visible.

    Raises:
        DataError: it is visible nowhere.
    """
    track = sample.masks[region_id]
    areas = np.array([0 if rle is None else np.count_nonzero(decode_mask(rle)) for rle in track])
    if not areas.any():
        raise DataError(f"Sample '{sample.sample_id}': region '{region_id}' is visible on no frame.")
    frame = int(np.argmax(areas >= POINTING_AREA * areas.max()))
    shown = track[frame]
    assert shown is not None, "its area is not 0"
    return RegionPrompt(name=name, kind="mask", frame=frame, mask=decode_mask(shown))


def _ask(dialogue: Dialogue, asked: _Asked) -> tuple[GroundedAnswer | None, str | None]:
    """An answer, or why there is none."""
    try:
        return dialogue.ask(asked.question, asked.regions), None
    except PromptError as error:
        return None, str(error)


def _score_turn(
    sample: Sample, turn: Turn, fact: TurnFacts, answer: GroundedAnswer | None
) -> tuple[dict[str, Any], list[GroundedObject | None]]:
    """The row of a turn, and for each of its targets the object that stands for it in later questions."""
    shown = [] if answer is None else [thing for thing in answer.objects if any(thing.rle)]
    text = "" if answer is None else answer.raw
    partners: list[GroundedObject | None] = []
    if turn.target_ids:
        scores, partners = _score_masks(sample, turn, shown)
        right = scores["J&F"] >= GOOD_MASK
        if answer is not None:
            scores["false_none_rate"] = float(not shown)
    elif fact.answer_key == NONE_KEY:
        right = says_none(text) and not shown
        scores = {
            "no_target_accuracy": float(right),
            "no_object_rate": float(answer is not None and not shown),
        }
    elif turn.span is not None:
        truth = parse_span(turn.answer)
        assert truth is not None, "checked when it was read"
        scores = {"span_error": span_error(text, truth)}
        right = scores["span_error"] <= GOOD_SPAN
    else:
        assert fact.answer_key is not None, "checked when it was read"
        right = answer_matches(text, fact.answer_key)
        scores = {} if fact.needs_history else {"referring_accuracy": float(right)}
    if fact.needs_history:
        scores["multi_turn_accuracy"] = float(right)
    row = {
        "task": turn.task,
        "kind": turn.kind,
        "question": turn.question if answer is None else answer.question,
        "truth": turn.answer,
        "answer": text,
        "objects": []
        if answer is None
        else [{"id": o.id, "phrase": o.phrase, "score": o.score, "rle": list(o.rle)} for o in answer.objects],
        "scores": scores,
    }
    return row, partners


def _score_masks(
    sample: Sample, turn: Turn, shown: Sequence[GroundedObject]
) -> tuple[dict[str, float], list[GroundedObject | None]]:
    """Scores of a turn with targets, and the object that stands for each: its match, if they overlap."""
    targets = [_union_track(sample, ids) for ids in turn.target_ids]
    for thing in shown:
        if len(thing.rle) != len(targets[0]):
            raise DataError(
                f"Sample '{sample.sample_id}': object '{thing.id}' has masks for {len(thing.rle)} frames, "
                f"the ground truth has {len(targets[0])}; is the video the one the masks were made for?"
            )
    tracks = [decode_track(thing.rle) for thing in shown]
    matched = score_objects(targets, tracks)
    partners: list[GroundedObject | None] = []
    num_called_right = 0
    for target, phrase, p in zip(targets, parse_answer(turn.answer).phrases, matched.partners, strict=True):
        overlaps = p is not None and bool((target & tracks[p]).any())
        partners.append(shown[p] if p is not None and overlaps else None)
        num_called_right += p is not None and overlaps and normalise(shown[p].phrase) == normalise(phrase)
    scores = {
        "J": matched.region,
        "F": matched.contour,
        "J&F": (matched.region + matched.contour) / 2,
        "phrase_accuracy": num_called_right / len(targets),
    }
    return scores, partners


def _union_track(sample: Sample, ids: Sequence[str]) -> np.ndarray:
    """(T, H, W) bool; everything that belongs to one `[SEG]`."""
    tracks: list[list[Rle | None]] = [sample.masks[i] for i in ids]
    shown = [decode_track(track) for track in tracks if any(track)]
    if not shown:
        raise DataError(f"Sample '{sample.sample_id}': target {list(ids)} is visible on no frame.")
    return np.logical_or.reduce(shown)
