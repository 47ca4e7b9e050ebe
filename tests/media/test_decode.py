import pickle
import resource
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from sama_plugin.errors import DamagedVideoError, MediaError
from sama_plugin.media import decode
from sama_plugin.media.decode import VideoClip
from tests.media.tiny_video import decode_in_order, encode, numbered_frames, set_display_matrix

B_FRAMES = {"g": "10", "bf": "3", "x264-params": "scenecut=0:b-adapt=0", "preset": "veryfast"}
LONG_GOP = {"g": "250", "bf": "2", "preset": "veryfast"}
OPEN_GOP = {"g": "8", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0", "preset": "veryfast"}
UNEVEN_PTS = [0, 1, 2, 7, 8, 20, 21, 22, 40, 41, 45, 46, 47, 48, 60, 61, 62, 70, 71, 90, 91, 92, 93, 100]

FILES = [
    ("b_frames.mp4", {"options": B_FRAMES}),
    ("open_gop.mp4", {"options": OPEN_GOP}),
    ("long_gop.mov", {"options": LONG_GOP}),
    ("uneven.mp4", {"options": B_FRAMES, "pts": UNEVEN_PTS, "time_base": Fraction(1, 90)}),
    ("h264.mkv", {"options": B_FRAMES}),
    ("intra.mp4", {"options": {"g": "1", "preset": "veryfast"}}),
    ("vp9.webm", {"codec": "libvpx-vp9", "options": {"g": "8", "deadline": "realtime", "cpu-used": "8"}}),
    ("vp8.webm", {"codec": "libvpx", "options": {"g": "8", "auto-alt-ref": "1", "lag-in-frames": "8"}}),
    ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "8"}}),
    ("stream.ts", {"options": B_FRAMES}),
    ("animation.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
]


@pytest.fixture(params=FILES, ids=[name for name, _ in FILES])
def video(request, tmp_path):
    name, how = request.param
    return encode(tmp_path / name, numbered_frames(24), **how)


@pytest.fixture
def mp4(tmp_path):
    return encode(tmp_path / "clip.mp4", numbered_frames(24), options=B_FRAMES)


def test_random_access_equals_decoding_in_order(video):
    clip, expected = VideoClip.open(video), decode_in_order(video)
    assert clip.num_frames == len(expected) == 24
    for index in (23, 0, 11, 10, 9, 17, 1, 22):
        np.testing.assert_array_equal(clip.read([index])[0], expected[index])
    asked = [5, 21, 5, 0, 19, 12]
    np.testing.assert_array_equal(clip.read(asked), np.stack([expected[i] for i in asked]))


def test_forward_and_backward_equal_decoding_in_order(video, monkeypatch):
    monkeypatch.setattr(decode, "REVERSE_FRAMES", 5)
    clip, expected = VideoClip.open(video), decode_in_order(video)
    forward = list(clip.iter_frames(3, 20))
    backward = list(clip.iter_frames_reversed(21, 2))
    assert [index for index, _ in forward] == list(range(3, 20))
    assert [index for index, _ in backward] == list(range(21, 1, -1))
    for index, frame in forward + backward:
        np.testing.assert_array_equal(frame, expected[index])


def test_backward_decodes_no_more_frames_at_once_than_allowed(mp4, monkeypatch):
    monkeypatch.setattr(decode, "REVERSE_FRAMES", 4)
    held = []
    monkeypatch.setattr(decode, "islice", lambda frames, count: held.append(count) or _first(frames, count))
    list(VideoClip.open(mp4).iter_frames_reversed(23))
    assert max(held) <= 4
    assert sum(held) == 24


def _first(frames, count):
    return [frame for _, frame in zip(range(count), frames, strict=False)]


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv"])
def test_reading_seeks_instead_of_decoding_everything(tmp_path, monkeypatch, name):
    path = encode(tmp_path / name, numbered_frames(100), options=B_FRAMES)
    clip = VideoClip.open(path)
    decoded = []
    original = decode._FileReader._frames_after_key

    def counted(self, key):
        for item in original(self, key):
            decoded.append(item[0])
            yield item

    monkeypatch.setattr(decode._FileReader, "_frames_after_key", counted)
    clip.read([95])
    assert decoded[0] >= 80
    decoded.clear()
    clip.read([2, 95])
    assert len(decoded) < 30


@pytest.mark.parametrize("name", ["b_frames.mp4", "h264.mkv"])
def test_opening_decodes_one_frame_only(tmp_path, monkeypatch, name):
    path = encode(tmp_path / name, numbered_frames(24), options=B_FRAMES)
    monkeypatch.setattr(decode, "index_decoded", lambda *_: pytest.fail("the whole file was decoded"))
    assert VideoClip.open(path).num_frames == 24


def test_late_seek_falls_back_to_an_earlier_keyframe(mp4):
    clip, expected = VideoClip.open(mp4), decode_in_order(mp4)
    keys = clip._source.index.key_dts
    keys[1] = keys[2]  # a container that lands one keyframe too late
    np.testing.assert_array_equal(clip.read([12])[0], expected[12])


def test_times_follow_a_variable_frame_rate(tmp_path):
    path = encode(
        tmp_path / "uneven.mp4",
        numbered_frames(24),
        options=B_FRAMES,
        pts=UNEVEN_PTS,
        time_base=Fraction(1, 90),
    )
    clip = VideoClip.open(path)
    np.testing.assert_allclose(clip.timestamps_s, np.array(UNEVEN_PTS) / 90, atol=1e-6)
    assert clip.frame_at(6.5 / 90) == 2
    assert clip.frame_at(7 / 90) == 3
    assert all(clip.frame_at(clip.time_of(frame)) == frame for frame in range(24))
    assert clip.fps == pytest.approx(23 / (100 / 90), rel=0.02)


def test_times_begin_at_zero_when_the_file_does_not(tmp_path):
    path = encode(tmp_path / "late.mkv", numbered_frames(5), options=B_FRAMES, pts=[48, 49, 50, 51, 52])
    np.testing.assert_allclose(VideoClip.open(path).timestamps_s, np.arange(5) / 24, atol=1e-3)


def test_frames_are_counted_where_packets_do_not_tell_them(mp4, monkeypatch):
    expected = decode_in_order(mp4)
    monkeypatch.setattr(decode, "index_packets", lambda *_: None)
    clip = VideoClip.open(mp4)
    assert clip._source.index.pts is None
    np.testing.assert_array_equal(clip.read([13, 4]), np.stack([expected[13], expected[4]]))
    assert clip.timestamps_s[23] == pytest.approx(23 / 24)


@pytest.mark.parametrize("time_s", [-0.1, 1.1, float("nan"), float("inf")])
def test_time_outside_the_clip_raises(mp4, time_s):
    with pytest.raises(MediaError, match=r"outside .*lasts from 0 to 1\.000 s"):
        VideoClip.open(mp4).frame_at(time_s)


def test_end_of_the_clip_is_its_last_frame(mp4):
    clip = VideoClip.open(mp4)
    assert clip.duration_s == pytest.approx(1.0)
    assert clip.frame_at(1.0) == 23


@pytest.mark.parametrize("index", [-1, 24])
def test_index_outside_the_clip_raises(mp4, index):
    clip = VideoClip.open(mp4)
    match = rf"Frame {index} is not in .*24 frames \(0 to 23\)"
    with pytest.raises(MediaError, match=match):
        clip.read([0, index])
    with pytest.raises(MediaError, match=match):
        clip.time_of(index)
    with pytest.raises(MediaError, match=match):
        list(clip.iter_frames_reversed(index if index > 0 else 5, min(index, 0)))


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (5, 4), (0, 25)])
def test_range_outside_the_clip_raises(mp4, start, stop):
    with pytest.raises(MediaError, match="24 frames"):
        list(VideoClip.open(mp4).iter_frames(start, stop))


def test_nothing_asked_gives_nothing(mp4):
    clip = VideoClip.open(mp4)
    assert clip.read([]).shape == (0, 48, 64, 3)
    assert list(clip.iter_frames(7, 7)) == []


WINDOWS = [(0, 24), (0, 7), (3, 20), (10, 11), (11, 24)]


@pytest.mark.parametrize(("start", "stop"), WINDOWS)
def test_window_reads_its_frames_under_its_own_numbers(video, start, stop):
    clip, expected = VideoClip.open(video), decode_in_order(video)
    window, n = clip.window(start, stop), stop - start
    assert (window.path, window.height, window.width, window.fps) == (clip.path, 48, 64, clip.fps)
    assert window.num_frames == n
    np.testing.assert_allclose(window.timestamps_s, clip.timestamps_s[start:stop] - clip.timestamps_s[start])
    end_s = clip.duration_s if stop == 24 else clip.timestamps_s[stop]
    assert window.duration_s == pytest.approx(end_s - clip.timestamps_s[start])
    asked = [n - 1, 0, n // 2]
    np.testing.assert_array_equal(window.read(asked), np.stack([expected[start + i] for i in asked]))
    forward, backward = list(window.iter_frames()), list(window.iter_frames_reversed(n - 1))
    assert [index for index, _ in forward] == list(range(n))
    assert [index for index, _ in backward] == list(range(n - 1, -1, -1))
    for index, frame in forward + backward:
        np.testing.assert_array_equal(frame, expected[start + index])


def test_window_of_a_window_is_a_window(mp4):
    clip = VideoClip.open(mp4)
    inner, same = clip.window(3, 22).window(5, 15), clip.window(8, 18)
    np.testing.assert_array_equal(inner.read(range(10)), same.read(range(10)))
    np.testing.assert_allclose(inner.timestamps_s, same.timestamps_s)
    assert inner.frame_at(0.0) == 0
    with pytest.raises(MediaError, match="Frame 10 is not in"):
        inner.read([10])
    with pytest.raises(MediaError, match="lasts from 0 to"):
        inner.frame_at(0.6)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 25), (24, 25)])
def test_window_with_bad_borders_raises(mp4, start, stop):
    with pytest.raises(MediaError, match=rf"Frames {start} to {stop} are no window of .*24 frames"):
        VideoClip.open(mp4).window(start, stop)


SPANS = [
    (None, None, range(24)),
    (0.0, 1.0, range(24)),
    (None, 6 / 24, range(6)),
    (6 / 24, None, range(6, 24)),
    (6.5 / 24, 8.5 / 24, range(6, 9)),
    (6 / 24, 7 / 24, range(6, 7)),
    (6.2 / 24, 6.4 / 24, range(6, 7)),
    (0.5, 0.5, range(12, 13)),
    (1.0, 1.0, range(23, 24)),
]


@pytest.mark.parametrize(("from_s", "to_s", "frames"), SPANS)
def test_span_of_time_is_what_is_shown_then(mp4, from_s, to_s, frames):
    assert VideoClip.open(mp4).span(from_s, to_s) == frames


@pytest.mark.parametrize(
    ("from_s", "to_s", "match"),
    [
        (-0.1, 0.5, r"Time -0\.1 s is outside"),
        (0.1, 1.1, r"Time 1\.1 s is outside"),
        (0.6, 0.5, "ends before it begins"),
        (float("nan"), None, "is outside"),
    ],
)
def test_span_outside_or_reversed_raises(mp4, from_s, to_s, match):
    with pytest.raises(MediaError, match=match):
        VideoClip.open(mp4).span(from_s, to_s)


MATRICES = [
    ((0, 1, -1, 0), lambda f: np.rot90(f, -1)),
    ((0, -1, 1, 0), lambda f: np.rot90(f, 1)),
    ((-1, 0, 0, -1), lambda f: np.rot90(f, 2)),
    ((-1, 0, 0, 1), np.fliplr),
    ((1, 0, 0, -1), np.flipud),
    ((0, 1, 1, 0), lambda f: f.transpose(1, 0, 2)),
]


@pytest.mark.parametrize(("matrix", "turn"), MATRICES, ids=[str(m) for m, _ in MATRICES])
def test_frames_are_upright_as_a_player_shows_them(mp4, matrix, turn):
    stored = decode_in_order(mp4)
    set_display_matrix(mp4, *matrix)
    clip = VideoClip.open(mp4)
    shown = clip.read([3, 20])
    assert shown.shape[1:] == (clip.height, clip.width, 3)
    np.testing.assert_array_equal(shown, np.stack([turn(stored[3]), turn(stored[20])]))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("one.mp4", "libx264", "yuv420p"), ("one.gif", "gif", "rgb8")]
)
def test_video_of_one_frame_works(tmp_path, name, codec, pix_fmt):
    clip = VideoClip.open(encode(tmp_path / name, numbered_frames(1), codec=codec, pix_fmt=pix_fmt))
    assert clip.num_frames == 1
    assert clip.read([0, 0]).shape == (2, 48, 64, 3)
    assert clip.fps > 0
    assert clip.duration_s > 0
    assert [index for index, _ in clip.iter_frames_reversed(0)] == [0]


def test_clip_survives_pickling(mp4):
    clip = pickle.loads(pickle.dumps(VideoClip.open(mp4)))
    assert clip.read([7]).shape == (1, 48, 64, 3)


def test_memory_stays_flat_over_a_long_video(tmp_path):
    frames = numbered_frames(2, 360, 640) * 300  # 415 MB as RGB
    path = encode(tmp_path / "long.mp4", frames, options={"preset": "ultrafast", "g": "250"})
    del frames
    clip = VideoClip.open(path)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in clip.iter_frames()) == 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000


def test_file_that_vanished_after_opening_raises(mp4):
    clip = VideoClip.open(mp4)
    mp4.unlink()
    with pytest.raises(MediaError, match="can no longer be read"):
        clip.read([0])


def test_missing_path_raises(tmp_path):
    with pytest.raises(MediaError, match=r"none\.mp4' does not exist"):
        VideoClip.open(tmp_path / "none.mp4")


def test_empty_file_raises(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match=r"is empty \(0 bytes\)"):
        VideoClip.open(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes.gif", "list.m3u8", "list.ffconcat"])
def test_text_is_not_a_video(tmp_path, name):
    text = {
        "list.m3u8": "#EXTM3U\n#EXTINF:1,\nclip.mp4\n",
        "list.ffconcat": "ffconcat version 1.0\nfile clip.mp4\n",
    }
    encode(tmp_path / "clip.mp4", numbered_frames(2))
    (tmp_path / name).write_text(text.get(name, "These are only words, and then some more words.\n" * 20))
    with pytest.raises(MediaError, match=f"{name}' (is not a video|has zero frames, or is no video)"):
        VideoClip.open(tmp_path / name)


def test_sound_alone_is_not_a_video(tmp_path):
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match="no video stream"):
        VideoClip.open(tmp_path / "sound.mkv")


def test_container_without_frames_raises(tmp_path):
    with av.open(str(tmp_path / "zero.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(MediaError, match="zero frames"):
        VideoClip.open(tmp_path / "zero.mkv")


def test_damage_in_the_middle_names_the_frame(tmp_path):
    path = encode(tmp_path / "clip.mp4", numbered_frames(24), options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][9]
    data = bytearray(path.read_bytes())
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(bytes(data))
    clip = VideoClip.open(path)
    with pytest.raises(DamagedVideoError, match="is damaged: frame 9 of 24 cannot be decoded"):
        list(clip.iter_frames())
    assert clip.read([15]).shape[0] == 1


def test_folder_is_ordered_by_the_numbers_in_its_names(tmp_path):
    for number, name in ((0, "frame2.png"), (1, "frame10.png"), (2, "frame11.jpg")):
        Image.new("RGB", (20, 10), (number * 100, 0, 0)).save(tmp_path / name, quality=100)
    (tmp_path / "notes.txt").write_text("not a frame")
    clip = VideoClip.open(tmp_path, folder_fps=6)
    assert (clip.num_frames, clip.height, clip.width, clip.fps) == (3, 10, 20, 6.0)
    np.testing.assert_allclose(clip.read([2, 0, 1])[:, 5, 5, 0], [200, 0, 100], atol=3)
    assert [frame[0, 0, 0] for _, frame in clip.iter_frames_reversed(1)] == [100, 0]
    assert clip.frame_at(0.34) == 2


def test_folder_of_mixed_sizes_raises(tmp_path):
    Image.new("RGB", (20, 10)).save(tmp_path / "0.png")
    Image.new("RGB", (20, 12)).save(tmp_path / "1.png")
    with pytest.raises(MediaError, match=r"1\.png' is \(12, 20\).*expected one size"):
        VideoClip.open(tmp_path)


def test_folder_without_pictures_raises(tmp_path):
    with pytest.raises(MediaError, match="has zero frames"):
        VideoClip.open(tmp_path)


def test_folder_with_a_truncated_picture_raises(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)).save(
        tmp_path / "0.png"
    )
    data = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"0\.png' cannot be read"):
        VideoClip.open(tmp_path).read([0])


def test_picture_is_a_clip_of_one_frame(tmp_path):
    Image.new("RGB", (20, 10), (1, 2, 3)).save(tmp_path / "still.png")
    clip = VideoClip.open(tmp_path / "still.png")
    assert clip.num_frames == 1
    assert clip.read([0])[0, 0, 0].tolist() == [1, 2, 3]


def test_name_that_looks_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "clip.mp4", numbered_frames(2)).rename(tmp_path / "concat:clip.mp4")
    assert VideoClip.open("concat:clip.mp4").num_frames == 2
