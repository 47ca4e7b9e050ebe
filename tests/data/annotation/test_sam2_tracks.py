"""Tracks by SAM2 from clicks and boxes: as its own propagation gives them, and found only once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sama_plugin.data.annotation.sam2_tracks import find_prompted_videos
from sama_plugin.data.annotation.track_files import find_videos
from sama_plugin.data.annotation.tracks import VideoEntry
from sama_plugin.errors import DataError
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.prompt_tracking import track_prompts
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import decode_track
from sama_plugin.media.regions import parse_regions
from sama_plugin.media.transforms import masks_to_video
from tests.grounding.tiny_sam2 import MemoryClip, new_head

REGIONS = ["r0=box@0:10,20,50,60", "r1=box@3:60,50,100,80"]


@pytest.fixture
def clip(tmp_path: Path) -> VideoClip:
    write_video(tmp_path / "a.mp4", MemoryClip(6).frames, 10.0)
    return VideoClip.open(tmp_path / "a.mp4")


def test_each_object_is_tracked_from_its_own_frame(clip: VideoClip) -> None:
    head, prompts = new_head(), parse_regions(REGIONS, clip)
    tracks = track_prompts(head, clip, [[prompt] for prompt in prompts])
    assert [len(track) for track in tracks] == [6, 6]
    for prompt, track in [(prompts[1], tracks[1])]:
        store = FeatureStore(head, clip)
        mask = head.mask_from_prompt(prompt, store)
        alone = {f.frame_idx: f for f in head.propagate(store, {prompt.frame: torch.from_numpy(mask[None])})}
        found = decode_track(track, (clip.height, clip.width))
        for frame, tracked in alone.items():
            expected = masks_to_video(tracked.logits.float(), clip.height, clip.width).numpy()[0]
            is_there = bool(tracked.object_logits[0] > 0)
            assert np.array_equal(found[frame], expected & is_there), frame


def test_a_file_of_prompts_is_tracked_once(
    clip: VideoClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [{"at": "box@0:10,20,50,60", "name": "red square"}, {"at": "point@0:20,30"}]
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"prompts": [{"video": "a.mp4", "objects": objects}]}))
    (entry,) = find_all(path)
    first = entry.load()
    assert [thing.name for thing in first.objects] == ["red square", ""]
    assert (first.video, first.num_frames, first.height, first.width) == ("a.mp4", 6, 90, 120)
    monkeypatch.setattr(Sam2Head, "propagate", None)
    assert entry.load() == first


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"video": "a.mp4"}, r"prompts\[0\]: KeyError 'objects'"),
        ({"video": "a.mp4", "objects": [{"name": "x"}]}, "KeyError 'at'"),
        ({"video": "a.mp4", "objects": []}, "'objects' is empty"),
    ],
)
def test_a_file_that_points_at_nothing_is_refused(tmp_path: Path, row: dict, words: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"prompts": [row]}))
    with pytest.raises(DataError, match=words):
        find_all(path)


def test_a_video_that_is_pointed_at_twice_is_refused(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "objects": [{"at": "box@0:10,20,50,60"}]}
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"prompts": [row, row]}))
    with pytest.raises(DataError, match=r"the same id as another, such as 'a\.mp4'"):
        find_all(path)


def find_all(path: Path) -> list[VideoEntry]:
    head, folder = new_head(), path.parent / "tracks"
    return find_videos([path], None, None, lambda *what: find_prompted_videos(*what, head, folder))
