from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.evaluation.metrics.mask_input import binary_masks, fit_track, palette_tracks, resize_mask

HALF = np.array([[0, 1], [0, 1]])


@pytest.mark.parametrize(
    "masks",
    [HALF > 0, HALF.astype(np.uint8), HALF.astype(np.uint8) * 255, HALF * 7, HALF.astype(np.float32)],
)
def test_one_value_beside_zero_is_inside(masks: np.ndarray) -> None:
    assert binary_masks(masks, "m").tolist() == [[False, True], [False, True]]


def test_no_value_beside_zero_is_empty() -> None:
    assert not binary_masks(np.zeros((2, 2), np.uint8), "m").any()


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (np.array([[0, 1], [2, 255]], np.uint8), r"clip/a: masks hold 3 values beside 0 \(1, 2, 255\)"),
        (np.array([[0.0, np.nan]]), r"clip/a: 1 mask values are NaN or infinite"),
        (np.array([[0.0, np.inf], [np.nan, 1]]), r"clip/a: 2 mask values"),
        (np.array([[0.0, 0.7]]), r"clip/a: masks hold fractions"),
        (np.array([["a"]]), r"clip/a: masks have dtype"),
    ],
)
def test_values_that_are_no_mask_raise(masks: np.ndarray, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        binary_masks(masks, "clip/a")


def test_palette_is_taken_apart() -> None:
    ids = np.array([[[0, 1], [5, 255]]], np.uint8)
    taken = palette_tracks(ids, "p")
    assert list(taken.tracks) == [1, 5]
    assert taken.tracks[5].tolist() == [[[False, False], [True, False]]]
    assert taken.void is not None
    assert taken.void.tolist() == [[[False, False], [False, True]]]
    assert palette_tracks(ids % 255, "p").void is None
    assert list(palette_tracks(ids, "p", void_id=None).tracks) == [1, 5, 255]


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.zeros((2, 2), np.uint8), r"p: index masks have shape \(2, 2\)"),
        (np.zeros((1, 2, 2)), r"p: .* dtype float64"),
        (np.full((1, 2, 2), -3), r"p: index masks hold the id -3"),
    ],
)
def test_what_is_no_palette_raises(ids: np.ndarray, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        palette_tracks(ids, "p")


def test_a_track_that_fits_has_no_faults() -> None:
    track = np.ones((2, 3, 3), bool)
    fitted = fit_track(track, (2, 3, 3), "p")
    assert fitted.masks.all()
    assert fitted.faults == {}


def test_missing_spare_and_resized_frames_are_counted() -> None:
    short = fit_track([HALF * 255], (3, 2, 2), "p")
    assert short.masks.any(axis=(1, 2)).tolist() == [True, False, False]
    assert short.faults == {"missing_frames": 2}
    long = fit_track([HALF, np.repeat(HALF, 2, axis=1), HALF], (2, 2, 2), "p")
    assert long.masks.tolist() == [HALF.tolist(), HALF.tolist()]
    assert long.faults == {"spare_frames": 1, "resized_frames": 1}


@pytest.mark.parametrize(
    ("frame", "said"),
    [(np.zeros((1, 2, 2)), r"p: frame 0 has shape"), (np.array([[1, 2]]), r"p, frame 0: masks hold 2")],
)
def test_a_frame_that_is_no_mask_is_named(frame: np.ndarray, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        fit_track([frame], (1, 2, 2), "p")


def test_resizing_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is missing")
    ids = np.arange(7 * 11, dtype=np.uint8).reshape(7, 11)
    for height, width in ((14, 22), (3, 5), (10, 7), (7, 11)):
        theirs = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(resize_mask(ids, height, width), theirs)
