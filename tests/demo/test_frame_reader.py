"""Frames as JPEG: the right ones in any order, and one decoder for who plays."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sama_plugin.demo import frame_reader
from sama_plugin.demo.frame_reader import FrameReader
from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video

COUNT = 90


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> VideoClip:
    """Frame k is grey 2·k."""
    path = tmp_path_factory.mktemp("grey") / "grey.mp4"
    write_video(path, (np.full((64, 96, 3), 2 * k, np.uint8) for k in range(COUNT)), 10.0)
    return VideoClip.open(path)


@pytest.fixture
def begun(clip: VideoClip, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames at which decoding has begun."""
    starts: list[int] = []
    decode = clip.iter_frames
    monkeypatch.setattr(clip, "iter_frames", lambda start: starts.append(start) or decode(start))
    return starts


def number_of(picture: bytes) -> int:
    """Which frame it is; colours of a video are off by a little."""
    return round((np.asarray(Image.open(io.BytesIO(picture))).mean() + 0.5) / 2)


def test_frames_are_right_in_any_order(clip: VideoClip) -> None:
    reader = FrameReader()
    order = np.random.default_rng(0).permutation(COUNT).tolist()
    shown = [number_of(reader.read("a", clip, frame, None)) for frame in order]
    assert np.abs(np.subtract(shown, order)).max() <= 1


def test_who_plays_decodes_each_frame_once(clip: VideoClip, begun: list[int]) -> None:
    reader = FrameReader()
    for first in range(0, COUNT, 4):  # four at a time, the last one first
        for frame in reversed(range(first, min(first + 4, COUNT))):
            reader.read("a", clip, frame, 48)
    assert begun == [3, 0]


def test_frames_are_right_for_several_threads(clip: VideoClip) -> None:
    reader = FrameReader()
    with ThreadPoolExecutor(4) as threads:
        pictures = list(threads.map(lambda frame: reader.read("a", clip, frame, 48), range(COUNT)))
    assert np.abs(np.subtract([number_of(picture) for picture in pictures], range(COUNT))).max() <= 1


def test_who_goes_backwards_begins_anew_every_few_frames(clip: VideoClip, begun: list[int]) -> None:
    reader = FrameReader()
    for frame in range(40, 20, -1):
        reader.read("a", clip, frame, 48)
    assert len(begun) <= 1 + 20 // frame_reader.BEHIND + 1


def test_width_is_kept_or_made_smaller(clip: VideoClip) -> None:
    reader = FrameReader()
    widths = {None: 96, 48: 48, 1000: 96}
    for width, expected in widths.items():
        assert Image.open(io.BytesIO(reader.read("a", clip, 3, width))).width == expected


def test_no_more_decoders_and_pictures_than_allowed(clip: VideoClip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_reader, "MOST_OPEN", 2)
    monkeypatch.setattr(frame_reader, "KEPT", 3)
    reader = FrameReader()
    for key in "abc":
        reader.read(key, clip, 20, None)
        reader.read(key, clip, 30, None)
    assert list(reader._videos) == ["b", "c"]
    assert [len(video._kept) for video in reader._videos.values()] == [3, 3]
    reader.forget("b")
    reader.forget("b")
    assert list(reader._videos) == ["c"]


def test_frame_that_is_not_there_is_refused_and_reading_goes_on(clip: VideoClip) -> None:
    reader = FrameReader()
    with pytest.raises(MediaError, match="90"):
        reader.read("a", clip, COUNT, None)
    assert number_of(reader.read("a", clip, 5, None)) == 5


def test_after_a_fault_decoding_begins_anew(clip: VideoClip, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = FrameReader()
    with monkeypatch.context() as patch:
        patch.setattr(clip, "iter_frames", lambda start: (_ for _ in ()).throw(MediaError("torn")))
        with pytest.raises(MediaError, match="torn"):
            reader.read("a", clip, 7, None)
    assert number_of(reader.read("a", clip, 7, None)) == 7
