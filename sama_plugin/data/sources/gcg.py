"""GLaMM's grounded captions (GranD-f): pictures with captions whose phrases have masks, of four sources.

Published layouts, of `annotations/train/`:
`RefCOCOg_GCG_train.json`: a list of `{id: {img_file_name, caption, refs: [{sentence, segmentation}]}}`.
`GranDf_HA_GCG_train.json`, `OpenPsgGCG_train.json`: a list of `{file_name, caption, groundings: {word:
{token_positives: [start, end], rle_masks: [RLE]}}}`.
`flickr_mergedGT_GCG_train.json`: as COCO's; an image has a `caption`, an annotation `tokens_positive: [[start, end]]`
and `sam_mask`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sama_plugin.data.grounded_caption import GroundedPhrase, Span, caption_sample, locate
from sama_plugin.data.json_file import read_json
from sama_plugin.data.json_rows import JsonRows
from sama_plugin.data.lazy_samples import LazySamples, LeftOut, published_form
from sama_plugin.errors import DataError
from sama_plugin.schema import Sample

MIN_WORDS = 3
MIN_SIDE = 32
"""Of Flickr's captions and pictures. Source: official `FlickrGCGDataset`."""


def read_gcg_refcocog(annotations: Path, image_root: Path) -> LazySamples:
    """A sample per picture of the captions made from RefCOCOg.

    Args:
        annotations: `RefCOCOg_GCG_train.json`; an entry is read when it is asked for.
        image_root: COCO's `train2014`.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: see `caption_sample`.
    """

    def make(entry: Any, left_out: LeftOut) -> Sample | None:
        ((key, record),) = entry.items()
        sample_id, caption = f"gcg_refcocog/{key}", _clean(record["caption"])
        taken: set[Span] = set()
        phrases = []
        for ref in record["refs"]:
            span = locate(caption, ref["sentence"], taken)
            if span is None:
                left_out.add("phrase-missing", f"{sample_id}, {ref['sentence']!r} in {caption!r}")
            elif not ref["segmentation"]:
                left_out.add("mask-missing", f"{sample_id}, {ref['sentence']!r}")
            else:
                taken.add(span)
                phrases.append(GroundedPhrase(span, ref["segmentation"]))
        image = image_root / record["img_file_name"]
        return caption_sample(sample_id, image, caption, phrases, left_out, "gcg_refcocog")

    return LazySamples("gcg_refcocog", JsonRows(annotations), make)


def read_gcg_grandf(annotations: Path, image_root: Path, source: str = "gcg_grandf") -> LazySamples:
    """A sample per picture of GranD-f's own captions; those made from OpenPSG have the same layout.

    Args:
        annotations: `GranDf_HA_GCG_train.json` or `OpenPsgGCG_train.json`; an entry is read when it is asked for.
        image_root: `GranDf_HA_images/train`, or COCO's `train2017`.
        source: name of the corpus.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: see `caption_sample`.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        sample_id, caption = (
            f"{source}/{record.get('image_id', record['file_name'])}",
            _clean(record["caption"]),
        )
        phrases = []
        for word, grounding in record["groundings"].items():
            if not grounding or not grounding["rle_masks"]:
                left_out.add("mask-missing", f"{sample_id}, {word!r}")
            else:
                phrases.append(GroundedPhrase(_span(grounding["token_positives"]), grounding["rle_masks"]))
        return caption_sample(sample_id, image_root / record["file_name"], caption, phrases, left_out, source)

    return LazySamples(source, JsonRows(annotations), make)


def read_gcg_flickr(annotations: Path, image_root: Path) -> LazySamples:
    """A sample per caption of a Flickr30k picture.

    Args:
        annotations: `flickr_mergedGT_GCG_train.json`.
        image_root: folder of the pictures.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: see `caption_sample`; captions of fewer than 3 words and pictures under 32 pixels are left out, as are
        annotations to be ignored and those without an area.
    """
    content = read_json(annotations)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), list) for name in ("images", "annotations")
    ):
        raise DataError(
            f"{annotations} has no 'images' and 'annotations', expected lists as in COCO's files."
        )
    images, by_image = content["images"], _phrases_by_image(content, annotations)

    def make(image: Any, left_out: LeftOut) -> Sample | None:
        sample_id, caption = f"gcg_flickr/{image['id']}", image["caption"]
        if len(caption.split()) < MIN_WORDS or min(image["width"], image["height"]) < MIN_SIDE:
            left_out.add("too-small", sample_id)
            return None
        phrases = by_image.get(image["id"], [])
        return caption_sample(
            sample_id, image_root / image["file_name"], caption, phrases, left_out, "gcg_flickr"
        )

    return LazySamples("gcg_flickr", images, make)


def _clean(caption: str) -> str:
    """Without the quotes that some captions stand in. Spans count in what is left, as officially."""
    return caption.strip('"').strip()


def _span(pair: Any) -> Span:
    start, end = pair
    return int(start), int(end)


def _phrases_by_image(content: dict[str, Any], path: Path) -> dict[Any, list[GroundedPhrase]]:
    """Phrases of every picture, from the annotations that count.

    Raises:
        DataError: an annotation lacks a field, or its image is not there.
    """
    with published_form(f"{path}, images"):
        images = {image["id"]: image for image in content["images"]}
    found: dict[Any, list[GroundedPhrase]] = {}
    for number, row in enumerate(content["annotations"]):
        with published_form(f"{path}, annotation {number}"):
            if _is_visible(row, images[row["image_id"]]):
                phrase = GroundedPhrase(_span(row["tokens_positive"][0]), row["sam_mask"])
                found.setdefault(row["image_id"], []).append(phrase)
    return found


def _is_visible(row: Any, image: Any) -> bool:
    """Whether an annotation counts: not to be ignored, and its box has an area inside the picture."""
    x, y, width, height = row["bbox"]
    inside_x = min(x + width, image["width"]) - max(x, 0)
    inside_y = min(y + height, image["height"]) - max(y, 0)
    has_area = row["area"] > 0 and min(width, height) >= 1 and min(inside_x, inside_y) > 0
    return has_area and not row.get("ignore")
