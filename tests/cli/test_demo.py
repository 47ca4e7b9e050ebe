"""`sama demo` on an untrained checkpoint: the whole way, and honest about wrong answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sama_plugin.cli import demo
from sama_plugin.cli.main import main
from sama_plugin.media.decode import VideoClip


def test_demo_talks_and_names_its_files(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sama_plugin.inference import session

    make = session.VideoSession
    monkeypatch.setattr(session, "VideoSession", lambda *parts: make(*parts, max_new_tokens=3))
    out = tmp_path / "o"
    assert main(["demo", "--model", str(tiny_checkpoint), "--device", "cpu", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\nyou    ") >= 5
    assert "0 of " in shown
    assert "-> right" not in shown
    assert "not asked: there is no object to mean in answer 3  -> wrong" in shown
    files = [out / name for name in ("video.mp4", "overlay.mp4", "strip.png", "answer.json")]
    assert shown.splitlines()[-1] == "written: " + ", ".join(map(str, files))
    assert sorted(out.iterdir()) == sorted(files)
    document = json.loads(files[3].read_text())
    assert document["video"]["num_frames"] == VideoClip.open(files[0]).num_frames
    assert document["turns"][0]["question"] == "What is <r1>?"


def test_demo_refuses_a_bad_scene_and_place_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "load_model", lambda args: pytest.fail("loaded too early"))
    (tmp_path / "file").touch()
    assert main(["demo", "--scene", "-1", "--out", str(tmp_path / "o")]) == 2
    assert "--scene is -1, expected 0 or more" in capsys.readouterr().err
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
