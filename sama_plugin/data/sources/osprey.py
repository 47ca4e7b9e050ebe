"""Osprey-724K: conversations and descriptions about regions of COCO pictures.

Published layout: lists of `{file_name, height, width, annotation: [{segmentation}], conversations: [{from, value}]}`,
whose messages name regions `<region1>`, ...; `osprey_detail_description.json` has `description: [text of each region]`
in place of conversations. The pictures lie in COCO's `train2014`, `val2014`, `train2017` and `val2017`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sama_plugin.constants import DATA_REGION
from sama_plugin.data.chat_rounds import chat_turns
from sama_plugin.data.json_rows import JsonRows
from sama_plugin.data.lazy_samples import LazySamples, LazyTracks, LeftOut
from sama_plugin.data.wordings import DESCRIBE_REGION, SHORT_ANSWER, pick
from sama_plugin.media.masks import encode_segmentation
from sama_plugin.schema import Sample, Turn

COCO_FOLDERS = ("train2014", "val2014", "train2017", "val2017")
NAME_TAG = re.compile(r"<(\w+)>")


def read_osprey(
    conversations: Path, coco_root: Path, source: str = "osprey", ending: str = ""
) -> LazySamples:
    """A sample per conversation; its first question points at every region and names them `region1`, ...

    Args:
        conversations: `osprey_conversation.json`, `osprey_part_level.json` or `osprey_lvis_positive_negative.json`; an
            entry is read when it is asked for.
        coco_root: folder of COCO's folders of pictures, or of the pictures themselves.
        source: name of the corpus.
        ending: put behind each question that does not end so.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: published layout; official `OspreyDataset` (spec §1.3, §6.4). Differs: regions are pointed at as in every
        other dialogue, in a wording of ours.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        place = f"{source}/{record['file_name']}"
        messages = [message | {"value": _untagged(message["value"])} for message in record["conversations"]]
        turns = list(chat_turns(messages, place, left_out))
        if not turns:
            return None
        turns = [replace(turn, question=_ended(turn.question, ending), task="referring") for turn in turns]
        regions = _region_ids(record)
        named = ", ".join(f"region{number} {DATA_REGION}" for number in range(1, len(regions) + 1))
        turns[0] = replace(
            turns[0], question=f"In the picture: {named}.\n{turns[0].question}", region_ids=tuple(regions)
        )
        return _sample(record, coco_root, turns, source, left_out)

    return LazySamples(source, JsonRows(conversations), make)


def read_osprey_short(conversations: Path, coco_root: Path) -> LazySamples:
    """The same of `osprey_short_form.json`, whose questions ask for a word or phrase; see `read_osprey`."""
    return read_osprey(conversations, coco_root, "osprey_short", SHORT_ANSWER)


def read_osprey_description(descriptions: Path, coco_root: Path) -> LazySamples:
    """A sample per picture, a turn per region that is described; see `read_osprey`.

    Args:
        descriptions: `osprey_detail_description.json`; an entry is read when it is asked for.
        coco_root: folder of COCO's folders of pictures, or of the pictures themselves.

    Raises:
        DataError: the file is missing or malformed, or nothing can be used.

    Source: published layout; official `OspreyDescriptionDataset` (spec §6.4). Differs: the wordings; a question points
        at the region it is about.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        place = f"osprey_description/{record['file_name']}"
        texts, regions = record["description"], record["annotation"]
        if len(texts) != len(regions):
            left_out.add("region-count", f"{place}, {len(texts)} descriptions of {len(regions)} regions")
            return None
        turns = []
        for region_id, text in zip(_region_ids(record), texts, strict=True):
            if not text.strip():
                left_out.add("description-empty", f"{place}, region {region_id}")
                continue
            question = pick(DESCRIBE_REGION, region_id).format(it=DATA_REGION)
            turns.append(Turn(question, _untagged(text), (region_id,), (), "referring", "description"))
        return _sample(record, coco_root, turns, "osprey_description", left_out) if turns else None

    return LazySamples("osprey_description", JsonRows(descriptions), make)


def _sample(
    record: Any, coco_root: Path, turns: Sequence[Turn], source: str, left_out: LeftOut
) -> Sample | None:
    outlines = [one["segmentation"] for one in record["annotation"]]
    size = int(record["height"]), int(record["width"])
    sample_id = f"{source}/{record['file_name']}/{_key(record)}"
    if not outlines or not all(outlines):
        left_out.add("mask-missing", f"{sample_id}, {len(outlines)} regions")
        return None
    return Sample(
        sample_id=sample_id,
        video_path=str(_find_picture(coco_root, record["file_name"])),
        turns=tuple(turns),
        masks=LazyTracks(
            _region_ids(record),
            lambda region_id: [encode_segmentation(outlines[int(region_id.partition("/")[2])], *size)],
        ),
        source=source,
    )


def _region_ids(record: Any) -> list[str]:
    """Ids that no other record about the same picture has: both may become one example."""
    key = _key(record)
    return [f"{key}/{number}" for number in range(len(record["annotation"]))]


def _key(record: Any) -> str:
    """Tells the records about one picture apart, which have no ids."""
    return f"{zlib.crc32(str(record).encode()):08x}"


def _find_picture(root: Path, name: str) -> Path:
    """The picture in the root or one of COCO's folders in it; where it should be, if it is nowhere."""
    places = [root / name, *(root / folder / name for folder in COCO_FOLDERS)]
    return next((place for place in places if place.exists()), places[0])


def _untagged(text: str) -> str:
    """`<region1>` → `region1`, and no mark of the picture."""
    return NAME_TAG.sub(r"\1", text.replace("<image>\n", "").replace("<image>", "")).strip()


def _ended(question: str, ending: str) -> str:
    return question if question.endswith(ending.strip()) else question + ending
