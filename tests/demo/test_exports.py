"""The files a conversation is kept in."""

from __future__ import annotations

import ast
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from sama_plugin.demo.exports import EXPORTS, write_export
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Region, RegionPrompt
from tests.inference.made_answers import make_answer, make_answers, make_clip, make_regions, square_tracks


@pytest.mark.parametrize("kind", EXPORTS)
def test_every_export_is_written_of_a_conversation_and_of_none(tmp_path: Path, kind: str) -> None:
    clip = make_clip(tmp_path)
    for answers in (make_answers(), []):
        path = tmp_path / f"some-{kind}"
        write_export(path, kind, clip, answers, make_regions())
        assert path.stat().st_size > 0


def test_coco_reads_back_the_masks_by_phrase(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    write_export(path, "coco.json", make_clip(tmp_path), make_answers(), [])
    coco = COCO(str(path))
    tracks = square_tracks()
    by_phrase = {row["name"]: row["id"] for row in coco.loadCats(coco.getCatIds())}
    assert list(by_phrase) == ["the moving square", "a late square"]
    for phrase, track in zip(by_phrase, tracks, strict=True):
        rows = coco.loadAnns(coco.getAnnIds(catIds=[by_phrase[phrase]]))
        frames = [coco.loadImgs(row["image_id"])[0]["frame"] for row in rows]
        assert frames == [t for t, mask in enumerate(track) if mask.any()]
        for frame, row in zip(frames, rows, strict=True):
            assert np.array_equal(coco.annToMask(row).astype(bool), track[frame])
            x, y, width, height = row["bbox"]
            assert width * height == row["area"] == track[frame, y : y + height, x : x + width].sum()


def test_zip_has_a_picture_per_object_and_frame(tmp_path: Path) -> None:
    path = tmp_path / "masks.zip"
    write_export(path, "masks.zip", make_clip(tmp_path), make_answers(), [])
    tracks = square_tracks()
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == tracks.shape[0] * tracks.shape[1]
        for number, track in enumerate(tracks, 1):
            for frame, mask in enumerate(track):
                picture = Image.open(io.BytesIO(archive.read(f"obj{number}/{frame:06d}.png")))
                assert np.array_equal(np.asarray(picture), mask * np.uint8(255))


def test_code_quotes_what_visitors_wrote_and_points_as_they_did(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    clip.path = "cl'ip\"{x}\n.mp4"
    mask = square_tracks()[0, 2]
    points = RegionPrompt("r2", "point", 1, np.array([[5.0, 6.0]]), np.array([0]))
    regions = [*make_regions(), Region("r2", 1, mask, points), Region("m", 0, mask)]
    question = '"); import os; os.abort() # \\ \n {video} <r1>'
    path = tmp_path / "chat.py"
    write_export(path, "chat.py", clip, [make_answer(question, "Yes.")], regions)
    program = ast.parse(path.read_text())
    strings = [node.value for node in ast.walk(program) if isinstance(node, ast.Constant)]
    assert {clip.path, question} <= set(strings)
    assert {name.name for node in program.body if isinstance(node, ast.Import) for name in node.names} == {
        "sys",
        "sama_plugin",
    }
    calls = [ast.unparse(node.value) for node in program.body if isinstance(node, ast.Expr)]
    assert "chat.region('r1', box=[12.0, 8.0, 24.0, 20.0], frame=2)" in calls
    assert "chat.region('r2', point=[[5.0, 6.0, 0]], frame=1)" in calls
    assert f"chat.region('m', mask=decode_mask({encode_mask(mask)!r}), frame=0)" in calls


def test_exports_name_the_video_as_its_owner_does(tmp_path: Path) -> None:
    clip: VideoClip = make_clip(tmp_path)
    clip.path = "my clip.mp4"
    path = tmp_path / "answer.json"
    write_export(path, "answer.json", clip, make_answers(), [])
    assert json.loads(path.read_text())["video"]["path"] == "my clip.mp4"
