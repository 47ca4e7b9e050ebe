"""Small data sets in every published shape (`sama_official.md` §6, §7): clean, and with any one defect planted.

    root/sama239k_train_final.json | root/mevis.json, root/lvvis_0.json, ...    records
    root/masks/                                                               dictionaries, published names
    root/media/                                                               frame folders, SA-V mp4

Frames are 24 × 32; frame k of a video has one grey level, so that a test can tell which one it got.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sama_plugin.data.record_form import DICTIONARIES
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import encode_mask

HEIGHT, WIDTH = 24, 32
SAV_DECODED = 13
"""Frames of the mp4; masks stand for every fourth: four of them."""


class PublishedSet(NamedTuple):
    """Where a set lies."""

    root: Path
    split: str

    @property
    def records(self) -> list[Path]:
        """Files of records, one for train and a shard per data set for val."""
        return sorted(self.root.glob("*.json"))

    @property
    def masks(self) -> Path:
        return self.root / "masks"

    @property
    def media(self) -> Path:
        return self.root / "media"

    def dictionary(self, dataset: str) -> Path:
        return self.masks / DICTIONARIES[self.split][dataset]


def grey(frame: int) -> int:
    """Level of a frame by its number in the source video."""
    return 20 + 16 * frame


def rle(number: int, frame: int) -> dict[str, Any]:
    """A box that moves; object `number` has its own row."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    top, left = 4 * (number % 5), 3 * frame % 20
    mask[top : top + 4, left : left + 6] = True
    return encode_mask(mask)


def track(number: int, frames: int, absent: tuple[int, ...] = ()) -> list[dict[str, Any] | None]:
    return [None if k in absent else rle(number, k) for k in range(frames)]


def message(speaker: str, value: str, **more: Any) -> dict[str, Any]:
    return {"from": speaker, "value": value, **more}


def train_records() -> list[dict[str, Any]]:
    """One record of every shape that the train file has."""
    return [
        {
            "video": "mevis/train/JPEGImages/ab12cd34",
            "video_id": "ab12cd34",
            "height": HEIGHT,
            "width": WIDTH,
            "frames": ["00000", "00001", "00002"],
            "anno_map": [41, -1, 42],
            "conversation": [
                message("human", "What does <mask> do once <mask> turns left?"),
                message("gpt", "<p> The small goat </p> [SEG] trots behind <p> the tall goat </p> [SEG]."),
                message("human", "<image>\nWhere is the herd, and is there a dog?"),
                message("gpt", "<p> The herd </p> [SEG] is on the left, and there is no dog."),
            ],
            "obj_masks": [[41, 42], []],
            "groundtruth": [[[41], [42]], [[41, 42], []]],
            "description": {
                "<obj0>": "A small white goat.",
                "<obj1>": "A far hill.",
                "<obj2>": "A tall goat.",
            },
        },
        {
            "video": "mevis/train/JPEGImages/told",
            "video_id": "told",
            "height": HEIGHT,
            "width": WIDTH,
            "frames": ["00001", "00000"],
            "anno_map": [43],
            "description": {"<obj0>": "Ein Fuchs läuft — quer."},
        },
        {
            "video": "lvvis/train/JPEGImages/00012",
            "video_id": 12,
            "height": HEIGHT,
            "width": WIDTH,
            "frames": ["00000", "00005"],
            "anno_map": [7],
            "conversation": [
                message("human", "Who is <mask>?"),
                message("gpt", "A rider."),
                message("human", "Segment the rider."),
                message("gpt", "<p> The rider </p> [SEG]"),
            ],
            "obj_masks": [[7], []],
            "groundtruth": [[], [[7]]],
            "description": {"<obj0>": "A rider in red."},
        },
        {
            "video": "ref_youtube_vos/train/JPEGImages/0a7b27fde9",
            "video_id": "0a7b27fde9",
            "height": HEIGHT,
            "width": WIDTH,
            "frames": ["00000", "00005", "00010"],
            "anno_map": ["3", "4"],
            "conversation": [
                message("human", "Which of <mask> and <mask> is faster?"),
                message("gpt", "<g_s> The left one <g_e> <seg> is faster."),
            ],
            "obj_masks": [["3", "4"]],
            "groundtruth": [[["3"]]],
            "description": {"<obj0>": "A dog.", "<obj1>": "A cat."},
        },
        {
            "video": "VidSTG/train/2400171624",
            "video_id": "2400171624",
            "height": None,
            "width": None,
            "frames": [{"raw_filename": "frame_0.jpg"}, {"raw_filename": "frame_4.jpg"}],
            "anno_map": [0],
            "conversation": [
                message("human", "What is <mask> doing?"),
                message("gpt", "<p> The child </p> [SEG] jumps."),
            ],
            "obj_masks": [[0]],
            "groundtruth": [[[0]]],
            "description": {"<obj0>": "A child on a lawn."},
        },
        {
            "video": "sav_train/sav_000/sav_000001.mp4",
            "video_id": "sav_000001",
            "height": None,
            "width": None,
            "frames": None,
            "anno_map": [900, 901],
            "conversation": [
                message("human", "Does <mask> leave the room?"),
                message("gpt", "Yes, <p> it </p> [SEG] leaves after <p> the dog </p> [SEG]."),
            ],
            "obj_masks": [[900]],
            "groundtruth": [[[900], [901]]],
            "description": {"<obj0>": "A person.", "<obj1>": "A dog."},
        },
    ]


def train_masks() -> dict[str, dict[Any, Any]]:
    """Data set → its dictionary, one of every shape of an entry."""
    in_parts: list[Any] = track(42, 3)
    in_parts[1] = [rle(42, 1), rle(44, 1)]
    packed = [entry and {"size": entry["size"], "counts": entry["counts"].encode()} for entry in track(3, 3)]
    return {
        "mevis": {"41": track(41, 3, absent=(1,)), "42": in_parts, "43": track(43, 2)},
        "lvvis": {"7": track(7, 2)},
        "ref_youtube_vos": {"3": packed, "4": track(4, 3)},
        "VidSTG": {"0": track(0, 2)},
        "sav": {"900": track(900, 4), "901": track(901, 4, absent=(0,))},
    }


def val_records() -> dict[str, list[dict[str, Any]]]:
    """Shard → its records."""

    def record(video: str, video_id: Any, frames: list[Any], ids: list[int], first: int) -> dict[str, Any]:
        asked = message("human", "Where is <mask> heading?", question_id=first)
        return {
            "video": video,
            "video_id": video_id,
            "height": HEIGHT,
            "width": WIDTH,
            "frames": frames,
            "anno_map": ids,
            "conversation": [asked, message("gpt", "<p> The cyclist </p> [SEG] rides toward the bridge.")],
            "obj_masks": [[ids[0]]],
            "groundtruth": [[[ids[0]]]],
            "description": {"<obj0>": "A cyclist in a blue jacket."},
            "description_id": {"<obj0>": first + 500},
        }

    names = ["00000", "00001"]
    vidstg = [{"raw_filename": "frame_0.jpg"}, {"raw_filename": "frame_4.jpg"}]
    return {
        "mevis": [record("mevis/val_u/JPEGImages/ff00", "ff00", names, [5], 1)],
        "lvvis_0": [record("lvvis/val/JPEGImages/37", 37, names, [9], 2)],
        "lvvis_1": [record("lvvis/val/JPEGImages/00038", 38, names, [10], 3)],
        "ref_youtube_vos_0": [record("ref_youtube_vos/valid/JPEGImages/0b", "0b", names, [1], 4)],
        "VidSTG_0": [record("VidSTG/val/77", 77, vidstg, [2], 5)],
    }


def val_masks() -> dict[str, dict[Any, Any]]:
    return {
        "mevis": {"5": track(5, 2)},
        "lvvis": {"9": {"segmentations": track(9, 2)}, "10": {"segmentations": track(10, 2)}},
        "ref_youtube_vos": {"1": track(1, 2)},
        "VidSTG": {"2": track(2, 2)},
    }


def write_published(root: Path, split: str = "train") -> PublishedSet:
    """Write a clean set; `split` is `train` or `val`."""
    published = PublishedSet(root, split)
    shards = {"sama239k_train_final": train_records()} if split == "train" else val_records()
    published.masks.mkdir(parents=True)
    for dataset, masks in (train_masks() if split == "train" else val_masks()).items():
        write_dictionary(published.dictionary(dataset), masks)
    for name, records in shards.items():
        write_json(root / f"{name}.json", records)
        for record in records:
            write_media(published.media, record)
    return published


def write_media(media: Path, record: dict[str, Any]) -> None:
    """Frames of one record: those that it names, and one that it does not."""
    path = media / record["video"]
    if path.name == "37":
        path = path.with_name("00037")
    if record["frames"] is None:
        path.parent.mkdir(parents=True)
        write_video(path, (picture(grey(k)) for k in range(SAV_DECODED)), 24, crf=1)
        return
    path.mkdir(parents=True)
    names = [name if isinstance(name, str) else name["raw_filename"][:-4] for name in record["frames"]]
    for name in [*names, "frame_8" if names[0].startswith("frame") else "00011"]:
        number = int(name.rpartition("_")[2])
        Image.fromarray(picture(grey(number))).save(path / f"{name}.jpg", quality=95)


def picture(level: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))


def write_dictionary(path: Path, masks: dict[Any, Any]) -> None:
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(masks))
    else:
        write_json(path, masks)


def read_dictionary(path: Path) -> dict[Any, Any]:
    return pickle.loads(path.read_bytes()) if path.suffix == ".pkl" else json.loads(path.read_text())


Planting = Callable[[PublishedSet], None]


def change_record(index: int, change: Callable[[dict[str, Any]], Any], file: int = 0) -> Planting:
    """Plant in a record of a file."""

    def plant(published: PublishedSet) -> None:
        path = published.records[file]
        records = json.loads(path.read_text())
        change(records[index])
        write_json(path, records)

    return plant


def change_masks(dataset: str, change: Callable[[dict[Any, Any]], Any]) -> Planting:
    """Plant in a mask dictionary."""

    def plant(published: PublishedSet) -> None:
        path = published.dictionary(dataset)
        masks = read_dictionary(path)
        change(masks)
        write_dictionary(path, masks)

    return plant


def change_file(where: Callable[[PublishedSet], Path], change: Callable[[bytes], bytes]) -> Planting:
    """Plant in the bytes of a file."""

    def plant(published: PublishedSet) -> None:
        path = where(published)
        path.write_bytes(change(path.read_bytes()))

    return plant


def remove(where: Callable[[PublishedSet], Path]) -> Planting:
    """Take a file or folder away."""

    def plant(published: PublishedSet) -> None:
        path = where(published)
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return plant
