"""What the benchmarks of referring video segmentation share: expressions of a video, one mask track each.

Published layout: a `meta_expressions.json` with `videos: {name: {frames: [...], expressions: {id: {exp, ...}}}}`,
frames in `JPEGImages/<video>/<frame>.jpg`. An expression is asked by itself: `Please segment {exp}.`, or in its own
words where it is a question. All objects of an answer together are its mask; `official/...` takes the first, as the
SAMA release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.data.json_file import read_json
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Benchmark, Scored, Summary
from sama_plugin.evaluation.data_fingerprint import fingerprint_data
from sama_plugin.evaluation.faults import Fault, fit_objects, fit_track
from sama_plugin.evaluation.metrics.contour_accuracy import contour_accuracy
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone
from sama_plugin.schema import GroundedObject, Rle, Sample, Turn

FOUND, NOTHING = "It is [SEG].", "There is no such object."


@dataclass(frozen=True)
class Expression:
    """One expression about one video.

    Attributes:
        video: its name.
        expression_id: unique in the video.
        text: as published.
        mask_ids: objects it means; empty: none, or unknown.
        facts: of the file, what else it says.
    """

    video: str
    expression_id: str
    text: str
    mask_ids: tuple[str, ...]
    facts: Mapping[str, Any]

    @property
    def question(self) -> str:
        """As it is asked."""
        return self.text if "?" in self.text else f"Please segment {self.text.strip().rstrip('.')}."

    @property
    def turn(self) -> Turn:
        """With the true answer."""
        answer, targets = (FOUND, (self.mask_ids,)) if self.mask_ids else (NOTHING, ())
        return Turn(self.question, answer, (), targets, task="grounding")


class ExpressionBenchmark:
    """Base: a dialogue per expression; J and F of its track.

    Args:
        meta: `meta_expressions.json`.
        masks: `{id: [RLE or null per frame]}`; None where only a server scores.
        frames_root: `JPEGImages`.

    Raises:
        DataError: files missing or malformed.
    """

    name = ""

    def __init__(self, meta: Path, masks: Path | None, frames_root: Path) -> None:
        self.frames_root = frames_root
        self.has_masks = masks is not None
        self.files = [meta] if masks is None else [meta, masks]
        self.tracks: dict[str, list[Rle | None]] = {} if masks is None else read_json(masks)
        self.frames: dict[str, tuple[str, ...]] = {}
        self.expressions: dict[str, Expression] = {}
        for video, row in read_videos(meta).items():
            self.frames[video] = tuple(str(frame) for frame in row["frames"])
            for key, one in row["expressions"].items():
                mask_ids = tuple(str(i) for i in one.get("anno_id", ())) if masks is not None else ()
                expression = Expression(video, str(key), str(one["exp"]), mask_ids, one)
                self._check(expression, meta)
                self.expressions[f"{video}/{key}"] = expression
        self.dialogue_ids: Sequence[str] = list(self.expressions)

    @cached_property
    def fingerprint(self) -> str:
        """Of expressions, masks and frames."""
        return fingerprint_data(self.files, (self.frames_root / video for video in self.frames))

    def sample(self, dialogue_id: str) -> Sample:
        """The expression with its true masks."""
        expression = self.expressions[dialogue_id]
        return Sample(
            dialogue_id,
            str(self.frames_root / expression.video),
            (expression.turn,),
            {i: self.tracks[i] for i in expression.mask_ids},
            self.name,
            frame_names=self.frames[expression.video],
        )

    def question_ids(self, dialogue_id: str) -> list[str]:
        """The expression's id."""
        return [self.expressions[dialogue_id].expression_id]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask one expression in a dialogue of its own."""
        sample = self.sample(dialogue_id)
        return [ask_alone(sample, sample.turns[0], answerer, self.question_ids(dialogue_id)[0])]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """J and F of the expression's track.

        Raises:
            DataError: the masks are not published.
        """
        check_scored_here(self)
        expression, (prediction,) = self.expressions[dialogue_id], predictions
        faults: list[Fault] = []
        row = self.score_expression(expression, prediction, faults)
        return Scored(expression.video, [row], faults)

    def score_expression(
        self, expression: Expression, prediction: Prediction, faults: list[Fault]
    ) -> dict[str, Any]:
        """The row of an expression."""
        shown = prediction.shown
        gt_masks = self.true_masks(expression, shown)
        tracks = fit_objects(prediction.question_id, shown, gt_masks.shape, faults)
        row = expression_row(expression, prediction)
        joined = np.logical_or.reduce(tracks) if tracks else np.zeros_like(gt_masks)
        row["scores"] = self.measure(expression, gt_masks, joined)
        first = tracks[0] if tracks else joined
        row["official"] = (
            row["scores"] if len(tracks) < 2 else self.measure(expression, gt_masks, first)
        ) | self.measure_officially(expression, gt_masks, first)
        if prediction.error is not None:
            row["official"] = dict.fromkeys(row["official"], 0.0)
        return row

    def true_masks(self, expression: Expression, shown: Sequence[GroundedObject]) -> np.ndarray:
        """(T, H, W) bool; what an expression means; in a video without true masks of the given ones' size."""
        tracks = [self.tracks[i] for i in expression.mask_ids]
        size = self.frame_size(expression.video, [thing.rle for thing in shown])
        return decode_union(tracks, len(self.frames[expression.video]), size)

    def frame_size(self, video: str, tracks: Sequence[Sequence[Rle | None]]) -> tuple[int, int]:
        """(H, W) of a video's true masks; without any of `tracks`, and 1 by 1 where there is none at all."""
        own = (self.tracks[i] for e in self.of_video[video] for i in e.mask_ids)
        first = next((rle for track in (*own, *tracks) for rle in track if rle is not None), None)
        return (1, 1) if first is None else (int(first["size"][0]), int(first["size"][1]))

    @cached_property
    def of_video(self) -> dict[str, list[Expression]]:
        """Video → its expressions, in the order of the file."""
        by_video: dict[str, list[Expression]] = {video: [] for video in self.frames}
        for expression in self.expressions.values():
            by_video[expression.video].append(expression)
        return by_video

    def measure(
        self, expression: Expression, gt_masks: np.ndarray, pred_masks: np.ndarray
    ) -> dict[str, float]:
        """Scores of a track."""
        return measure_track(gt_masks, pred_masks)

    def measure_officially(
        self, expression: Expression, gt_masks: np.ndarray, pred_masks: np.ndarray
    ) -> dict[str, float]:
        """Scores that the SAMA release computes otherwise."""
        return {}

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means over expressions."""
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        metrics = {
            **mean_scores([row["scores"] for row in rows], ""),
            **mean_scores([row["official"] for row in rows], "official/"),
        }
        return Summary(metrics, {**dict.fromkeys(metrics, len(rows)), **count_rows(dialogues)})

    def _check(self, expression: Expression, meta: Path) -> None:
        missing = [i for i in expression.mask_ids if i not in self.tracks]
        if missing:
            raise DataError(
                f"{meta}, video '{expression.video}', expression '{expression.expression_id}' means mask ids "
                f"{', '.join(missing[:3])}, which {self.files[-1]} lacks; get both from the same release."
            )


def read_videos(meta: Path) -> dict[str, Any]:
    """`videos` of a `meta_expressions.json`, in its order.

    Raises:
        DataError: missing, malformed or of another form; says which video.
    """
    content = read_json(meta)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict) or not videos:
        raise DataError(f"{meta} has no 'videos'; expected those of a published meta_expressions.json.")
    for video, row in videos.items():
        expressions = row.get("expressions") if isinstance(row, dict) else None
        if not isinstance(expressions, dict) or not isinstance(row.get("frames"), list) or not row["frames"]:
            raise DataError(f"{meta}, video '{video}': expected 'frames' and 'expressions'.")
        bad = [key for key, one in expressions.items() if not isinstance(one, dict) or "exp" not in one]
        if bad:
            raise DataError(f"{meta}, video '{video}': expressions {', '.join(bad[:3])} have no 'exp'.")
    return videos


def decode_union(
    tracks: Sequence[Sequence[Rle | None]], num_frames: int, size: tuple[int, int]
) -> np.ndarray:
    """(T, H, W) bool; tracks together, frames that they lack empty."""
    joined = np.zeros((num_frames, *size), dtype=bool)
    for track in tracks:
        joined |= fit_track(track, num_frames, size, "ground truth")[0]
    return joined


def measure_track(
    gt_masks: np.ndarray, pred_masks: np.ndarray, void_masks: np.ndarray | None = None
) -> dict[str, float]:
    """J, F and their mean, over frames."""
    region = float(region_similarity(gt_masks, pred_masks, void_masks).mean())
    contour = float(contour_accuracy(gt_masks, pred_masks, void_masks=void_masks).mean())
    return {"J": region, "F": contour, "J&F": (region + contour) / 2}


def expression_row(expression: Expression, prediction: Prediction) -> dict[str, Any]:
    """What is kept of an expression and its answer; scores are added."""
    return {
        "question_id": prediction.question_id,
        "question": expression.question,
        "answer": prediction.raw,
        "error": prediction.error,
        "num_objects": len(prediction.shown),
    }


def count_rows(dialogues: Sequence[Scored]) -> dict[str, int]:
    """Videos, expressions, and how they were answered."""
    rows = [row for dialogue in dialogues for row in dialogue.questions]
    return {
        "videos": len({dialogue.video for dialogue in dialogues}),
        "expressions": len(rows),
        "without_object": sum(row["num_objects"] == 0 for row in rows),
        "several_objects": sum(row["num_objects"] > 1 for row in rows),
    }


def mean_scores(rows: Sequence[Mapping[str, float]], prefix: str = "") -> dict[str, float | None]:
    """Mean of each score over rows, its name with a prefix."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {prefix + name: float(np.mean([row[name] for row in rows])) for name in names}


def check_scored_here(benchmark: Benchmark) -> None:
    """See that the true masks of a benchmark are at hand.

    Raises:
        DataError: only its server has them.
    """
    if isinstance(benchmark, ExpressionBenchmark) and not benchmark.has_masks:
        raise DataError(
            f"The masks of '{benchmark.name}' are with its server; ask with `sama eval run`, then make a zip for it "
            "with `sama eval submit`."
        )
