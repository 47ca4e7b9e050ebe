import errno
import resource

import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import MediaError
from sama_plugin.media import encode
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_picture, write_video
from tests.media.tiny_video import numbered_frames


def test_frames_come_back_nearly_as_they_were(tmp_path):
    colours = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 120, 40], [255, 255, 255], [0, 0, 0]], np.uint8
    )
    frame = np.repeat(np.repeat(colours.reshape(2, 3, 3), 16, axis=0), 16, axis=1)
    write_video(tmp_path / "clip.mp4", [frame] * 7, fps=12.5, crf=10)
    clip = VideoClip.open(tmp_path / "clip.mp4")
    assert (clip.num_frames, clip.height, clip.width, clip.fps) == (7, 32, 48, 12.5)
    middles = clip.read([3])[0, 8::16, 8::16].astype(int)
    np.testing.assert_allclose(middles.reshape(6, 3), colours, atol=4)


def test_same_frames_give_the_same_bytes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, iter(numbered_frames(12)), fps=24)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sides_are_padded_by_the_last_pixels(tmp_path):
    frame = np.zeros((31, 45, 3), np.uint8)
    frame[-1], frame[:, -1] = 255, 255
    write_video(tmp_path / "odd.mp4", [frame] * 2, fps=24, crf=1)
    decoded = VideoClip.open(tmp_path / "odd.mp4").read([0])[0]
    assert decoded.shape == (32, 46, 3)
    assert decoded[31].min() > 230
    assert decoded[:, 45].min() > 230


def test_ntsc_rate_is_kept_exactly(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered_frames(5), fps=30000 / 1001)
    assert VideoClip.open(tmp_path / "clip.mp4").fps == 30000 / 1001


def test_one_frame_is_a_video(tmp_path):
    write_video(tmp_path / "one.mp4", numbered_frames(1), fps=24)
    assert VideoClip.open(tmp_path / "one.mp4").num_frames == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_failing_source_leaves_the_old_file_and_no_other(tmp_path, error):
    def frames():
        yield from numbered_frames(3)
        raise error

    (tmp_path / "clip.mp4").write_text("old")
    with pytest.raises(error):
        write_video(tmp_path / "clip.mp4", frames(), fps=24)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("clip.mp4", "old")]


def test_disk_that_refuses_to_grow_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    frames = (rng.integers(0, 256, (128, 128, 3), dtype=np.uint8) for _ in range(30))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(MediaError, match=r"No space left to write .*clip\.mp4"):
            write_video(tmp_path / "clip.mp4", frames, fps=24)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_when_the_file_is_named_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encode.os, "replace", full)
    with pytest.raises(MediaError, match="No space left to write"):
        write_video(tmp_path / "clip.mp4", numbered_frames(2), fps=24)
    assert list(tmp_path.iterdir()) == []


def test_no_frames_raise(tmp_path):
    with pytest.raises(MediaError, match="zero frames"):
        write_video(tmp_path / "clip.mp4", [], fps=24)
    assert list(tmp_path.iterdir()) == []


BAD_FRAMES = [
    ([np.zeros((8, 8, 3), np.float32)], r"Frame 0 .*float32, expected \(H, W, 3\) uint8"),
    ([np.zeros((8, 8), np.uint8)], r"Frame 0 .*\(8, 8\) uint8"),
    ([np.zeros((16, 16, 3), np.uint8), np.zeros((16, 18, 3), np.uint8)], r"Frame 1 .*\(16, 18, 3\)"),
]


@pytest.mark.parametrize(("frames", "match"), BAD_FRAMES)
def test_frame_of_another_form_raises(tmp_path, frames, match):
    with pytest.raises(MediaError, match=match):
        write_video(tmp_path / "clip.mp4", frames, fps=24)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_impossible_rate_raises(tmp_path, fps):
    with pytest.raises(MediaError, match="frames per second, expected more than 0"):
        write_video(tmp_path / "clip.mp4", numbered_frames(1), fps=fps)


def test_missing_folder_raises(tmp_path):
    with pytest.raises(MediaError, match="does not exist; create it"):
        write_video(tmp_path / "none" / "clip.mp4", numbered_frames(1), fps=24)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_are_of_the_kind_asked_for(tmp_path, kind):
    picture = np.full((16, 24, 3), (200, 120, 40), np.uint8)
    write_picture(tmp_path / "picture", picture, kind)
    with Image.open(tmp_path / "picture") as written:
        assert written.format == kind
        np.testing.assert_allclose(np.asarray(written).astype(int), picture, atol=4)


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(MediaError, match=r"Cannot write .*a\.png"):
        write_picture(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == [tmp_path / "a.png"]
