from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_plugin.cli.main import main
from sama_plugin.data.frame_extraction import extract_frames
from sama_plugin.errors import DataError
from sama_plugin.media.encode import write_video
from tests.data.published_fixture import grey, picture


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two videos of 10 frames, at different depth."""
    folder = tmp_path / "videos"
    for name in ("a/1.mp4", "b/c/2.mp4"):
        (folder / name).parent.mkdir(parents=True)
        write_video(folder / name, (picture(grey(k)) for k in range(10)), 24, crf=1)
    return folder


def content(out: Path) -> dict[str, float]:
    return {
        str(path.relative_to(out)): float(np.asarray(Image.open(path)).mean())
        for path in sorted(out.rglob("*.jpg"))
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_every_fourth_frame_under_its_number(videos: Path, tmp_path: Path, workers: int) -> None:
    result = extract_frames(videos, tmp_path / "out", workers=workers, progress=False)
    assert result == (2, 0, [])
    found = content(tmp_path / "out")
    assert list(found) == [f"{video}/frame_{k}.jpg" for video in "12" for k in (0, 4, 8)]
    np.testing.assert_allclose(list(found.values()), [grey(k) for k in (0, 4, 8)] * 2, atol=3)


def test_run_goes_on_and_half_written_folders_are_made_anew(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "1").mkdir(parents=True)
    (out / ".2.part").mkdir()
    (out / ".2.part/frame_99.jpg").write_bytes(b"half")
    assert extract_frames(videos, out, progress=False) == (1, 1, [])
    assert sorted(content(out)) == ["2/frame_0.jpg", "2/frame_4.jpg", "2/frame_8.jpg"]
    assert not (out / ".2.part").exists()


def test_damaged_video_is_named_and_leaves_nothing(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "a/1.mp4").write_bytes((videos / "a/1.mp4").read_bytes()[:-200])
    out = tmp_path / "out"
    assert main(["data", "extract", str(videos), "--out", str(out)]) == 1
    said = capsys.readouterr()
    assert "1.mp4 gives no frames" in said.err
    assert "1 folders written, 0 were there, 1 videos failed" in said.out
    assert sorted(path.name for path in out.iterdir()) == ["2"]


def test_only_videos_of_records(videos: Path, tmp_path: Path) -> None:
    records = tmp_path / "r.json"
    records.write_text(json.dumps([{"video": "VidSTG/train/2"}, {"video": "mevis/train/1"}, None]))
    assert (
        main(["data", "extract", str(videos), "--out", str(tmp_path / "out"), "--records", str(records)]) == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["2"]


def test_what_is_missing_or_ambiguous_is_refused(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lacks 1 of 2 videos, such as 9"):
        extract_frames(videos, tmp_path / "out", names={"1", "9"})
    (videos / "1.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="have the same name"):
        extract_frames(videos, tmp_path / "out")
    with pytest.raises(DataError, match="is no folder"):
        extract_frames(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="expected 1 or more"):
        extract_frames(videos, tmp_path / "out", step=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no videos"):
        extract_frames(tmp_path / "empty", tmp_path / "out")


def test_two_at_once_are_refused(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    held = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="out is being written by another process; wait for it"):
            extract_frames(videos, out, progress=False)
    finally:
        os.close(held)
    assert extract_frames(videos, out, progress=False) == (2, 0, [])
