from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.data.annotation import track_files
from sama_plugin.data.annotation.track_files import find_videos
from sama_plugin.errors import DataError
from sama_plugin.media.masks import decode_track, encode_mask
from tests.data.annotation.made_tracks import HEIGHT, WIDTH, make_video, rectangle_track


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def sav(tracks: list[np.ndarray]) -> dict[str, Any]:
    rows = [[encode_mask(track[t]) for track in tracks] for t in range(len(tracks[0]))]
    return {"video_height": float(HEIGHT), "video_width": float(WIDTH), "masklet": rows}


TRACKS = [rectangle_track([(10 * k + 8, 20)] * 6, seen=[(0, 3)]) for k in range(3)]


def test_sav_files_have_empty_masks_where_an_object_is_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "sav_000/sav_000007_manual.json", sav(TRACKS))
    (tmp_path / "sav_000/sav_000007.mp4").touch()
    for given, root in ((path, tmp_path), (tmp_path, tmp_path)):
        (entry,) = find_videos([given], None, root)
        video = entry.load()
        assert entry.media == tmp_path / "sav_000/sav_000007.mp4"
        assert (video.video_id, video.video) == ("sav_000007_manual", "sav_000/sav_000007.mp4")
        assert (video.num_frames, video.frame_step, len(video.objects)) == (6, 4, 3)
        assert video.objects[1].track[5] is None
        assert np.array_equal(decode_track(video.objects[1].track), TRACKS[1])


def test_mevis_like_files_name_objects_by_their_expressions(tmp_path: Path) -> None:
    video = make_video(TRACKS)
    masks = {str(k): list(thing.track) for k, thing in enumerate(video.objects)}
    write(tmp_path / "mask_dict.json", masks)
    expressions = {
        "0": {"exp": "the dog", "obj_id": [0], "anno_id": [0]},
        "1": {"exp": "two animals", "obj_id": [0, 1], "anno_id": [0, 2]},
    }
    frames = [f"{k:05d}" for k in range(6)]
    path = write(tmp_path / "meta.json", {"videos": {"abc": {"frames": frames, "expressions": expressions}}})
    video = find_videos([path], None, tmp_path / "JPEGImages")[0].load()
    assert [thing.expressions for thing in video.objects] == [("the dog",), ()]
    assert video.frames == tuple(frames)
    things = {"0": {"anno_ids": [0, 2], "expressions": ["both"]}}
    path = write(tmp_path / "meta.json", {"videos": {"abc": {"frames": frames, "objects": things}}})
    (thing,) = find_videos([path], None, None)[0].load().objects
    assert np.array_equal(decode_track(thing.track), TRACKS[0] | TRACKS[2])


def test_records_of_the_small_world_bring_names_and_each_video_once(shapes_set: Path) -> None:
    entries = find_videos([shapes_set / "records.json"], None, None)
    assert [entry.video_id for entry in entries] == ["videos/00000.mp4", "videos/00001.mp4"]
    video = entries[0].load()
    assert entries[0].media.exists()
    assert all(thing.name for thing in video.objects)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"x": 1}, "no form that is known"),
        ({"prompts": []}, "no form that is known"),
        ([{"video": "a", "anno_map": [1]}], "mask ids 1 are not in the mask dictionary"),
        (
            {"videos": {"v": {"frames": ["0"], "objects": {"0": {"anno_ids": [9]}}}}},
            "video 'v': KeyError '9'",
        ),
        ({"masklet": [[]], "video_height": 4}, "no SA-V annotation.*video_width"),
        ({"masklet": [[{"size": [1, 1], "counts": "1"}]], "video_height": 4, "video_width": 4}, "a mask of"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, value: Any, words: str) -> None:
    write(tmp_path / "mask_dict.json", {})
    path = write(tmp_path / "in.json", value)
    with pytest.raises(DataError, match=words):
        [entry.load() for entry in find_videos([path], None, None)]


def test_the_videos_of_many_sav_files_are_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sav_1", "sav_2", "sav_3"):
        write(tmp_path / f"tracks/{name}_manual.json", sav(TRACKS))
    write(tmp_path / "videos/b/sav_1.mp4", "")
    write(tmp_path / "videos/a/sav_2.mp4", "")
    write(tmp_path / "videos/b/sav_2.mp4", "")
    looks: list[Path] = []
    find = track_files._videos_below
    monkeypatch.setattr(track_files, "_videos_below", lambda folder: looks.append(folder) or find(folder))
    entries = find_videos([tmp_path / "tracks"], None, tmp_path / "videos")
    media = [str(entry.media.relative_to(tmp_path / "videos")) for entry in entries]
    assert media == ["b/sav_1.mp4", "a/sav_2.mp4", "sav_3.mp4"]
    assert looks == [tmp_path / "videos"]


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_videos([tmp_path / "no.json"], None, None)
    with pytest.raises(DataError, match="holds no SA-V files"):
        find_videos([tmp_path], None, None)
    write(tmp_path / "mask_dict.json", {})
    with pytest.raises(DataError, match="no video with tracks"):
        find_videos([write(tmp_path / "in.json", [])], None, None)


def test_two_videos_of_one_id_are_refused(tmp_path: Path) -> None:
    paths = [write(tmp_path / name / "sav_1_manual.json", sav(TRACKS)) for name in "ab"]
    with pytest.raises(DataError, match="same id as another, such as 'sav_1_manual'"):
        find_videos(paths, None, None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": [False]}, "'objects' is [False], expected a list with an object for each id"),
        ({"objects": "x"}, "'objects' is 'x'"),
        ({"anno_map": [5]}, "mask id 5: it is True, expected a list"),
        ({"anno_map": [6]}, "mask id 6: its entry 0 is 'x', expected run lengths"),
    ],
)
def test_records_with_anything_in_any_place_are_named(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    write(tmp_path / "mask_dict.json", {"4": [encode_mask(TRACKS[0][0])], "5": True, "6": ["x"]})
    path = write(tmp_path / "records.json", [{"video": "a.mp4", "anno_map": [4], **change}])
    (entry,) = find_videos([path], None, None)
    with pytest.raises(DataError, match=re.escape(words)):
        entry.load()


def test_mask_size_that_is_no_number_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mask_dict.json", {"0": [{"size": [8, "wide"], "counts": "0"}]})
    about = {"frames": ["0"], "objects": {"0": {"anno_ids": [0]}}}
    (entry,) = find_videos([write(tmp_path / "meta.json", {"videos": {"abc": about}})], None, None)
    with pytest.raises(DataError, match="video 'abc': MediaError Not a mask"):
        entry.load()
