"""Files that are cut off or break in the middle: what can be read is used, and said."""

import pickle

import av
import numpy as np
import pytest

from sama_plugin.errors import DamagedVideoError, MediaError
from sama_plugin.media import decode
from sama_plugin.media.decode import VideoClip
from tests.media.tiny_video import encode, numbered_frames

B_FRAMES = {"g": "10", "bf": "3", "x264-params": "scenecut=0:b-adapt=0", "preset": "veryfast"}
INDEX_FIRST = {"movflags": "+faststart"}
FILES = [
    ("front.mp4", {"options": B_FRAMES, "container_options": INDEX_FIRST}, " of 48"),
    ("parts.mp4", {"options": B_FRAMES, "container_options": {"movflags": "frag_keyframe+empty_moov"}}, ""),
    ("h264.mkv", {"options": B_FRAMES}, " of about 48"),
    (
        "vp9.webm",
        {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime", "cpu-used": "8"}},
        " of about 48",
    ),
    ("vp8.webm", {"codec": "libvpx", "options": {"g": "8", "auto-alt-ref": "0"}}, " of about 48"),
    ("h264.ts", {"options": B_FRAMES}, ""),
    ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "8"}}, " of 48"),
    ("animation.gif", {"codec": "gif", "pix_fmt": "rgb8"}, ""),
]


@pytest.fixture(params=FILES, ids=[name for name, _, _ in FILES])
def video(request, tmp_path):
    """A file, its frames, and the words for how many it announces."""
    name, how, announced = request.param
    path = encode(tmp_path / name, numbered_frames(48), **how)
    return path, list(VideoClip.open(path).iter_frames()), announced


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) | 1])


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_file_that_ends_early_gives_the_frames_that_are_there(video, share):
    path, whole, announced = video
    cut(path, share)
    clip = VideoClip.open(path)
    n = clip.num_frames
    assert 0 < n <= 48
    assert n >= 48 * share - 10 or path.suffix == ".avi"
    assert f"{path.name}' ends early: {n}{announced} frames are used (" in clip.damage
    found = list(clip.iter_frames())
    assert [number for number, _ in found] == list(range(n))
    for (_, frame), (_, expected) in zip(found, whole, strict=False):
        np.testing.assert_array_equal(frame, expected)
    for number in (n - 1, n // 2, 0):
        np.testing.assert_array_equal(clip.read([number])[0], whole[number][1])
    backward = list(clip.iter_frames_reversed(n - 1))
    assert [number for number, _ in backward] == list(range(n - 1, -1, -1))


def test_whole_file_has_no_damage(video):
    assert VideoClip.open(video[0]).damage is None


def test_file_cut_before_its_first_frame_is_over_is_refused(video):
    path, _, _ = video
    cut(path, 0.02)
    with pytest.raises(MediaError, match=path.name):
        VideoClip.open(path)


def test_mp4_whose_index_was_cut_off_is_refused(tmp_path):
    path = encode(tmp_path / "clip.mp4", numbered_frames(24))
    cut(path, 0.9)
    with pytest.raises(MediaError, match=r"is truncated and no frame of it can be read: .*moov"):
        VideoClip.open(path)


def test_windows_of_a_file_that_ends_early_say_so_too(tmp_path):
    path = encode(tmp_path / "clip.mkv", numbered_frames(24), options=B_FRAMES)
    cut(path, 0.6)
    clip = VideoClip.open(path)
    assert clip.window(2, 5).damage == clip.damage is not None


@pytest.fixture
def broken(tmp_path):
    """24 frames in display order of which frame 9 is wiped out; keyframes are 0, 10 and 20."""
    path = encode(tmp_path / "clip.mp4", numbered_frames(24), options={**B_FRAMES, "bf": "0"})
    wipe(path, 9)
    return path


def wipe(path, number):
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(bytes(data))


def test_break_in_the_middle_tells_how_many_frames_can_be_read(broken):
    clip = VideoClip.open(broken)
    assert clip.damage is None
    with pytest.raises(
        DamagedVideoError, match=r"frame 9 of 24 cannot be decoded .*; 9 of 24 frames"
    ) as caught:
        list(clip.iter_frames())
    assert caught.value.num_readable == 9
    assert clip.damage == str(caught.value)
    rest = clip.window(0, caught.value.num_readable)
    assert rest.damage == clip.damage
    assert len(list(rest.iter_frames())) == 9
    assert rest.read([8]).shape[0] == 1
    assert clip.read([15]).shape[0] == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda clip: clip.read([0, 9]),
        lambda clip: clip.read([9]),
        lambda clip: list(clip.iter_frames(4, 12)),
        lambda clip: list(clip.iter_frames_reversed(15)),
    ],
    ids=["some", "one", "forward", "backward"],
)
def test_every_way_of_reading_tells_the_break(broken, read):
    with pytest.raises(DamagedVideoError) as caught:
        read(VideoClip.open(broken))
    assert caught.value.num_readable == 9


def test_break_is_told_in_the_numbers_of_a_window(broken):
    window = VideoClip.open(broken).window(3, 20).window(2, 15)
    with pytest.raises(DamagedVideoError) as caught:
        window.read([4])
    assert caught.value.num_readable == 4
    assert len(list(window.window(0, 4).iter_frames())) == 4
    assert window.damage is not None


def test_window_that_begins_with_the_break_cannot_be_used_in_part(broken):
    with pytest.raises(MediaError) as caught:
        VideoClip.open(broken).window(9, 20).read([0])
    assert not isinstance(caught.value, DamagedVideoError)


def test_video_whose_first_frame_is_broken_is_refused(tmp_path):
    path = encode(tmp_path / "clip.mp4", numbered_frames(8), options={"bf": "0", "g": "10"})
    wipe(path, 0)
    with pytest.raises(MediaError) as caught:
        VideoClip.open(path)
    assert not isinstance(caught.value, DamagedVideoError)


def test_break_does_not_make_the_file_be_decoded_from_its_start(broken, monkeypatch):
    clip = VideoClip.open(broken)
    keys = []
    original = decode._FileReader._frames_after_key
    monkeypatch.setattr(
        decode._FileReader, "_frames_after_key", lambda self, key: keys.append(key) or original(self, key)
    )
    wipe(broken, 22)
    with pytest.raises(DamagedVideoError):
        clip.read([22])
    assert keys == [2]


# Matroska is not among them: its demuxer goes on after a hole as if nothing had been there.
@pytest.mark.parametrize("name", ["front.mp4", "parts.mp4", "h264.ts", "mpeg4.avi", "animation.gif"])
def test_zeros_in_the_middle_leave_what_is_before_them(tmp_path, name):
    how = next(how for other, how, _ in FILES if other == name)
    path = encode(tmp_path / name, numbered_frames(48), **how)
    whole = list(VideoClip.open(path).iter_frames())
    data = bytearray(path.read_bytes())
    middle = int(len(data) * 0.6)
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    path.write_bytes(bytes(data))
    clip = VideoClip.open(path)
    try:
        found = [frame for _, frame in clip.iter_frames()]
    except DamagedVideoError as error:
        clip = clip.window(0, error.num_readable)
        found = [frame for _, frame in clip.iter_frames()]
    assert clip.damage is not None
    assert 4 <= len(found) == clip.num_frames < 48
    for frame, (_, expected) in zip(found, whole, strict=False):
        np.testing.assert_array_equal(frame, expected)


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(DamagedVideoError("It breaks.", 9)))
    assert (str(error), error.num_readable) == ("It breaks.", 9)
