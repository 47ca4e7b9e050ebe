"""Ref-DAVIS17: four annotators describe each object; the objects of an annotator share the frame, then DAVIS scores.

Published layout, as the referring models prepare it: `meta_expressions/valid/meta_expressions.json` with four
expressions per object, `valid/JPEGImages/`, and `valid/Annotations/<video>/<frame>.png` with palette ids (255 is not
judged).

    J&F              objects of an annotator merged and matched as DAVIS does, means over objects, then annotators
    by_id/J&F        the same, each object held against its own mask: stricter
    official/J&F     the SAMA release: each expression by itself
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.expressions import (
    ExpressionBenchmark,
    count_rows,
    expression_row,
    mean_scores,
    measure_track,
)
from sama_plugin.evaluation.faults import Fault, fit_objects
from sama_plugin.evaluation.metrics.davis_protocol import (
    NUM_ANNOTATORS,
    ObjectRow,
    average_annotators,
    expression_place,
    merge_objects,
    score_annotator,
)
from sama_plugin.evaluation.metrics.mask_input import palette_tracks
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone
from sama_plugin.media.masks import encode_track
from sama_plugin.schema import Sample

PROTOCOLS = {"": True, "by_id/": False}
"""Prefix of the metrics → whether objects are matched."""


class RefDavis17Benchmark(ExpressionBenchmark):
    """A dialogue per video, each expression asked by itself.

    Args:
        data: folder with `meta_expressions` and `valid`.

    Raises:
        DataError: also where a video has not four expressions per object.
    """

    name = "ref-davis17"

    def __init__(self, data: Path) -> None:
        meta = data / "meta_expressions" / "valid" / "meta_expressions.json"
        super().__init__(meta, None, data / "valid" / "JPEGImages")
        self.has_masks = True  # as pictures
        self.annotations = data / "valid" / "Annotations"
        self.files += sorted(self.annotations.glob("*/*.png"))
        for video, expressions in self.of_video.items():
            if len(expressions) % NUM_ANNOTATORS:
                raise DataError(
                    f"{meta}, video '{video}' has {len(expressions)} expressions, expected {NUM_ANNOTATORS} per object."
                )
        self.dialogue_ids = list(self.frames)

    def sample(self, dialogue_id: str) -> Sample:
        """All expressions of a video with their true masks."""
        objects, _ = self._read_objects(dialogue_id)
        turns = tuple(
            dataclasses.replace(expression, mask_ids=(str(expression_place(k)[0]),)).turn
            for k, expression in enumerate(self.of_video[dialogue_id])
        )
        masks = {str(k): encode_track(track) for k, track in enumerate(objects)}
        folder = self.frames_root / dialogue_id
        return Sample(dialogue_id, str(folder), turns, masks, self.name, frame_names=self.frames[dialogue_id])

    def question_ids(self, dialogue_id: str) -> list[str]:
        """Ids of the expressions."""
        return [expression.expression_id for expression in self.of_video[dialogue_id]]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask each expression in a dialogue of its own."""
        sample = self.sample(dialogue_id)
        ids = self.question_ids(dialogue_id)
        return [
            ask_alone(sample, turn, answerer, question_id)
            for question_id, turn in zip(ids, sample.turns, strict=True)
        ]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """Rows of the expressions by themselves, and in the facts those of the merged objects."""
        objects, void = self._read_objects(dialogue_id)
        faults: list[Fault] = []
        tracks: list[np.ndarray] = []
        rows = []
        for k, (expression, prediction) in enumerate(
            zip(self.of_video[dialogue_id], predictions, strict=True)
        ):
            own = fit_objects(prediction.question_id, prediction.shown, objects[0].shape, faults)
            tracks.append(np.logical_or.reduce(own) if own else np.zeros_like(objects[0]))
            row = expression_row(expression, prediction)
            row["scores"] = measure_track(objects[expression_place(k)[0]], own[0] if own else tracks[-1])
            rows.append(row)
        sure = [max((o.score for o in p.shown), default=0.0) for p in predictions]
        merged = [
            merge_objects(
                tracks[a::NUM_ANNOTATORS], [np.broadcast_to(s, void.shape) for s in sure[a::NUM_ANNOTATORS]]
            )
            for a in range(NUM_ANNOTATORS)
        ]
        objects_of = {
            prefix: [score_annotator(objects, ids, void, matched=matched) for ids in merged]
            for prefix, matched in PROTOCOLS.items()
        }
        scores = average_annotators(dict(enumerate(objects_of[""])))
        return Scored(dialogue_id, rows, faults, {"objects": objects_of}, scores)

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means over objects, then annotators; and over expressions as the SAMA release has them."""
        metrics: dict[str, float | None] = {}
        for prefix in PROTOCOLS:
            rows: dict[int, list[ObjectRow]] = defaultdict(list)
            for dialogue in dialogues:
                for annotator, own in enumerate(dialogue.facts["objects"][prefix]):
                    rows[annotator] += own
            metrics.update({prefix + name: value for name, value in average_annotators(rows).items()})
        num_objects = sum(len(dialogue.facts["objects"][""][0]) for dialogue in dialogues)
        counts = {**dict.fromkeys(metrics, num_objects), **count_rows(dialogues), "objects": num_objects}
        official = mean_scores([r["scores"] for d in dialogues for r in d.questions], "official/")
        counts.update(dict.fromkeys(official, counts["expressions"]))
        return Summary(metrics | official, counts)

    def _read_objects(self, video: str) -> tuple[list[np.ndarray], np.ndarray]:
        """(T, H, W) bool of each object, and of what is not judged."""
        frames = []
        for name in self.frames[video]:
            path = self.annotations / video / f"{name}.png"
            try:
                with Image.open(path) as picture:
                    frames.append(np.asarray(picture))
            except (OSError, SyntaxError) as error:
                raise DataError(f"{path} cannot be read: {error}; get the annotations anew.") from error
        if len({frame.shape for frame in frames}) != 1 or frames[0].ndim != 2:
            raise DataError(
                f"{self.annotations / video}: pictures of shapes {sorted({f.shape for f in frames})}, expected palette "
                "pictures of one (H, W)."
            )
        ids = np.stack(frames)
        found, void = palette_tracks(ids, str(self.annotations / video))
        num_objects = len(self.of_video[video]) // NUM_ANNOTATORS
        if max(found, default=0) > num_objects:
            raise DataError(
                f"{self.annotations / video} has the object id {max(found)}, but expressions for {num_objects} objects."
            )
        empty = np.zeros(ids.shape, dtype=bool)
        objects = [found.get(k + 1, empty) for k in range(num_objects)]
        return objects, empty if void is None else void
