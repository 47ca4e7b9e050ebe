import numpy as np
import pytest

from sama_plugin.errors import MediaError
from sama_plugin.evaluation.metrics import region_similarity


def square(x0: int, x1: int) -> np.ndarray:
    mask = np.zeros((6, 8), dtype=bool)
    mask[1:5, x0:x1] = True
    return mask


@pytest.mark.parametrize(
    ("gt", "pred", "expected"),
    [
        (square(0, 4), square(0, 4), 1.0),
        (square(0, 4), square(2, 6), 8 / 24),
        (square(0, 4), square(0, 1), 4 / 16),
        (square(0, 2), square(4, 6), 0.0),
        (square(0, 4), square(0, 0), 0.0),
        (square(0, 0), square(0, 4), 0.0),
        (square(0, 0), square(0, 0), 1.0),
    ],
)
def test_hand_worked_overlaps(gt, pred, expected):
    scores = region_similarity(gt[None], pred[None])
    assert scores.dtype == np.float64
    assert scores == pytest.approx([expected], abs=1e-12)


def test_frames_are_scored_apart():
    gt = np.stack([square(0, 4), square(0, 0), square(0, 4)])
    pred = np.stack([square(0, 2), square(0, 0), square(4, 8)])
    assert region_similarity(gt, pred) == pytest.approx([0.5, 1.0, 0.0])


def test_no_frames_give_no_scores():
    empty = np.zeros((0, 4, 4), dtype=bool)
    assert region_similarity(empty, empty).shape == (0,)


@pytest.mark.parametrize(
    ("gt", "pred", "said"),
    [
        (np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), bool), r"gt_masks has .* dtype uint8"),
        (np.zeros((1, 4, 4), bool), np.zeros((4, 4), bool), r"pred_masks has shape \(4, 4\)"),
        (np.zeros((1, 4, 4), bool), np.zeros((2, 4, 4), bool), r"\(1, 4, 4\) but pred_masks has \(2, 4, 4\)"),
    ],
)
def test_masks_that_cannot_be_compared_raise(gt, pred, said):
    with pytest.raises(MediaError, match=said):
        region_similarity(gt, pred)


def test_void_is_held_to_the_same():
    gt = square(0, 4)[None]
    void = np.zeros_like(gt)
    void[:, :, :2] = True
    assert region_similarity(gt, square(2, 6)[None], void) == pytest.approx([8 / 16])
    with pytest.raises(MediaError, match=r"void_masks has .* dtype int64"):
        region_similarity(gt, gt, void.astype(np.int64))


@pytest.mark.parametrize(
    ("gt", "pred", "said"),
    [(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool), r"\(1, 4, 5\); score masks")],
)
def test_sizes_that_differ_raise(gt, pred, said):
    with pytest.raises(MediaError, match=said):
        region_similarity(gt, pred)
