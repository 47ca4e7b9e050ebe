"""What each video of the small world shows, from its records: shared by the stages that teach a clip to the LLM."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sama_plugin.data.json_file import read_json
from sama_plugin.data.shapes.world import DIRECTIONS, MOTION_WEIGHTS
from sama_plugin.schema import Rle
from sama_plugin.training.patch_names import VOCABULARIES, object_attributes

MOTIONS = tuple(MOTION_WEIGHTS)
NO_DIRECTION = "none"
WAYS = (NO_DIRECTION, *DIRECTIONS)
MOVING_VOCABULARIES = (*VOCABULARIES, MOTIONS, WAYS)
STILL_ATTRIBUTES = len(VOCABULARIES)
"""Attributes that one frame shows; the rest takes several."""


class SceneFacts(NamedTuple):
    """Objects of one video.

    Attributes:
        ids: K mask ids.
        attributes: (K, A) long, see `object_attributes`.
        named: (K,) bool; whether the colour is one that has a name; else the attribute stands for nothing.
        tracks: list of K; one `Rle` or None per frame each.
        size: (H, W) of the video.
    """

    ids: tuple[str, ...]
    attributes: Tensor
    named: Tensor
    tracks: list[list[Rle | None]]
    size: tuple[int, int]


def read_facts(folder: Path) -> dict[Path, SceneFacts]:
    """What each video of a folder of the small world shows, by its path, from the records there."""
    tracks = read_json(folder / "mask_dict.json")
    facts: dict[Path, SceneFacts] = {}
    for record in read_json(folder / "records.json"):
        path = folder / record["video"]
        if path not in facts:
            words = [
                (*thing["name"].split(), thing["motion"], thing["direction"] or NO_DIRECTION)
                for thing in record["objects"]
            ]
            ids = tuple(str(i) for i in record["anno_map"])
            own = [tracks[i] for i in ids]
            attributes = object_attributes(words, MOVING_VOCABULARIES)
            named = torch.tensor([thing["named"] for thing in record["objects"]])
            size = (record["height"], record["width"])
            facts[path] = SceneFacts(ids, attributes, named, own, size)
    return facts
