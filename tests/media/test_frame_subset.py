from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import DamagedVideoError, MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.frame_subset import every_nth, open_frames
from tests.media.tiny_video import numbered_frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, numbered_frames(30), 24)
    return path


@pytest.mark.parametrize("step", [1, 2, 4, 7, 29, 30, 31])
def test_every_nth_frame_is_that_of_the_whole_clip(video: Path, step: int) -> None:
    whole, part = VideoClip.open(video), open_frames(video, step=step)
    wanted = list(range(0, whole.num_frames, step))
    assert part.num_frames == len(wanted)
    expected = whole.read(wanted)
    np.testing.assert_array_equal(part.read(range(part.num_frames)), expected)
    np.testing.assert_array_equal(np.stack([frame for _, frame in part.iter_frames()]), expected)
    backward = list(part.iter_frames_reversed(part.num_frames - 1))
    assert [index for index, _ in backward] == list(range(part.num_frames))[::-1]
    np.testing.assert_array_equal(np.stack([frame for _, frame in backward])[::-1], expected)
    np.testing.assert_allclose(part.timestamps_s, whole.timestamps_s[::step])
    assert part.fps == pytest.approx(24 / step)
    assert part.duration_s == whole.duration_s


def test_window_of_every_nth_frame(video: Path) -> None:
    part = open_frames(video, step=4).window(2, 5)
    np.testing.assert_array_equal(part.read([0, 2]), VideoClip.open(video).read([8, 16]))


class BreakingSource:
    """A source that breaks at frame 5."""

    def __init__(self, clip: VideoClip) -> None:
        self.clip = clip

    def open(self):
        import contextlib

        return contextlib.nullcontext(self)

    def decode_from(self, start: int):
        for index in range(start, 30):
            if index == 5:
                raise DamagedVideoError("broken at 5", 5)
            yield index, np.zeros((48, 64, 3), np.uint8)

    def to_rgb(self, frame: np.ndarray) -> np.ndarray:
        return frame


def test_damage_is_counted_in_steps(video: Path) -> None:
    whole = VideoClip.open(video)
    broken = VideoClip("broken", (48, 64), whole.index, BreakingSource(whole))
    with pytest.raises(DamagedVideoError) as caught:
        list(every_nth(broken, 4).iter_frames())
    assert caught.value.num_readable == 2  # frames 0 and 4


def save(folder: Path, name: str, level: int) -> None:
    Image.fromarray(np.full((8, 10, 3), level, np.uint8)).save(folder / name)


def test_named_frames_in_the_order_asked(tmp_path: Path) -> None:
    for level, name in enumerate(("00000.png", "00005.png", "frame_4.v2.png", "spare.png")):
        save(tmp_path, name, level)
    clip = open_frames(tmp_path, ("frame_4.v2", "00000"))
    assert [int(frame[0, 0, 0]) for frame in clip.read([0, 1])] == [2, 0]
    assert open_frames(tmp_path).num_frames == 4


def test_named_frames_that_are_not_there_are_refused(tmp_path: Path, video: Path) -> None:
    save(tmp_path, "00000.png", 0)
    with pytest.raises(MediaError, match=r"lacks 2 of 3 frames, such as a, b"):
        open_frames(tmp_path, ("a", "00000", "b"))
    with pytest.raises(MediaError, match="is a file, but frames of a folder are asked for"):
        open_frames(video, ("00000",))
    with pytest.raises(MediaError, match="does not exist"):
        open_frames(tmp_path / "none", ("00000",))
