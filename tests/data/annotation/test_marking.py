from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sama_plugin.data.annotation.marking import GREY, mark_frames
from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.errors import MediaError
from sama_plugin.media.encode import write_video
from sama_plugin.media.marks import object_colour
from tests.data.annotation.made_tracks import HEIGHT, WIDTH, make_video, rectangle_track


@pytest.fixture(scope="module")
def video() -> TrackedVideo:
    return make_video(
        [rectangle_track([(16, 24)] * 6, (16, 16)), rectangle_track([(48, 24)] * 6, seen=[(3, 5)])]
    )


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(-1) < 40


def test_only_the_objects_asked_for_are_outlined_where_they_are(video: TrackedVideo, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [np.full((HEIGHT, WIDTH, 3), 90, np.uint8)] * 6, 10)
    pictures = mark_frames(video, tmp_path / "clip.mp4", [0, 4], [1], 512)
    assert [picture.shape for picture in pictures] == [(384, 512, 3)] * 2
    assert not near(pictures[0], object_colour("obj1")).any()
    found = near(pictures[1], object_colour("obj1"))
    assert found[:, 256:].any()
    assert not found[:, :256].any()
    assert np.abs(pictures[1][192, 384].astype(int) - 90).max() < 12  # its inside stays as it is


def test_without_a_video_the_masks_are_on_grey(video: TrackedVideo) -> None:
    (picture,) = mark_frames(video, None, [0], [0, 1], 64)
    assert picture.shape == (48, 64, 3)
    assert (picture[40:, 40:] == GREY).all()
    assert (picture[24, 16] != GREY).any()


def test_another_video_than_that_of_the_masks_is_refused(video: TrackedVideo, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 7, 10)
    with pytest.raises(MediaError, match=r"has 7 frames of 48x64 .* its masks are 6 of 48x64"):
        mark_frames(video, tmp_path / "clip.mp4", [0], [0], 64)
