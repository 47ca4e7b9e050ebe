from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from sama_plugin.data.shapes import make_shapes, writer
from sama_plugin.data.shapes.render import render_frame
from sama_plugin.data.shapes.world import sample_scene
from sama_plugin.errors import DataError
from sama_plugin.media.masks import decode_mask


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shapes")
    make_shapes(out, 11, 4, "test", progress=False)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def load(folder: Path, name: str):
    return json.loads((folder / name).read_text())


def test_same_seed_gives_same_bytes(shapes: Path, tmp_path: Path):
    make_shapes(tmp_path, 11, 4, "test", progress=False)
    assert content(tmp_path) == content(shapes)


def test_layout_holds_what_is_promised_and_nothing_else(shapes: Path):
    videos = [f"videos/{k:05d}.mp4" for k in range(4)]
    assert sorted(content(shapes)) == sorted(["mask_dict.json", "meta.json", "records.json", *videos])


def test_video_does_not_depend_on_how_many_there_are(shapes: Path, tmp_path: Path):
    make_shapes(tmp_path, 11, 2, "test", progress=False)
    few, many = content(tmp_path), content(shapes)
    assert few["videos/00001.mp4"] == many["videos/00001.mp4"]
    assert load(tmp_path, "records.json") == load(shapes, "records.json")[:4]
    assert load(tmp_path, "mask_dict.json").items() <= load(shapes, "mask_dict.json").items()


def test_dialogues_are_as_many_as_asked_and_leave_the_video_alone(shapes: Path, tmp_path: Path):
    make_shapes(tmp_path, 11, 1, "test", dialogues=3, progress=False)
    assert content(tmp_path)["videos/00000.mp4"] == content(shapes)["videos/00000.mp4"]
    assert [r["video_id"] for r in load(tmp_path, "records.json")] == [f"test_00000_{i}" for i in range(3)]
    assert load(tmp_path, "records.json")[:2] == load(shapes, "records.json")[:2]


def test_seed_and_split_change_the_scene():
    streams = [("test", 1), ("test", 2), ("train", 1)]
    draws = [writer.random_stream(seed, split, 0, 0).random() for split, seed in streams]
    assert len(set(draws)) == 3


def test_workers_do_not_change_the_result(shapes: Path, tmp_path: Path):
    make_shapes(tmp_path, 11, 4, "test", workers=2, progress=False)
    assert content(tmp_path) == content(shapes)


def test_records_have_the_sama239k_form(shapes: Path):
    masks, seen = load(shapes, "mask_dict.json"), set()
    for record in load(shapes, "records.json"):
        assert (record["height"], record["width"], record["frames"]) == (128, 160, None)
        assert (shapes / record["video"]).is_file()
        assert record["video_id"] not in seen
        seen.add(record["video_id"])
        rounds = len(record["turns"])
        assert len(record["conversation"]) == 2 * rounds
        assert [c["from"] for c in record["conversation"]] == ["human", "gpt"] * rounds
        for i in range(rounds):
            question, answer = (record["conversation"][2 * i + k]["value"] for k in (0, 1))
            assert (
                question.count("<mask>") == len(record["obj_masks"][i]) == len(record["turns"][i]["refers"])
            )
            assert answer.count("[SEG]") == len(record["groundtruth"][i])
            used = [*record["obj_masks"][i], *(k for ids in record["groundtruth"][i] for k in ids)]
            assert set(used) <= set(record["anno_map"])
        assert all(str(k) in masks for k in record["anno_map"])
        assert list(record["description"]) == [f"<obj{k}>" for k in range(len(record["anno_map"]))]


def test_written_video_and_masks_are_those_of_the_scene(shapes: Path):
    scene = sample_scene(writer.random_stream(11, "test", 2, writer.SCENE_STREAM), "test")
    with av.open(str(shapes / "videos/00002.mp4")) as video:
        stored = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == scene.fps
    assert len(stored) == scene.num_frames
    tracks = load(shapes, "mask_dict.json")
    ids = next(r["anno_map"] for r in load(shapes, "records.json") if r["video"] == "videos/00002.mp4")
    for t in range(0, scene.num_frames, 6):
        frame, masks = render_frame(scene, t)
        assert np.abs(frame.astype(int) - stored[t]).mean() < 5
        for k, mask in zip(ids, masks, strict=True):
            rle = tracks[str(k)][t]
            assert (rle is None) == (not mask.any())
            assert rle is None or (decode_mask(rle) == mask).all()


def test_interrupted_run_goes_on_and_keeps_finished_videos(shapes: Path, tmp_path: Path, monkeypatch):
    made = []

    def stop_at_third(*args, whole=writer.make_video) -> None:
        if args[-1] == 2:
            raise KeyboardInterrupt
        whole(*args)

    monkeypatch.setattr(writer, "make_video", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        make_shapes(tmp_path, 11, 4, "test", progress=False)
    assert not (tmp_path / "records.json").exists()
    monkeypatch.undo()

    def note(path: Path, *args, whole=writer.write_video, **settings) -> None:
        made.append(path.name)
        whole(path, *args, **settings)

    monkeypatch.setattr(writer, "write_video", note)
    make_shapes(tmp_path, 11, 4, "test", progress=False)
    assert made == ["00002.mp4", "00003.mp4"]
    assert content(tmp_path) == content(shapes)


def test_leftovers_of_other_settings_are_made_anew(shapes: Path, tmp_path: Path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "parts").mkdir()
    writer.make_video(tmp_path, 12, "test", 2, 0)
    writer.make_video(tmp_path, 11, "test", 3, 1)
    make_shapes(tmp_path, 11, 4, "test", progress=False)
    assert content(tmp_path) == content(shapes)


def test_finished_folder_is_left_alone_and_another_set_refused(shapes: Path):
    before = content(shapes)
    make_shapes(shapes, 11, 4, "test", progress=False)
    assert content(shapes) == before
    with pytest.raises(DataError, match=r"holds another set.*'seed': 11.*'seed': 12"):
        make_shapes(shapes, 12, 4, "test", progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_videos": 0}, "num_videos is 0, expected 1 or more"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"workers": 0}, "workers is 0"),
        ({"dialogues": 0}, "dialogues is 0"),
        ({"split": "dev"}, "split is 'dev', expected one of train, unnamed, still, test"),
    ],
)
def test_bad_settings_raise(tmp_path: Path, change, message):
    with pytest.raises(DataError, match=message):
        make_shapes(tmp_path, **({"seed": 1, "num_videos": 1, "split": "test", "progress": False} | change))


def test_meta_names_the_held_out_pairs_and_counts(shapes: Path):
    meta = load(shapes, "meta.json")
    assert ["red", "star"] in meta["held_out_pairs"]
    records = load(shapes, "records.json")
    assert meta["counts"]["dialogues"] == len(records) == 8
    assert sum(n for key, n in meta["counts"].items() if "/" in key) == sum(len(r["turns"]) for r in records)
