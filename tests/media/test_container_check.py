import pytest

from sama_plugin.media.container_check import find_missing
from sama_plugin.media.decode import VideoClip
from tests.media.tiny_video import encode, numbered_frames

FILES = [
    ("clip.mp4", {}),
    ("clip.mov", {}),
    ("clip.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    ("clip.mkv", {}),
    ("clip.avi", {"codec": "mpeg4"}),
    ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
    ("clip.ts", {}),
]


@pytest.fixture(params=FILES, ids=[name for name, _ in FILES])
def video(request, tmp_path):
    name, how = request.param
    return encode(tmp_path / name, numbered_frames(24), **how)


def test_whole_file_passes(video):
    assert find_missing(video) is None


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_file_is_told(video, share):
    data = video.read_bytes()
    size = int(len(data) * share) | 1
    video.write_bytes(data[:size])
    assert f"the file has {size} bytes" in find_missing(video)


def test_truncated_file_with_its_index_in_front_says_where(tmp_path):
    path = encode(tmp_path / "clip.mp4", numbered_frames(24), container_options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    expected = f"its box 'mdat' should end at byte {len(data)}, the file has {len(data) - 100} bytes"
    assert find_missing(path) == expected


def test_bytes_after_the_end_are_forgiven(video):
    with video.open("ab") as file:
        file.write(b"\0" * 7)
    assert VideoClip.open(video).num_frames == 24
