"""LLaVA-1.5's instruction mixture: chat about pictures, and text alone.

Published layout: `llava_v1_5_mix665k.json`, a list of `{id, image?, conversations: [{from, value}]}`; pictures
`coco/train2017`, `gqa/images`, `ocr_vqa/images`, `textvqa/train_images`, `vg/VG_100K`, ... below one root.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sama_plugin.data.chat_rounds import chat_turns
from sama_plugin.data.json_rows import JsonRows
from sama_plugin.data.lazy_samples import LazySamples, LeftOut
from sama_plugin.schema import Sample


def read_llava(conversations: Path, image_root: Path, source: str = "llava") -> LazySamples:
    """A sample per conversation; one without a picture is text alone.

    Args:
        conversations: the JSON list; a conversation is read when it is asked for.
        image_root: folder that the pictures' paths are relative to.
        source: name of the corpus, of those that have this layout.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: published layout; official `LLaVADataset` (spec §6.4, §10.9, §10.10). Differs: nothing stands for the
        picture of text alone, and newlines of questions are kept.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        image = record.get("image") or ""
        sample_id = f"{source}/{record.get('id', image or 'text')}"
        if not isinstance(image, str):
            left_out.add("several-images", sample_id)
            return None
        if not image and any("<image>" in message["value"] for message in record["conversations"]):
            left_out.add("image-unnamed", sample_id)
            return None
        turns = chat_turns(record["conversations"], sample_id, left_out)
        path = str(image_root / image) if image else ""
        return Sample(sample_id, path, turns, {}, source) if turns else None

    return LazySamples(source, JsonRows(conversations), make)
