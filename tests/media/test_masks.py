import json

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.media import masks
from sama_plugin.media.masks import (
    box_of_mask,
    decode_mask,
    decode_track,
    encode_mask,
    encode_segmentation,
    encode_track,
    mask_of_box,
    visible_spans,
)


def picture(text):
    """`#` is inside."""
    return np.array([[character == "#" for character in row] for row in text.split()])


def test_run_lengths_come_back_and_survive_json():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        for size in ((1, 1), (1, 40), (33, 7), (64, 80)):
            mask = rng.random(size) < share
            rle = json.loads(json.dumps(encode_mask(mask)))
            assert rle["size"] == list(size)
            decoded = decode_mask(rle)
            assert decoded.dtype == np.bool_
            np.testing.assert_array_equal(decoded, mask)


def test_known_run_lengths():
    mask = picture("..# ..# ...")
    assert encode_mask(mask) == {"size": [3, 3], "counts": "621"}
    np.testing.assert_array_equal(decode_mask({"size": [3, 3], "counts": b"621"}), mask)
    np.testing.assert_array_equal(decode_mask({"size": [3, 3], "counts": [6, 2, 1]}), mask)


def test_area_counts_without_decoding():
    mask = np.zeros((7, 9), dtype=bool)
    mask[2:5, 3:8] = True
    assert masks.mask_area(masks.encode_mask(mask)) == 15


def test_shared_area_counts_what_is_in_both():
    one = picture("##. ##. ...")
    other = {"size": [3, 3], "counts": [3, 2, 4]}
    assert masks.shared_area(masks.encode_mask(one), other) == int((one & decode_mask(other)).sum()) == 2


def test_non_contiguous_mask_is_encoded_right():
    mask = np.random.default_rng(0).random((20, 30)) < 0.5
    np.testing.assert_array_equal(decode_mask(encode_mask(mask.T)), mask.T)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask[::-2, ::3])), mask[::-2, ::3])


@pytest.mark.parametrize("counts", ["", "62", "6210", "6", "zz", "é", [6, 2], [], [6, 2, 1, 5], "P" * 40])
def test_run_lengths_that_do_not_fill_the_size_raise(counts):
    with pytest.raises(MediaError, match=r"Broken run lengths.*mask of size \(3, 3\)"):
        decode_mask({"size": [3, 3], "counts": counts})


@pytest.mark.parametrize(
    "rle",
    [
        None,
        {},
        {"size": [3, 3]},
        {"size": [3], "counts": "621"},
        [6, 2],
        {"size": [3, 3], "counts": [-1, 10]},
    ],
)
def test_what_is_no_mask_raises(rle):
    with pytest.raises(MediaError, match="Not a mask"):
        decode_mask(rle)


def test_covered_pixels_agree_with_pycocotools_on_long_runs():
    rng = np.random.default_rng(1)
    for _ in range(50):
        mask = rng.random(tuple(rng.integers(1, 300, 2))) < rng.random() ** 4
        assert masks._covered_pixels(encode_mask(mask)["counts"].encode()) == mask.size


def test_empty_frames_of_a_track_are_none():
    track = np.zeros((3, 4, 5), bool)
    track[1, 2, 3] = True
    rles = encode_track(track)
    assert [rle is None for rle in rles] == [True, False, True]
    np.testing.assert_array_equal(decode_track(rles), track)


def test_track_that_is_empty_everywhere():
    assert decode_track([None, None]).shape == (0, 0, 0)
    assert decode_track([None, None], size=(4, 5)).shape == (2, 4, 5)


def test_track_of_mixed_sizes_raises():
    rles = [encode_mask(np.ones((3, 3), bool)), encode_mask(np.ones((3, 4), bool))]
    with pytest.raises(MediaError, match=r"different sizes \[\(3, 3\), \(3, 4\)\]"):
        decode_track(rles)


def test_wrong_dimensions_raise():
    with pytest.raises(MediaError, match=r"shape \(3,\), expected \(H, W\)"):
        encode_mask(np.ones(3, bool))
    with pytest.raises(MediaError, match=r"shape \(3, 3\), expected \(T, H, W\)"):
        encode_track(np.ones((3, 3), bool))


def test_box_and_mask_are_inverse():
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:9] = True
    assert box_of_mask(mask) == (3, 2, 9, 5)
    np.testing.assert_array_equal(mask_of_box((3, 2, 9, 5), 10, 12), mask)
    assert box_of_mask(np.zeros((4, 4), bool)) == (0, 0, 0, 0)


def test_box_fills_every_pixel_it_touches_and_is_cut_at_the_frame():
    np.testing.assert_array_equal(mask_of_box((1.2, 0.9, 1.4, 1.1), 3, 3), picture(".#. .#. ..."))
    np.testing.assert_array_equal(mask_of_box((-5, -5, 1, 2), 3, 3), picture("#.. #.. ..."))
    assert not mask_of_box((-5, -5, -1, -1), 3, 3).any()


def test_visible_spans_last_until_the_next_frame():
    rle = encode_mask(np.ones((1, 1), bool))
    times = np.array([0.0, 0.1, 0.3, 0.6, 1.0])
    assert visible_spans([rle, None, rle, rle, None], times, 1.1) == [(0.0, 0.1), (0.3, 1.0)]
    assert visible_spans([None, None, None, None, rle], times, 1.1) == [(1.0, 1.1)]
    assert visible_spans([None] * 5, times, 1.1) == []
    assert visible_spans([rle], np.array([0.0]), 0.125) == [(0.0, 0.125)]


def test_spans_of_another_clip_raise():
    with pytest.raises(MediaError, match="2 masks but 1 timestamps"):
        visible_spans([None, None], np.zeros(1), 1.0)


SQUARE, OVERLAP = [2.0, 2, 10, 2, 10, 8, 2, 8], [6.0, 4, 14, 4, 14, 10, 6, 10]


def test_parts_of_an_outline_are_joined():
    expected = np.zeros((12, 16), dtype=bool)
    expected[2:8, 2:10] = expected[4:10, 6:14] = True
    np.testing.assert_array_equal(decode_mask(encode_segmentation([SQUARE, OVERLAP], 12, 16)), expected)
    rles = [encode_segmentation([one], 12, 16) for one in (SQUARE, OVERLAP)]
    np.testing.assert_array_equal(decode_mask(encode_segmentation(rles, 12, 16)), expected)


def test_outline_may_be_run_lengths_of_either_kind():
    loose = {"size": [2, 3], "counts": [1, 2, 3]}
    expected = np.array([[False, True, False], [True, False, False]])
    for outline in (loose, [loose], encode_mask(expected)):
        np.testing.assert_array_equal(decode_mask(encode_segmentation(outline, 2, 3)), expected)


@pytest.mark.parametrize("outline", [[], [[0, 0, 0, 0, 0, 0]], {"size": [2, 3], "counts": [6]}])
def test_outline_of_nothing_is_none(outline):
    assert encode_segmentation(outline, 2, 3) is None


@pytest.mark.parametrize("size", [(10**9, 64), (-1, 4), ("8", 8), (2.5, 4)])
def test_sizes_that_no_picture_has_are_refused(size):
    with pytest.raises(MediaError, match=r"Not a picture's height and width"):
        encode_segmentation([SQUARE], *size)
    with pytest.raises(MediaError, match=r"Not a mask"):
        decode_mask({"size": size, "counts": "0"})


@pytest.mark.parametrize("number", [1e9, float("nan"), float("inf"), 10**12])
def test_polygon_far_outside_is_refused(number):
    with pytest.raises(MediaError, match="Not a polygon"):
        encode_segmentation([[number, *SQUARE[1:]]], 12, 16)


@pytest.mark.parametrize(
    "outline", [[[1, 1, 2, 2]], [[0, 0, 1, 1, 2, 2, 3]], ["red"], [["a"] * 6], [5], {"counts": "x"}]
)
def test_what_is_no_outline_is_refused(outline):
    with pytest.raises(MediaError, match=r"Not a (polygon|mask)"):
        encode_segmentation(outline, 8, 8)
