"""One way to plant each defect of `RULES` in a clean set of `published_fixture`, and nothing else."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.data.published_fixture import (
    HEIGHT,
    WIDTH,
    Planting,
    PublishedSet,
    change_file,
    change_masks,
    change_record,
    message,
    picture,
    remove,
)

GOATS, TOLD, RIDER, PETS, CHILD, SAV = range(6)
"""Records of the train set, by what they show."""

TOLD_FOLDER = "mevis/train/JPEGImages/told"
SAV_VIDEO = "sav_train/sav_000/sav_000001.mp4"
VAL_MEVIS = 3
"""Of the sorted shards of val."""


class Defective(NamedTuple):
    """What to plant, in a set of which split, and in which record it is then found (None: not in one)."""

    plant: Planting
    record: int | None
    split: str = "train"


def told_frame(published: PublishedSet) -> Path:
    return published.media / TOLD_FOLDER / "00001.jpg"


def together(*plantings: Planting) -> Planting:
    def plant(published: PublishedSet) -> None:
        for one in plantings:
            one(published)

    return plant


def move_told(published: PublishedSet) -> None:
    shutil.copytree(published.media / TOLD_FOLDER, published.media / "davis/told")
    change_record(TOLD, lambda r: r.update(video="davis/told"))(published)


def repeat_told(published: PublishedSet) -> None:
    (path,) = published.records
    text = path.read_text()
    last = text.index('{"video": "' + TOLD_FOLDER)
    path.write_text(text[:-1] + ", " + text[last : text.index(', {"video": "lvvis')] + "]")


def swap_dictionary(published: PublishedSet) -> None:
    published.dictionary("ref_youtube_vos").rename(published.masks / "mask_dict.pkl")


def ask_twice(record: dict) -> None:
    record["conversation"] *= 2
    record["obj_masks"] *= 2
    record["groundtruth"] *= 2


def repeat_key(content: bytes) -> bytes:
    return content.replace(b'"video_id": "told"', b'"video_id": "", "video_id": "told"')


class Runs:
    """A pickle of it calls `os.getpid`, which does no harm here."""

    def __reduce__(self) -> tuple:
        import os

        return os.getpid, ()


PLANTED: dict[str, Defective] = {
    "file-missing": Defective(remove(lambda s: s.dictionary("mevis")), None),
    "file-cut": Defective(change_file(lambda s: s.dictionary("mevis"), lambda b: b[: len(b) // 2]), None),
    "file-damaged": Defective(
        change_file(lambda s: s.dictionary("mevis"), lambda b: b.replace(b'"size": [', b'"size": (', 1)), None
    ),
    "file-form": Defective(change_file(lambda s: s.dictionary("mevis"), lambda b: b"[" + b + b"]"), None),
    "pickle-refused": Defective(
        change_file(lambda s: s.dictionary("ref_youtube_vos"), lambda b: pickle.dumps({"3": Runs()})), None
    ),
    "dictionary-foreign": Defective(swap_dictionary, None),
    "key-twice": Defective(
        change_file(lambda s: s.dictionary("lvvis"), lambda b: b.replace(b"{", b'{"7": [], ', 1)), None
    ),
    "root-missing": Defective(remove(lambda s: s.media / "sav_train"), None),
    "record-form": Defective(change_record(TOLD, lambda r: r.update(height="tall")), TOLD),
    "record-twice": Defective(repeat_told, 6),
    "video-id-twice": Defective(change_record(TOLD, lambda r: r.update(video_id="ab12cd34")), TOLD),
    "record-empty": Defective(change_record(TOLD, lambda r: r.pop("description")), TOLD),
    "dataset-unknown": Defective(move_told, TOLD),
    "video-outside": Defective(
        change_record(TOLD, lambda r: r.update(video=f"../media/{TOLD_FOLDER}")), TOLD
    ),
    "odd-tail": Defective(
        change_record(RIDER, lambda r: r["conversation"].append(message("human", "And then?"))), RIDER
    ),
    "round-form": Defective(change_record(CHILD, lambda r: r["conversation"][1].pop("value")), CHILD),
    "role-unknown": Defective(
        change_record(CHILD, lambda r: r["conversation"][0].update({"from": "user"})), CHILD
    ),
    "turns-not-alternating": Defective(
        change_record(CHILD, lambda r: r["conversation"][1].update({"from": "human"})), CHILD
    ),
    "question-empty": Defective(
        change_record(RIDER, lambda r: r["conversation"][2].update(value=" \n")), RIDER
    ),
    "answer-empty": Defective(change_record(RIDER, lambda r: r["conversation"][1].update(value="")), RIDER),
    "region-count": Defective(change_record(GOATS, lambda r: r["obj_masks"][0].pop()), GOATS),
    "seg-count": Defective(change_record(GOATS, lambda r: r["groundtruth"][0][1].clear()), GOATS),
    "phrase-brackets": Defective(
        change_record(RIDER, lambda r: r["conversation"][3].update(value="<p> The rider [SEG]")), RIDER
    ),
    "rows-spare": Defective(change_record(RIDER, lambda r: r["obj_masks"].append([])), RIDER),
    "region-unseen": Defective(
        together(
            change_record(CHILD, lambda r: r.pop("description")),
            change_masks("VidSTG", lambda m: m.update({"0": [None, None]})),
        ),
        CHILD,
    ),
    "description-form": Defective(
        change_record(TOLD, lambda r: r["description"].update(obj0="A fox.")), TOLD
    ),
    "description-empty": Defective(
        change_record(TOLD, lambda r: r["description"].update({"<obj0>": " "})), TOLD
    ),
    "description-object": Defective(
        change_record(TOLD, lambda r: r["description"].update({"<obj1>": "?"})), TOLD
    ),
    "description-unseen": Defective(change_masks("mevis", lambda m: m.update({"43": [None, None]})), TOLD),
    "object-twice": Defective(change_record(SAV, lambda r: r["anno_map"].append(901)), SAV),
    "bench-id-missing": Defective(
        change_record(0, lambda r: r["description_id"].clear(), VAL_MEVIS), 0, "val"
    ),
    "bench-id-twice": Defective(change_record(0, ask_twice, VAL_MEVIS), 0, "val"),
    "mask-missing": Defective(change_masks("mevis", lambda m: m.pop("43")), TOLD),
    "track-form": Defective(change_masks("mevis", lambda m: m.update({"43": ["x", None]})), TOLD),
    "track-length": Defective(change_masks("mevis", lambda m: m["43"].pop()), TOLD),
    "mask-size": Defective(change_masks("mevis", lambda m: m["43"][0].update(size=[WIDTH, HEIGHT])), TOLD),
    "mask-damaged": Defective(
        change_masks("mevis", lambda m: m["43"][0].update(counts=m["43"][0]["counts"][:-1])), TOLD
    ),
    "media-missing": Defective(remove(lambda s: s.media / TOLD_FOLDER), TOLD),
    "media-damaged": Defective(
        change_file(lambda s: s.media / SAV_VIDEO, lambda b: b[: len(b) * 3 // 4]), SAV
    ),
    "frame-missing": Defective(remove(told_frame), TOLD),
    "frame-damaged": Defective(change_file(told_frame, lambda b: b[:-12]), TOLD),
    "frame-size": Defective(
        lambda s: Image.fromarray(picture(36)[:12, :16]).save(told_frame(s), quality=95), TOLD
    ),
}
"""Code → how it gets in."""

MORE_PLANTED: list[tuple[str, Defective]] = [
    ("file-cut", Defective(change_file(lambda s: s.records[0], lambda b: b[: len(b) // 2]), None)),
    ("file-cut", Defective(change_file(lambda s: s.records[0], lambda b: b""), None)),
    ("file-cut", Defective(change_file(lambda s: s.dictionary("ref_youtube_vos"), lambda b: b[:-9]), None)),
    ("file-form", Defective(change_file(lambda s: s.records[0], lambda b: b"{}"), None)),
    ("file-damaged", Defective(change_file(lambda s: s.records[0], lambda b: b + b"]"), None)),
    ("file-damaged", Defective(change_file(lambda s: s.records[0], lambda b: b"\xff" + b), None)),
    ("key-twice", Defective(change_file(lambda s: s.records[0], repeat_key), TOLD)),
    ("record-form", Defective(change_record(TOLD, lambda r: r.update(frames=["00001", {"name": "00000"}])), TOLD)),
    ("track-length", Defective(change_masks("sav", lambda m: m["900"].append(None)), SAV)),
    ("mask-size", Defective(change_masks("sav", lambda m: [e.update(size=[WIDTH, HEIGHT]) for e in m["900"]]), SAV)),
    ("mask-damaged", Defective(change_masks("mevis", lambda m: m["43"][1].update(counts="")), TOLD)),
    ("frame-size", Defective(change_record(TOLD, lambda r: r.update(height=HEIGHT + 1)), TOLD)),
    ("object-twice", Defective(change_record(PETS, lambda r: r.update(anno_map=[3, 4, "3"])), PETS)),
]  # fmt: skip
"""Other ways to plant some of them."""
