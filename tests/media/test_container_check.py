import pytest

from sama_plugin.errors import MediaError
from sama_plugin.media.container_check import check_complete
from sama_plugin.media.decode import VideoClip
from tests.media.tiny_video import encode, numbered_frames

FILES = [
    ("clip.mp4", {}),
    ("clip.mov", {}),
    ("clip.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    ("clip.mkv", {}),
    ("clip.avi", {"codec": "mpeg4"}),
    ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]


@pytest.fixture(params=FILES, ids=[name for name, _ in FILES])
def video(request, tmp_path):
    name, how = request.param
    return encode(tmp_path / name, numbered_frames(24), **how)


def test_whole_file_passes(video):
    check_complete(video)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_file_raises_on_opening(video, share):
    data = video.read_bytes()
    video.write_bytes(data[: max(int(len(data) * share), 20)])
    with pytest.raises(MediaError, match=r"truncated|damaged"):
        VideoClip.open(video)


def test_truncated_file_with_its_index_in_front_says_where(tmp_path):
    path = encode(tmp_path / "clip.mp4", numbered_frames(24))
    data = path.read_bytes()
    mdat, moov = data.index(b"mdat") - 4, data.index(b"moov") - 4
    assert mdat < moov
    front = data[:mdat] + data[moov:] + data[mdat:moov]
    path.write_bytes(front[:-100])
    with pytest.raises(
        MediaError, match=rf"'mdat' should end at byte {len(front)}, the file has {len(front) - 100}"
    ):
        VideoClip.open(path)


def test_bytes_after_the_end_are_forgiven(video):
    with video.open("ab") as file:
        file.write(b"\0" * 7)
    assert VideoClip.open(video).num_frames == 24
