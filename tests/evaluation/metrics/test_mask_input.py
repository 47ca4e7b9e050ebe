from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.evaluation.metrics.mask_input import palette_tracks, resize_mask


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


def test_resizing_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is missing")
    ids = np.arange(7 * 11, dtype=np.uint8).reshape(7, 11)
    for height, width in ((14, 22), (3, 5), (10, 7), (7, 11)):
        theirs = cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST)
        assert np.array_equal(resize_mask(ids, height, width), theirs)
