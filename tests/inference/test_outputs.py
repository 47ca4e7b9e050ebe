"""The folder of a conversation: checked before, complete after, untouched when something fails."""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

import pytest
from PIL import Image

from sama_plugin.errors import MediaError
from sama_plugin.inference import outputs
from sama_plugin.media.decode import VideoClip
from tests.inference.made_answers import make_answers, make_clip, make_regions

Usage = namedtuple("Usage", "total used free")


def test_three_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "new" / "deeper"
    files = outputs.write_outputs(out, make_clip(tmp_path), make_answers(), make_regions())
    assert [p.name for p in files] == ["overlay.mp4", "strip.png", "answer.json"]
    assert sorted(out.iterdir()) == sorted(files)
    assert VideoClip.open(files[0]).num_frames == 8
    assert len(json.loads(files[2].read_text())["turns"]) == 3


def test_second_conversation_replaces_the_first(tmp_path: Path) -> None:
    clip = make_clip(tmp_path)
    for answers in (make_answers(), make_answers()[:1]):
        outputs.write_outputs(tmp_path / "o", clip, answers)
    assert len(json.loads((tmp_path / "o" / "answer.json").read_text())["turns"]) == 1
    assert len(list((tmp_path / "o").iterdir())) == 3


def test_the_video_itself_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (video,) = outputs.write_outputs(tmp_path / "made", make_clip(tmp_path), make_answers())[:1]
    clip = VideoClip.open(video.rename(tmp_path / "o" / "overlay.mp4"))
    before = Path(clip.path).read_bytes()
    with pytest.raises(MediaError, match=r"Writing '.*overlay\.mp4' would change the video '.*overlay\.mp4'"):
        outputs.write_outputs(tmp_path / "o", clip, make_answers())
    assert Path(clip.path).read_bytes() == before
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["overlay.mp4"]
    frames = tmp_path / "frames"
    frames.mkdir()
    for i in range(2):
        Image.new("RGB", (32, 24)).save(frames / f"{i:05d}.png")
    with pytest.raises(MediaError, match=r"Writing '.*frames.answer\.json' would change the video"):
        outputs.check_kept(VideoClip.open(frames), [frames / "answer.json"])
    outputs.check_kept(VideoClip.open(frames), [tmp_path / "o" / "answer.json"])


@pytest.mark.parametrize("error", [MediaError("no space left"), KeyboardInterrupt()])
def test_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    clip = make_clip(tmp_path)

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(outputs, "write_strip", fail)
    with pytest.raises(type(error)):
        outputs.write_outputs(tmp_path / "new" / "deeper", clip, make_answers())
    assert [p.name for p in tmp_path.iterdir()] == ["squares.mp4"]


def test_failure_leaves_earlier_outputs_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path)
    files = outputs.write_outputs(tmp_path / "o", clip, make_answers())
    before = [path.read_bytes() for path in files]

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_answer_file", full)
    with pytest.raises(MediaError, match=r"Cannot write to '.*o': No space left on device"):
        outputs.write_outputs(tmp_path / "o", clip, make_answers()[:1])
    assert [path.read_bytes() for path in files] == before
    assert len(list((tmp_path / "o").iterdir())) == 3


def test_check_accepts_a_folder_to_be_made_and_makes_nothing(tmp_path: Path) -> None:
    outputs.check_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_check_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(MediaError, match=r"Cannot write to '.*a/b': '.*a' is not a folder"):
        outputs.check_folder(tmp_path / "a" / "b")
    with pytest.raises(MediaError, match="it is a folder; name a file"):
        outputs.check_file(tmp_path)


def test_check_refuses_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs.os, "access", lambda *_: False)
    with pytest.raises(MediaError, match="no permission in"):
        outputs.check_folder(tmp_path / "a")


def test_check_refuses_a_full_disk_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda _: Usage(1, 1, 1_000_000))
    with pytest.raises(MediaError, match=r"1\.0 MB are free, about 4\.0 MB are needed"):
        outputs.check_folder(tmp_path)


def test_longer_videos_are_expected_to_take_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path)
    before = outputs.expected_bytes(clip)
    monkeypatch.setattr(type(clip), "num_frames", 10_000)
    assert outputs.expected_bytes(clip) > 2 * before
