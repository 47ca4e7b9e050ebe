from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.sources.own import convert_own, read_own
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.errors import DataError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import decode_mask, encode_mask
from sama_plugin.schema import Sample

HEIGHT, WIDTH, FRAMES = 32, 48, 6


def square(left: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[8:16, left : left + 8] = True
    return mask


TRACK = [None if k == 2 else encode_mask(square(4 * k)) for k in range(FRAMES)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clip, a picture of a mask, a track as a file, in a dictionary, and as a folder of pictures."""
    write_video(
        tmp_path / "clip.mp4", [np.full((HEIGHT, WIDTH, 3), 40 * k, dtype=np.uint8) for k in range(FRAMES)], 5
    )
    Image.fromarray(square(9).astype(np.uint8) * 255).save(tmp_path / "dog.png")
    (tmp_path / "ball.json").write_text(json.dumps(TRACK))
    (tmp_path / "dictionary.json").write_text(json.dumps({"7": TRACK}))
    (tmp_path / "ball").mkdir()
    for k, rle in enumerate(TRACK):
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool) if rle is None else decode_mask(rle)
        Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "ball" / f"{k}.png")
    return tmp_path


def write(folder: Path, regions: dict[str, Any], question: str, answer: str = "Yes.", **more: Any) -> Path:
    item = {
        "video": "clip.mp4",
        "regions": regions,
        "turns": [{"question": question, "answer": answer}],
        **more,
    }
    path = folder / "own.json"
    path.write_text(json.dumps({"items": [item]}))
    return path


def read(folder: Path, *arguments: Any, **more: Any) -> Sample:
    (sample,) = read_own(write(folder, *arguments, **more), folder)
    return sample


@pytest.mark.parametrize(
    "masks",
    [{"masks": "ball.json"}, {"masks": "dictionary.json", "id": 7}, {"masks": "ball"}, {"masks": TRACK}],
    ids=["file", "dictionary", "pictures", "list"],
)
def test_track_is_read_from_wherever_it_stands(folder: Path, masks: dict[str, Any]) -> None:
    sample = read(folder, {"ball": masks}, "Where?", "<p>There</p>[SEG:ball].", id="one")
    assert (sample.sample_id, sample.video_path, sample.source) == ("one", str(folder / "clip.mp4"), "own")
    assert sample.masks == {"ball": TRACK}
    assert sample.turns[0].target_ids == (("ball",),)


@pytest.mark.parametrize(
    ("region", "frame", "mask"),
    [
        ({"frame": 4, "mask": "dog.png"}, 4, square(9)),
        ({"time_s": 0.6, "box": [9, 8, 17, 16], "filled": True}, 3, square(9)),
    ],
)
def test_region_that_is_pointed_at_needs_a_mask_on_one_frame(
    folder: Path, region: dict[str, Any], frame: int, mask: np.ndarray
) -> None:
    track = read(folder, {"dog": region}, "What is <dog>?").masks["dog"]
    assert [k for k, rle in enumerate(track) if rle is not None] == [frame]
    np.testing.assert_array_equal(decode_mask(track[frame]), mask)


def test_region_can_be_given_on_several_frames(folder: Path) -> None:
    regions = {"dog": [{"frame": k, "mask": "dog.png"} for k in (1, 5)]}
    track = read(folder, regions, "What is <dog>?").masks["dog"]
    assert [k for k, rle in enumerate(track) if rle is not None] == [1, 5]


@pytest.mark.parametrize(
    ("regions", "question", "answer", "message"),
    [
        (
            {"dog": "box@1:1,2,9,9"},
            "<dog>?",
            "A.",
            r"regions\.dog is a box, which is no mask; let SAM2 .*\"filled\"",
        ),
        ({"dog": "point@1:1,2"}, "<dog>?", "A.", r"regions\.dog is a point, which is no mask; let SAM2"),
        ({"dog": "box@9:1,2,9,9"}, "<dog>?", "A.", r"regions\.dog: .*Frame 9 is not in"),
        ({"dog": "boxx@1:1,2"}, "<dog>?", "A.", r"regions\.dog: .*kind 'boxx'"),
        ({"obj1": "box@1:1,2,9,9"}, "<obj1>?", "A.", r"regions\.obj1: .*is reserved"),
        ({"dog": {"mask": "cat.png"}}, "<dog>?", "A.", r"regions\.dog: .*cat\.png' does not exist"),
        ({"dog": {"mask": 3}}, "<dog>?", "A.", r"regions\.dog: mask is 3, expected the path"),
        (
            {"dog": {"frame": 1, "mask": "dog.png"}},
            "Where?",
            "[SEG:dog]",
            r"turns\[0\]\.answer segments 'dog', whose mask is known on frames \[1\] of 6 only; give it 'masks'",
        ),
        ({"ball": {"masks": TRACK[:3]}}, "<ball>?", "A.", r"ball\.masks: it has 3 entries for 6 frames"),
        (
            {"ball": {"masks": "dictionary.json"}},
            "<ball>?",
            "A.",
            r"has no id '' \(it has 7, ...\); give 'id'",
        ),
        ({"ball": {"masks": "none.json"}}, "<ball>?", "A.", r"none\.json does not exist"),
        ({"ball": {"masks": [{"size": [4, 4], "counts": "0:0"}] * 6}}, "<ball>?", "A.", "mask-size"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place(
    folder: Path, regions: dict[str, Any], question: str, answer: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(folder, regions, question, answer)


def test_missing_video_is_told_with_its_item(folder: Path) -> None:
    with pytest.raises(DataError, match=r"own\.json, item 0\.video: .*none\.mp4' does not exist"):
        read(folder, {}, "Why?", video="none.mp4")


def test_converted_records_give_the_same_dialogue(folder: Path) -> None:
    regions = {"dog": {"frame": 4, "mask": "dog.png"}, "ball": {"masks": "ball"}}
    path = write(folder, regions, "Does <dog> see it?", "It sees <p>a ball</p>[SEG:ball].", id="one")
    assert convert_own(path, folder, folder / "out") == 1
    corpus = open_corpus(folder / "out/records.json", folder / "out/mask_dict.json", folder)
    (record,) = read_corpus(corpus, strict=True)
    (own,) = read_own(path, folder)
    assert record.sample.sample_id == "one/0"
    assert record.sample.video_path == own.video_path
    (turn,), (other,) = record.sample.turns, own.turns
    assert (turn.question, turn.answer) == (other.question, other.answer)
    names = {"0": "dog", "1": "ball"}
    assert {names[key]: track for key, track in record.sample.masks.items()} == own.masks
    assert ([names[i] for i in turn.region_ids], names[turn.target_ids[0][0]]) == (["dog"], "ball")


def test_tracker_makes_whole_tracks_of_what_is_pointed_at(folder: Path) -> None:
    def track(clip: VideoClip, prompts: Mapping[str, Any]) -> dict[str, Any]:
        assert [(prompt.kind, prompt.frame) for prompt in prompts["dog"]] == [("box", 1), ("point", 3)]
        return {"dog": TRACK}

    path = write(folder, {"dog": ["box@1:1,2,9,9", "point@3:4,4"]}, "Where?", "[SEG:dog]")
    convert_own(path, folder, folder / "out", track)
    assert json.loads((folder / "out/mask_dict.json").read_text()) == {"0": TRACK}


def test_video_outside_the_media_folder_cannot_be_converted(folder: Path) -> None:
    path = write(folder, {}, "Why?", video=str(folder / "clip.mp4"))
    assert len(read_own(path, folder)) == 1
    with pytest.raises(DataError, match=r"expected a path below .*--media"):
        convert_own(path, folder, folder / "out")
