"""RefCOCO, RefCOCO+ and RefCOCOg: expressions of objects in pictures; cIoU and gIoU, one sentence at a time.

Published layout, in a folder of the set's name: `refs(unc).p` (RefCOCOg: `refs(umd).p`) and `instances.json`; pictures
in `train2014/` there or beside it. All objects of an answer together are its mask; `official/...` takes the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.data.json_file import read_json
from sama_plugin.data.plain_pickle import load_plain_pickle
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.data_fingerprint import fingerprint_data
from sama_plugin.evaluation.faults import Fault, fit_objects
from sama_plugin.evaluation.metrics.referring_image import (
    Overlap,
    cumulative_iou,
    generalised_iou,
    measure_overlap,
    official_cumulative_iou,
    official_generalised_iou,
)
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone
from sama_plugin.media.masks import decode_mask, encode_segmentation
from sama_plugin.schema import Sample, Turn

IMAGES = "train2014"


class RefcocoBenchmark:
    """Sentences about objects of pictures.

    Args:
        data: folder with the set's folder.
        split: of the references.

    Raises:
        DataError: files missing or malformed, no reference of the split, or one that means nothing.
    """

    name = "refcoco"
    refs_file = "refs(unc).p"

    def __init__(self, data: Path, split: str) -> None:
        folder = data / self.name
        self._files = [folder / self.refs_file, folder / "instances.json"]
        self._images_root = next((p for p in (folder / IMAGES, data / IMAGES) if p.is_dir()), data / IMAGES)
        content = read_json(self._files[1])
        self._images = {image["id"]: image for image in content["images"]}
        outlines = {row["id"]: row["segmentation"] for row in content["annotations"]}
        self._asked: dict[str, tuple[Mapping[str, Any], Any, str]] = {}
        for ref in load_plain_pickle(self._files[0]):
            if ref["split"] != split:
                continue
            if ref["ann_id"] not in outlines or ref["image_id"] not in self._images:
                raise DataError(
                    f"{self._files[0]}, ref {ref['ref_id']} means annotation {ref['ann_id']} of image "
                    f"{ref['image_id']}, which {self._files[1].name} lacks; get both from the same release."
                )
            for k, sentence in enumerate(ref["sentences"]):
                dialogue_id = f"{ref['ref_id']}/{k}"
                image = self._images[ref["image_id"]]
                self._asked[dialogue_id] = (image, outlines[ref["ann_id"]], sentence["sent"])
        if not self._asked:
            raise DataError(f"{self._files[0]} has no references of split '{split}'.")
        self.dialogue_ids: Sequence[str] = list(self._asked)

    @cached_property
    def fingerprint(self) -> str:
        """Of references, outlines and the pictures that are asked about."""
        pictures = {self._images_root / image["file_name"] for image, _, _ in self._asked.values()}
        return fingerprint_data(self._files, pictures)

    def sample(self, dialogue_id: str) -> Sample:
        """The picture as a clip of one frame, and one sentence."""
        image, outline, sentence = self._asked[dialogue_id]
        rle = encode_segmentation(outline, image["height"], image["width"])
        turn = Turn(
            f"Please segment {sentence} in this image.", "It is [SEG].", (), (("0",),), task="grounding"
        )
        path = str(self._images_root / image["file_name"])
        return Sample(dialogue_id, path, (turn,), {"0": [rle]}, self.name)

    def question_ids(self, dialogue_id: str) -> list[str]:
        """One question."""
        return ["0"]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask one sentence in a dialogue of its own."""
        sample = self.sample(dialogue_id)
        return [ask_alone(sample, sample.turns[0], answerer, "0")]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """IoU of one sentence; pixels of both masks and of either go into the sums."""
        image, sample, (prediction,) = (
            self._asked[dialogue_id][0],
            self.sample(dialogue_id),
            predictions,
        )
        (rle,) = sample.masks["0"]
        shape = (image["height"], image["width"])
        gt_mask = np.zeros(shape, dtype=bool) if rle is None else decode_mask(rle)
        faults: list[Fault] = []
        tracks = fit_objects("0", prediction.objects, (1, *shape), faults)
        joined = np.logical_or.reduce(tracks)[0] if tracks else None
        overlap = measure_overlap(gt_mask, joined)
        official = measure_overlap(gt_mask, tracks[0][0] if tracks else None)
        row = {
            "question_id": "0",
            "question": sample.turns[0].question,
            "answer": prediction.raw,
            "error": prediction.error,
            "scores": {"gIoU": generalised_iou([overlap])},
            "overlap": list(overlap),
            "official_overlap": list(official),
        }
        return Scored(image["file_name"], [row], faults)

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """CIoU and gIoU over sentences."""
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        overlaps = [Overlap(*row["overlap"]) for row in rows]
        official = [Overlap(*row["official_overlap"]) for row in rows]
        metrics = {
            "cIoU": cumulative_iou(overlaps),
            "gIoU": generalised_iou(overlaps),
            "official/cIoU": official_cumulative_iou(official),
            "official/gIoU": official_generalised_iou(official),
        }
        counts = {
            **dict.fromkeys(metrics, len(rows)),
            "images": len({dialogue.video for dialogue in dialogues}),
            "sentences": len(rows),
            "without_object": sum(not overlap.is_given for overlap in overlaps),
        }
        return Summary(metrics, counts)


class RefcocoPlusBenchmark(RefcocoBenchmark):
    """RefCOCO+: no words of place."""

    name = "refcoco+"


class RefcocogBenchmark(RefcocoBenchmark):
    """RefCOCOg: longer sentences, split by pictures."""

    name = "refcocog"
    refs_file = "refs(umd).p"
