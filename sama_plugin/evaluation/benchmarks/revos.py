"""ReVOS: expressions that refer and such that need reasoning; J, F, accuracy A and robustness R.

Published layout: `meta_expressions_valid_.json`, whose video names are folders of frames below the data folder,
`mask_dict.json`, and `mask_dict_foreground.json` (made of all annotated objects where it is not there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.data.json_file import read_json
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.expressions import (
    Expression,
    ExpressionBenchmark,
    count_rows,
    decode_union,
)
from sama_plugin.evaluation.metrics.revos_scores import (
    OVERALL,
    average_expressions,
    official_pixel_accuracy,
    official_robustness,
    pixel_accuracy,
    robustness,
)


class RevosBenchmark(ExpressionBenchmark):
    """J, F, A and R by type of expression; overall is the mean of both types.

    Args:
        data: the data folder.
    """

    name = "revos"

    def __init__(self, data: Path) -> None:
        super().__init__(data / "meta_expressions_valid_.json", data / "mask_dict.json", data)
        foreground = data / "mask_dict_foreground.json"
        self.foreground: Mapping[str, Any] = {}
        if foreground.is_file():
            self.foreground = read_json(foreground)
            self.files.append(foreground)
        # the expressions of a video follow each other, and each is measured several times
        self._foreground = lru_cache(maxsize=1)(self._decode_foreground)

    def measure(
        self, expression: Expression, gt_masks: np.ndarray, pred_masks: np.ndarray
    ) -> dict[str, float]:
        """J, F, A and R."""
        foreground = self._foreground(expression.video, gt_masks.shape)
        return super().measure(expression, gt_masks, pred_masks) | {
            "A": float(pixel_accuracy(gt_masks, pred_masks).mean()),
            "R": float(robustness(gt_masks, pred_masks, foreground).mean()),
        }

    def measure_officially(
        self, expression: Expression, gt_masks: np.ndarray, pred_masks: np.ndarray
    ) -> dict[str, float]:
        """A and R in 8-bit arithmetic."""
        num_frames, *size = gt_masks.shape
        counts = np.zeros(gt_masks.shape, dtype=np.uint8)
        for mask_id in expression.mask_ids:
            counts += decode_union([self.tracks[mask_id]], num_frames, (size[0], size[1]))
        foreground = self._foreground(expression.video, gt_masks.shape)
        return {
            "A": float(official_pixel_accuracy(counts, pred_masks).mean()),
            "R": float(official_robustness(counts, pred_masks, foreground).mean()),
        }

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means of both types of expression, and of these."""
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        types = [self.expressions[f"{d.video}/{d.questions[0]['question_id']}"] for d in dialogues]
        type_ids = [int(expression.facts.get("type_id", 0)) for expression in types]
        metrics: dict[str, float | None] = {}
        for prefix, key in (("", "scores"), ("official/", "official")):
            groups = average_expressions([row[key] for row in rows], type_ids, official=bool(prefix))
            for name, value in groups.pop(OVERALL).items():
                metrics[prefix + name] = value
            if not prefix:
                for group, values in groups.items():
                    metrics.update({f"{group}/{name}": value for name, value in values.items()})
        return Summary(metrics, {**dict.fromkeys(metrics, len(rows)), **count_rows(dialogues)})

    def _decode_foreground(self, video: str, shape: tuple[int, ...]) -> np.ndarray:
        """(T, H, W) bool; every annotated object of a video."""
        size = (shape[1], shape[2])
        if video in self.foreground:
            return decode_union([self.foreground[video]["masks_rle"]], shape[0], size)
        mask_ids = {i: None for e in self.of_video[video] for i in e.mask_ids}
        return decode_union([self.tracks[i] for i in mask_ids], shape[0], size)
