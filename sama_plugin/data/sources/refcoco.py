"""RefCOCO, RefCOCO+ and RefCOCOg: expressions of single objects in COCO pictures.

Published layout, of each: `refs(unc).p` or `refs(umd).p`, a pickle with a list of `{ref_id, ann_id, image_id, split,
sentences: [{sent, raw}]}`, and `instances.json` as COCO's; pictures `train2014/COCO_train2014_<12 digits>.jpg`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.data.lazy_samples import LazySamples, LazyTracks, LeftOut, published_form
from sama_plugin.data.plain_pickle import load_plain_pickle
from sama_plugin.data.referring import EXPRESSIONS_PER_EXAMPLE, expression_turn
from sama_plugin.data.wordings import SEGMENT_IN_PICTURE
from sama_plugin.errors import DataError
from sama_plugin.media.masks import encode_segmentation
from sama_plugin.schema import Sample, Turn


def read_refcoco(
    refs: Path, instances: Path, image_root: Path, source: str = "refcoco", split: str = "train"
) -> LazySamples:
    """A sample per picture, a turn per sentence.

    Args:
        refs: `refs(unc).p` or `refs(umd).p`, of plain containers only.
        instances: `instances.json`.
        image_root: `train2014`.
        source: name of the corpus.
        split: of the refs that are taken.

    Raises:
        DataError: files missing or malformed, a pickle that is more than containers, or nothing that can be used.

    Source: published layout; official `ReferSegmDataset` (spec §6.4, §10.12, §10.14). Differs: every sentence may be
        drawn instead of one per object chosen at the start; parts of an object are joined, not summed.
    """
    by_image: dict[Any, list[Any]] = {}
    for number, ref in enumerate(_rows(load_plain_pickle(refs), refs)):
        with published_form(f"{refs}, ref {number}"):
            if ref["split"] == split:
                by_image.setdefault(ref["image_id"], []).append(ref)
    if not by_image:
        raise DataError(f"{refs} has no refs of split '{split}'.")
    images, outlines = _read_instances(instances, by_image)

    def make(record: tuple[Any, list[Any]], left_out: LeftOut) -> Sample | None:
        image_id, own = record
        if image_id not in images:
            left_out.add("image-missing", f"image {image_id} is not in {instances}")
            return None
        image = images[image_id]
        turns = tuple(turn for ref in own for turn in _turns(ref, outlines, source, left_out))
        if not turns:
            return None
        size = image["height"], image["width"]
        return Sample(
            sample_id=f"{source}/{image_id}",
            video_path=str(image_root / image["file_name"]),
            turns=turns,
            masks=LazyTracks(
                [i for turn in turns for i in turn.mask_ids],
                lambda key: [encode_segmentation(json.loads(outlines[int(key)]), *size)],
            ),
            source=source,
            num_drawn=EXPRESSIONS_PER_EXAMPLE,
        )

    return LazySamples(source, list(by_image.items()), make, num_drawn=EXPRESSIONS_PER_EXAMPLE)


def _read_instances(path: Path, by_image: dict[Any, list[Any]]) -> tuple[dict[Any, Any], dict[Any, str]]:
    """Images that are referred to, by id, and outlines of what is meant, by id of the annotation, as JSON: compact."""
    content = read_json(path)
    rows, annotations = _rows(content, path, "images"), _rows(content, path, "annotations")
    with published_form(str(path)):
        wanted = {ref["ann_id"] for refs in by_image.values() for ref in refs}
        images = {row["id"]: row for row in rows if row["id"] in by_image}
        meant = [row for row in annotations if row["id"] in wanted and row["segmentation"]]
    return images, {row["id"]: json.dumps(row["segmentation"]) for row in meant}


def _turns(ref: Any, outlines: dict[Any, str], source: str, left_out: LeftOut) -> list[Turn]:
    place, annotation = f"ref {ref['ref_id']}", ref["ann_id"]
    if annotation not in outlines:
        left_out.add("mask-missing", f"{place}, annotation {annotation}")
        return []
    turns = []
    for number, sentence in enumerate(ref["sentences"]):
        if text := sentence["sent"].strip():
            key = f"{source}/{ref['ref_id']}/{number}"
            phrase = text.replace("?", "")  # no question to be asked as it stands
            turns.append(expression_turn(phrase, (str(annotation),), key, SEGMENT_IN_PICTURE))
        else:
            left_out.add("expression-empty", f"{place}, sentence {number}")
    return turns


def _rows(content: Any, path: Path, field: str = "") -> list[Any]:
    """The list in a file, or under a field of it."""
    rows = content.get(field) if field and isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} has no list of {field or 'refs'}; get it anew.")
    return rows
