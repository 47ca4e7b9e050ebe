"""Samples about the videos of `shapes_set`, with several turns, regions and `[SEG]`, written for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sama_plugin.data.dataset import SamaDataset
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer
from sama_plugin.schema import Sample, Turn

VIDEO_IDS = ("00000", "00001")
FIRST_MASK_ID = {"00000": 0, "00001": 8}


def mask_ids(shapes_set: Path, video: str) -> list[str]:
    """Ids of the objects of a video, those visible in most frames first."""
    tracks = json.loads((shapes_set / "mask_dict.json").read_text())
    first = FIRST_MASK_ID[video]
    own = [i for i in tracks if first <= int(i) < first + 8]
    return sorted(own, key=lambda i: sum(rle is None for rle in tracks[i]))


def make_sample(shapes_set: Path, video: str, turns: list[Turn], sample_id: str) -> Sample:
    """A sample with the masks that its turns mean."""
    tracks = json.loads((shapes_set / "mask_dict.json").read_text())
    used = {i for turn in turns for i in (*turn.region_ids, *sum(turn.target_ids, ()))}
    path = str(shapes_set / "videos" / f"{video}.mp4")
    return Sample(sample_id, path, tuple(turns), {i: tracks[i] for i in used})


def talk(shapes_set: Path) -> Sample:
    """Three turns, three regions, three `[SEG]` of which one is not in the last turn."""
    a, b = mask_ids(shapes_set, "00000")[:2]
    turns = [
        Turn("What is <mask>?", "A <p> cross </p> [SEG].", (a,), ((a,),)),
        Turn(
            "Does <mask> touch <mask> here?",
            "<p> One </p> [SEG] and <p> both </p> [SEG].",
            (b, a),
            ((b,), (a, b)),
        ),
        Turn("Where is it?", "Left."),
    ]
    return make_sample(shapes_set, "00000", turns, "talk")


def remark(shapes_set: Path) -> Sample:
    """One short turn about one region, without `[SEG]`."""
    a = mask_ids(shapes_set, "00001")[0]
    return make_sample(shapes_set, "00001", [Turn("How does <mask> move?", "Up.", (a,))], "remark")


def search(shapes_set: Path) -> Sample:
    """One turn without regions; the first `[SEG]` means nothing, the second an object."""
    a = mask_ids(shapes_set, "00001")[1]
    turn = Turn("Find the moon and the cross.", "No moon [SEG], one cross [SEG].", (), ((), (a,)))
    return make_sample(shapes_set, "00001", [turn], "search")


def make_dataset(loaded: Any, samples: list[Sample], **settings: Any) -> SamaDataset:
    """The dataset that training builds for a model."""
    model = loaded.model
    sama = settings.pop("sama", model.sama)
    side = model.get_vision_tower().num_patches_per_side
    settings = {"tokens_per_frame": model.slot_layout(1, 1).tokens_per_frame, "max_length": 2048} | settings
    return SamaDataset(
        samples,
        DialogueTokenizer(loaded.tokenizer, template_by_name(sama.template)),
        InputBuilder(sama, loaded.image_processor, side),
        **settings,
    )
