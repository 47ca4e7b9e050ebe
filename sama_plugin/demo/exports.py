"""A conversation as files to keep: a video, pictures, masks in the forms other tools read, and code that repeats it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.data.text_file import write_text
from sama_plugin.demo.conversation_code import conversation_code
from sama_plugin.inference.answer_file import answer_document, write_answer_file
from sama_plugin.inference.outputs import ANSWER_FILE, OVERLAY_FILE, STRIP_FILE
from sama_plugin.inference.visualization import write_overlay, write_strip
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import box_of_mask, decode_mask
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region

Writer = Callable[[Path, VideoClip, Sequence[GroundedAnswer], Sequence[Region]], None]

INSIDE = 255
FRAME_FILE = "{:06d}.png"
NO_PHRASE = "object"
"""Category of an object without a phrase."""


def write_export(
    path: Path, kind: str, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]
) -> None:
    """Write one of `EXPORTS`.

    Args:
        path: where to.
        kind: which.
        clip: the video.
        answers: the turns.
        regions: what was pointed at.

    Raises:
        MediaError: the video cannot be read any more, or the disk refuses.
    """
    EXPORTS[kind][1](path, clip, answers, regions)


def coco_document(clip: VideoClip, answers: Sequence[GroundedAnswer]) -> dict[str, Any]:
    """All masks in the form of COCO: a picture per frame, an annotation per object and frame, a category per phrase.

    `frame` and `time_s` of the pictures, and `object` and `score` of the annotations, are additions.
    """
    objects = [thing for answer in answers for thing in answer.objects]
    phrases = list(dict.fromkeys(thing.phrase or NO_PHRASE for thing in objects))
    return {
        "info": {"description": clip.path},
        "images": [
            {
                "id": frame + 1,
                "file_name": FRAME_FILE.format(frame),
                "width": clip.width,
                "height": clip.height,
                "frame": frame,
                "time_s": time_s,
            }
            for frame, time_s in enumerate(clip.timestamps_s.tolist())
        ],
        "annotations": [
            {"id": number, **annotation}
            for number, annotation in enumerate(_annotations(objects, phrases), 1)
        ],
        "categories": [{"id": number, "name": phrase} for number, phrase in enumerate(phrases, 1)],
    }


def _annotations(objects: Sequence[GroundedObject], phrases: Sequence[str]) -> Iterator[dict[str, Any]]:
    """An annotation for each frame of each object on which it is visible."""
    for thing in objects:
        for frame, rle in enumerate(thing.rle):
            if rle is None:
                continue
            mask = decode_mask(rle)
            x0, y0, x1, y1 = box_of_mask(mask)
            yield {
                "image_id": frame + 1,
                "category_id": phrases.index(thing.phrase or NO_PHRASE) + 1,
                "segmentation": rle,
                "area": int(mask.sum()),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
                "object": thing.id,
                "score": thing.score,
            }


def _write_answers(
    path: Path, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]
) -> None:
    write_answer_file(path, answer_document(clip, answers, regions))


def _write_coco(path: Path, clip: VideoClip, answers: Sequence[GroundedAnswer], _: Sequence[Region]) -> None:
    write_text(path, [json.dumps(coco_document(clip, answers))])


def _write_masks(path: Path, clip: VideoClip, answers: Sequence[GroundedAnswer], _: Sequence[Region]) -> None:
    """A folder per object, a grey picture per frame of the video, 0 outside and 255 inside."""
    nothing = _encode_png(np.zeros((clip.height, clip.width), dtype=bool))
    with zipfile.ZipFile(path, "w") as archive:
        for thing in (thing for answer in answers for thing in answer.objects):
            for frame, rle in enumerate(thing.rle):
                picture = nothing if rle is None else _encode_png(decode_mask(rle))
                archive.writestr(f"{thing.id}/{FRAME_FILE.format(frame)}", picture)


def _encode_png(mask: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * INSIDE).save(written, format="PNG")
    return written.getvalue()


def _write_code(
    path: Path, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]
) -> None:
    write_text(path, [conversation_code(clip, answers, regions)])


EXPORTS: dict[str, tuple[str, Writer]] = {
    OVERLAY_FILE: ("video/mp4", write_overlay),
    STRIP_FILE: ("image/png", write_strip),
    ANSWER_FILE: ("application/json", _write_answers),
    "coco.json": ("application/json", _write_coco),
    "masks.zip": ("application/zip", _write_masks),
    "chat.py": ("text/x-python", _write_code),
}
"""File → its media type and what writes it."""
