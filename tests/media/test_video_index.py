from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.media.video_index import index_decoded, index_packets

STREAM = SimpleNamespace(
    codec_context=SimpleNamespace(name="h264"), time_base=Fraction(1, 24), average_rate=Fraction(24)
)


def packet(pts, dts, is_key=False, **changes):
    fields = {"is_discard": False, "is_corrupt": False, "duration": 1, "size": 100, **changes}
    return SimpleNamespace(pts=pts, dts=dts, is_keyframe=is_key, **fields)


def container(packets, name="mov,mp4,m4a", frames=()):
    return SimpleNamespace(
        name="clip.mp4",
        format=SimpleNamespace(name=name),
        demux=lambda _: iter([*packets, packet(None, None, size=0)]),
        decode=lambda _: iter(frames),
    )


def frame(pts, duration=1):
    return SimpleNamespace(pts=pts, duration=duration)


PACKETS = [packet(2, 0, True), packet(5, 1), packet(3, 2), packet(4, 3), packet(6, 4, True), packet(7, 5)]


def test_packets_in_coding_order_become_frames_in_showing_order():
    index = index_packets(container(PACKETS), STREAM)
    assert index.pts.tolist() == [2, 3, 4, 5, 6, 7]
    assert index.key_frames.tolist() == [0, 4]
    assert index.key_dts.tolist() == [0, 4]
    np.testing.assert_allclose(index.timestamps_s, np.arange(6) / 24)
    assert index.duration_s == pytest.approx(6 / 24)
    assert index.fps == 24.0


def test_leading_frames_belong_to_the_keyframe_before():
    packets = [packet(0, -2, True), packet(1, -1), packet(4, 0, True), packet(2, 1), packet(3, 2)]
    index = index_packets(container(packets), STREAM)
    assert index.key_frames.tolist() == [0, 4]


def test_frames_cut_off_by_an_edit_list_are_not_counted():
    packets = [
        packet(-2, -4, True, is_discard=True),
        packet(-1, -3, is_discard=True),
        packet(0, -2),
        packet(1, -1),
    ]
    index = index_packets(container(packets), STREAM)
    assert index.pts.tolist() == [0, 1]
    assert index.key_frames.tolist() == [0]
    assert index.key_dts.tolist() == [-4]


UNSURE = {
    "repeated time": [packet(0, 0, True), packet(1, 1), packet(1, 2)],
    "missing time": [packet(0, 0, True), packet(None, 1)],
    "missing decoding time": [packet(0, 0, True), packet(1, None)],
    "begins without keyframe": [packet(0, 0), packet(1, 1, True)],
    "frames before the first keyframe": [packet(2, 0, True), packet(1, 1)],
    "nothing": [],
}


@pytest.mark.parametrize("packets", UNSURE.values(), ids=UNSURE)
def test_packets_that_do_not_determine_frames_give_no_index(packets):
    assert index_packets(container(packets), STREAM) is None


def test_container_that_cannot_be_sought_gives_no_index():
    assert index_packets(container(PACKETS, name="mpegts"), STREAM) is None


def test_packet_marked_as_damaged_raises():
    packets = [packet(0, 0, True), packet(1, 1, is_corrupt=True)]
    with pytest.raises(MediaError, match="damaged or truncated at packet 1"):
        index_packets(container(packets), STREAM)


def test_decoded_frames_keep_their_times():
    index = index_decoded(container([], frames=[frame(10), frame(12), frame(18, duration=6)]), STREAM)
    assert index.pts is None
    np.testing.assert_allclose(index.timestamps_s, np.array([0, 2, 8]) / 24)
    assert index.duration_s == pytest.approx(14 / 24)
    assert index.fps == pytest.approx(2 / (8 / 24))


@pytest.mark.parametrize("times", [[0, None, 2], [0, 1, 1], [5, 3, 4]])
def test_decoded_frames_without_usable_times_are_spread_by_the_rate(times):
    index = index_decoded(container([], frames=[frame(t) for t in times]), STREAM)
    np.testing.assert_allclose(index.timestamps_s, np.arange(3) / 24)
    assert index.fps == 24.0


def test_file_without_frames_raises():
    with pytest.raises(MediaError, match="zero frames"):
        index_decoded(container([]), STREAM)


def test_rate_stated_by_the_file_wins_over_rounded_times():
    stream = SimpleNamespace(
        codec_context=STREAM.codec_context, time_base=Fraction(1, 1000), average_rate=Fraction(30000, 1001)
    )
    packets = [packet(pts, pts, pts == 0) for pts in (0, 33, 67, 100)]
    assert index_packets(container(packets), stream).fps == 30000 / 1001
