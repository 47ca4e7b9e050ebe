"""`answer.json`: a conversation as plain values, schema `sama.answer/1`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sama_plugin.data.text_file import write_text
from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region

ANSWER_SCHEMA = "sama.answer/1"


def answer_document(
    clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Iterable[Region] = ()
) -> dict[str, Any]:
    """Bring a conversation into the form of `answer.json`.

    Args:
        clip: the video.
        answers: the turns, in order.
        regions: what was pointed at.

    Returns:
        Plain values: `schema`, `video`, `regions` (name, frame, kind and RLE of each) and `turns`.
    """
    return {
        "schema": ANSWER_SCHEMA,
        "video": {
            "path": clip.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "num_frames": clip.num_frames,
            "height": clip.height,
            "width": clip.width,
            "fps": clip.fps,
            **({"damage": clip.damage} if clip.damage else {}),
        },
        "regions": [
            {
                "name": region.name,
                "frame": region.frame,
                "kind": "mask" if region.prompt is None else region.prompt.kind,
                "rle": encode_mask(region.mask),
            }
            for region in regions
        ],
        "turns": [
            {
                "question": answer.question,
                "answer": answer.text,
                "raw": answer.raw,
                "objects": [object_document(thing) for thing in answer.objects],
                "timing_s": dict(answer.timing_s),
                "counters": dict(answer.counters),
            }
            for answer in answers
        ],
    }


def format_document(document: dict[str, Any]) -> str:
    """The document as JSON text."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ": ")) + "\n"


def write_answer_file(path: str | Path, document: dict[str, Any]) -> None:
    """Write the document, whole or not at all.

    Args:
        path: its folder is made if missing; a file that is there, or that a link leads to, is replaced.
        document: from `answer_document`.

    Raises:
        MediaError: the disk refuses.
    """
    try:
        write_text(Path(os.path.realpath(path)), [format_document(document)])
    except OSError as error:
        raise MediaError(f"Cannot write '{path}': {error.strerror or error}.") from error


def object_document(thing: GroundedObject) -> dict[str, Any]:
    """An object of an answer as plain values."""
    return {
        "id": thing.id,
        "phrase": thing.phrase,
        "score": float(thing.score),
        "spans_s": [[float(start), float(end)] for start, end in thing.spans_s],
        "rle": list(thing.rle),
    }
