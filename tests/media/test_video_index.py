from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.media.video_index import index_decoded, index_packets

STREAM = SimpleNamespace(
    codec_context=SimpleNamespace(name="h264"),
    time_base=Fraction(1, 24),
    average_rate=Fraction(24),
    frames=9,
    decode=lambda packet: packet.shows if packet else [],
)


def packet(pts, dts, is_key=False, **changes):
    fields = {"is_discard": False, "is_corrupt": False, "duration": 1, "size": 100, **changes}
    return SimpleNamespace(pts=pts, dts=dts, is_keyframe=is_key, **fields)


def container(packets, name="mov,mp4,m4a"):
    return SimpleNamespace(
        name="file:clip.mp4",
        duration=None,
        format=SimpleNamespace(name=name),
        demux=lambda _: iter([*packets, packet(None, None, size=0)]),
    )


def decoded(pts, duration=1, **changes):
    """A packet that decodes to one frame at once."""
    frame = SimpleNamespace(pts=pts, duration=duration, is_corrupt=False)
    return packet(pts, pts, duration=duration, shows=[frame], **changes)


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


def test_matroska_is_sought_by_the_time_frames_are_shown():
    packets = [packet(2, None, True), packet(5, None), packet(3, 2), packet(6, 4, True)]
    index = index_packets(container(packets, name="matroska,webm"), STREAM)
    assert index.pts.tolist() == [2, 3, 5, 6]
    assert index.key_dts.tolist() == [2, 6]


def test_container_that_cannot_be_sought_gives_no_index():
    assert index_packets(container(PACKETS, name="mpegts"), STREAM) is None


def test_frames_before_a_damaged_packet_are_used():
    packets = [*PACKETS, packet(10, 6, is_corrupt=True), packet(8, 7), packet(9, 8)]
    index = index_packets(container(packets), STREAM)
    assert index.pts.tolist() == [2, 3, 4, 5]  # 6 and 7 are whole, but what is damaged could come between
    assert index.key_frames.tolist() == [0]
    assert index.damage == (
        "Video 'clip.mp4' breaks in the middle: 4 of 9 frames are used (a packet is damaged)."
    )


def test_last_packet_of_a_file_that_was_cut_is_not_trusted():
    index = index_packets(container(PACKETS), STREAM, missing="it ends")
    assert index.pts.tolist() == [2, 3, 4]
    assert index.damage == "Video 'clip.mp4' ends early: 3 of 9 frames are used (it ends)."


def test_damage_before_the_first_frame_gives_no_index():
    assert index_packets(container([packet(0, 0, True)]), STREAM, missing="it ends") is None


def test_decoded_frames_keep_their_times():
    index = index_decoded(container([decoded(10), decoded(12), decoded(18, duration=6)]), STREAM)
    assert index.pts is None
    assert index.damage is None
    np.testing.assert_allclose(index.timestamps_s, np.array([0, 2, 8]) / 24)
    assert index.duration_s == pytest.approx(14 / 24)
    assert index.fps == pytest.approx(2 / (8 / 24))


@pytest.mark.parametrize("times", [[0, None, 2], [0, 1, 1], [5, 3, 4]])
def test_decoded_frames_without_usable_times_are_spread_by_the_rate(times):
    index = index_decoded(container([decoded(t) for t in times]), STREAM)
    np.testing.assert_allclose(index.timestamps_s, np.arange(3) / 24)
    assert index.fps == 24.0


def test_decoded_frames_before_a_damaged_packet_are_used():
    packets = [decoded(0), decoded(1), decoded(2, is_corrupt=True), decoded(3)]
    index = index_decoded(container(packets, name="gif"), STREAM)
    np.testing.assert_allclose(index.timestamps_s, np.arange(2) / 24)
    assert index.damage == "Video 'clip.mp4' breaks in the middle: 2 frames are used (a packet is damaged)."


@pytest.mark.parametrize("packets", [[], [decoded(0, is_corrupt=True)]], ids=["empty", "damaged"])
def test_file_without_frames_raises(packets):
    with pytest.raises(MediaError, match=r"'clip\.mp4' has zero frames"):
        index_decoded(container(packets), STREAM)


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (0, 2), (1, 6), (2, 5), (4, 6), (5, 6)])
def test_part_of_an_index_is_counted_and_timed_from_its_start(start, stop):
    whole = index_packets(container(PACKETS), STREAM)
    part = whole.part(start, stop)
    assert part.pts.tolist() == whole.pts[start:stop].tolist()
    np.testing.assert_allclose(part.timestamps_s, np.arange(stop - start) / 24)
    assert part.duration_s == pytest.approx((stop - start) / 24)
    assert part.key_frames.tolist() == ([0, 4 - start] if start < 4 < stop else [0])
    assert part.key_dts.tolist() == [0, 4][int(start >= 4) : 1 + int(stop > 4)]


def test_rate_stated_by_the_file_wins_over_rounded_times():
    stream = SimpleNamespace(
        codec_context=STREAM.codec_context, time_base=Fraction(1, 1000), average_rate=Fraction(30000, 1001)
    )
    packets = [packet(pts, pts, pts == 0) for pts in (0, 33, 67, 100)]
    assert index_packets(container(packets), stream).fps == 30000 / 1001
