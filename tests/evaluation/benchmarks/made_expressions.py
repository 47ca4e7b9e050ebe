"""Tiny sets of referring video segmentation in their published layouts: two boxes on two frames of 24 by 32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.evaluation.predictions import PREDICTIONS_SCHEMA
from sama_plugin.media.masks import encode_track

SIZE = HEIGHT, WIDTH = 24, 32
FRAMES = ("00000", "00005")
LEFT, RIGHT = (4, 10), (20, 28)


def box(*columns: tuple[int, int], frames: int = len(FRAMES), size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W) bool; rows 4 to 16 of some columns."""
    masks = np.zeros((frames, *size), dtype=bool)
    for start, stop in columns:
        masks[:, 4:16, start:stop] = True
    return masks


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_frames(folder: Path, spare: bool = True) -> None:
    """The frames that are named, and one that is not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*FRAMES, "00009") if spare else FRAMES:
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 60)).save(folder / f"{name}.jpg")


def expression(text: str, *mask_ids: int, **more: Any) -> dict[str, Any]:
    return {"exp": text, "obj_id": [0], "anno_id": list(mask_ids), **more}


def meta(expressions: dict[str, Any], video: str = "v1") -> dict[str, Any]:
    return {"videos": {video: {"frames": list(FRAMES), "expressions": expressions}}}


def write_mevis(root: Path) -> Path:
    """valid_u with masks, valid without: a dog on the left, a cat on the right."""
    for split in ("valid_u", "valid"):
        asked = {"0": expression("the dog.", 7), "1": expression("Both animals", 7, 8)}
        write_json(root / split / "meta_expressions.json", meta(asked))
        write_frames(root / split / "JPEGImages" / "v1")
    masks = {"7": encode_track(box(LEFT)), "8": encode_track(box(RIGHT))}
    write_json(root / "valid_u" / "mask_dict.json", masks)
    return root


def write_ref_youtube_vos(root: Path) -> Path:
    asked = {"0": {"exp": "a dog"}, "1": {"exp": "a cat"}}
    write_json(root / "meta_expressions" / "valid" / "meta_expressions.json", meta(asked))
    write_frames(root / "valid" / "JPEGImages" / "v1")
    return root


def write_revos(root: Path) -> Path:
    asked = {
        "0": expression("the dog", 7, type_id=0),
        "1": expression("Which animal could bark?", 7, type_id=1),
        "2": expression("the absent horse", type_id=2),
    }
    write_json(root / "meta_expressions_valid_.json", meta(asked, "set/v1"))
    write_json(root / "mask_dict.json", {"7": encode_track(box(LEFT))})
    write_frames(root / "set" / "v1")
    return root


def write_davis(root: Path, ids: np.ndarray | None = None) -> Path:
    """Two objects, so eight expressions; objects 1 on the left and 2 on the right, unless `ids` (T, H, W) says else."""
    asked = {str(k): {"exp": f"thing {k // 4 + 1} by {k % 4}", "obj_id": str(k // 4 + 1)} for k in range(8)}
    write_json(root / "meta_expressions" / "valid" / "meta_expressions.json", meta(asked))
    write_frames(root / "valid" / "JPEGImages" / "v1")
    if ids is None:
        ids = box(LEFT).astype(np.uint8) + 2 * box(RIGHT).astype(np.uint8)
    folder = root / "valid" / "Annotations" / "v1"
    folder.mkdir(parents=True)
    for name, frame in zip(FRAMES, ids, strict=True):
        picture = Image.fromarray(frame.astype(np.uint8), mode="P")
        picture.putpalette([value for k in range(256) for value in (k, 0, 255 - k)])
        picture.save(folder / f"{name}.png")
    return root


def answer(question_id: str, *tracks: np.ndarray, score: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row of a prediction file."""
    objects = [{"phrase": "it", "score": score, "rle": encode_track(track)} for track in tracks]
    return {"question_id": question_id, "raw": "It is " + "[SEG]" * len(tracks), "objects": objects, **more}


def write_predictions(
    folder: Path, benchmark: str, dialogues: dict[str, list[dict[str, Any]]], **header: Any
) -> Path:
    """A file of predictions as another model would write it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"schema": PREDICTIONS_SCHEMA, "benchmark": benchmark, **header}]
    rows += [{"dialogue": key, "answers": answers} for key, answers in dialogues.items()]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
