from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sama_plugin
from sama_plugin.evaluation.metrics.region_similarity import region_similarity
from sama_plugin.grounding.prompt_tracking import track_prompts
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import decode_track
from sama_plugin.media.regions import region_prompt
from tests.conftest import load_checkpoint
from tests.data.made_samples import mask_ids


@pytest.fixture(scope="module")
def head() -> Any:
    return load_checkpoint(Path(sama_plugin.shipped_checkpoint())).model.sam2_head


def test_objects_given_on_one_or_two_frames_are_followed(head: Any, shapes_set: Path) -> None:
    clip = VideoClip.open(shapes_set / "videos" / "00000.mp4")
    rles = json.loads((shapes_set / "mask_dict.json").read_text())
    expected = [decode_track(rles[i], (clip.height, clip.width)) for i in mask_ids(shapes_set, "00000")[:2]]
    frames = [np.flatnonzero(track.any(axis=(1, 2))) for track in expected]
    prompts = [
        [region_prompt("a", clip, frame=int(frames[0][0]), mask=expected[0][frames[0][0]])],
        [region_prompt("b", clip, frame=int(f), mask=expected[1][f]) for f in (frames[1][0], frames[1][-1])],
    ]
    found = track_prompts(head, clip, prompts)
    assert [len(track) for track in found] == [clip.num_frames] * 2
    for track, truth in zip(found, expected, strict=True):
        assert region_similarity(truth, decode_track(track, (clip.height, clip.width))).mean() > 0.6
