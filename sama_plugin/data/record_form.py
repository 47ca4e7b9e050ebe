"""What a SAMA-239K record says: its data set, mask dictionary, frames, rounds and descriptions.

Nothing here judges a record (`record_rules` does) or opens a file; functions expect what `record_rules` lets pass.
Source: published layout, `sama_official.md` §6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.media.decode import IMAGE_SUFFIXES

DATASETS = ("mevis", "lvvis", "ref_youtube_vos", "VidSTG", "sav")
"""Data sets by what their paths contain, in the order in which the official loader looks."""

TRAIN_DICTIONARIES = {
    "mevis": "mevis_train_mask_dict.json",
    "lvvis": "lvvis_train_mask_dict.json",
    "ref_youtube_vos": "ref_youtube_train_mask_dict.pkl",
    "VidSTG": "VidSTG_mask_dict_train_updated.json",
    "sav": "SAV_mask_dict_train.json",
}
VAL_DICTIONARIES = {
    "mevis": "Mevis_mask_dict_val.json",
    "lvvis": "LVVIS_mask_dict_val.json",
    "ref_youtube_vos": "RefYoutube_mask_dict_val.json",
    "VidSTG": "VidSTG_mask_dict_val_updated.json",
}
DICTIONARIES = {"train": TRAIN_DICTIONARIES, "val": VAL_DICTIONARIES}
"""Split → data set → published name of its mask dictionary; SAMA-Bench has no SA-V videos."""

PUBLISHED_MASKS = frozenset(name for split in DICTIONARIES.values() for name in split.values())
"""Published names of all mask dictionaries."""

SAV_FRAME_STEP = 4
"""SA-V videos have 24 frames per second, their masks six."""

LVVIS_VAL_DIGITS = 5
NO_MASK = "-1"
"""In place of an id in `anno_map`: an object that has no masks."""

LEGACY_TOKENS = {"<seg>": SEG_TOKEN, "<g_s>": PHRASE_START, "<g_e>": PHRASE_END}
OBJECT_KEY = re.compile(r"<obj(\d+)>")


@dataclass(frozen=True)
class Round:
    """A question, its answer, and the ids that go with them, as text.

    Attributes:
        index: 0-based.
        question: text.
        answer: text.
        regions: the row of `obj_masks`.
        targets: the row of `groundtruth`.
    """

    index: int
    question: str
    answer: str
    regions: list[str]
    targets: list[list[str]]

    @property
    def mask_ids(self) -> list[str]:
        """Every id that it means."""
        return [*self.regions, *(i for ids in self.targets for i in ids)]


def has_video(record: Any) -> bool:
    """Whether something can be told by its video, whatever else is wrong with it."""
    return isinstance(record, dict) and isinstance(record.get("video"), str)


def dataset_of(record: Mapping[str, Any]) -> str | None:
    """One of `DATASETS`, None for any other video."""
    return next((name for name in DATASETS if name in record["video"]), None)


def split_of(record: Mapping[str, Any]) -> str:
    """`val` where a folder of the video's path is called so (`val`, `val_u`, `valid`, ...), else `train`."""
    parts = PurePosixPath(record["video"]).parts
    return "val" if any(re.fullmatch(r"val(id)?(_\w+)?", part) for part in parts) else "train"


def dictionary_name(record: Mapping[str, Any]) -> str | None:
    """Published name of the mask dictionary that a record's ids are from; None if its video is of no published set."""
    return DICTIONARIES[split_of(record)].get(dataset_of(record) or "")


def media_path(record: Mapping[str, Any]) -> PurePosixPath:
    """Where the video lies below the media root; folders of LVVIS val are padded to five digits."""
    path = PurePosixPath(record["video"])
    if path.name.isdigit() and dataset_of(record) == "lvvis" and split_of(record) == "val":
        return path.with_name(path.name.zfill(LVVIS_VAL_DIGITS))
    return path


def frame_names(record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the frames that masks stand for, without suffix; None: all frames that there are."""
    frames = record.get("frames")
    if frames is None:
        return None
    names = (frame if isinstance(frame, str) else frame["raw_filename"] for frame in frames)
    return tuple(_without_suffix(name) for name in names)


def frame_step(record: Mapping[str, Any]) -> int:
    """Masks stand for every n-th decoded frame: `frame_step` of the record, else 4 for SA-V's mp4 files, else 1."""
    if record.get("frame_step") is not None:
        return int(record["frame_step"])
    path = PurePosixPath(record["video"])
    is_sav = dataset_of(record) == "sav" and any(part.startswith("sav_") for part in path.parts)
    return SAV_FRAME_STEP if is_sav and path.suffix == ".mp4" else 1


def num_rounds(record: Mapping[str, Any]) -> int:
    """Questions that have an answer."""
    return len(record.get("conversation") or ()) // 2


def read_round(record: Mapping[str, Any], index: int) -> Round:
    """One round of the conversation."""
    human, gpt = record["conversation"][2 * index : 2 * index + 2]
    regions = [str(i) for i in record["obj_masks"][index]]
    targets = [[str(i) for i in ids] for ids in record["groundtruth"][index]]
    return Round(index, human["value"], modern_tokens(gpt["value"]), regions, targets)


def object_ids(record: Mapping[str, Any]) -> dict[str, str]:
    """`<objN>` → mask id, of every object that has masks."""
    return {f"<obj{n}>": str(i) for n, i in enumerate(record.get("anno_map") or ()) if str(i) != NO_MASK}


def modern_tokens(text: str) -> str:
    """The text with today's special tokens in place of older names of theirs."""
    for old, new in LEGACY_TOKENS.items():
        text = text.replace(old, new)
    return text


def strip_media_mark(question: str) -> str:
    """The question without the mark of what is seen, and without the newline beside it."""
    for mark in ("<image>", "<video>"):
        question = question.replace(f"{mark}\n", "").replace(f"\n{mark}", "").replace(mark, "")
    return question


def _without_suffix(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return stem if f".{suffix.lower()}" in IMAGE_SUFFIXES else name
