import math

import numpy as np
import pytest

from sama_plugin.evaluation.metrics import contour_accuracy, region_similarity
from sama_plugin.evaluation.metrics.contour_accuracy import boundary_map
from sama_plugin.evaluation.metrics.mask_input import palette_tracks
from tests.evaluation.metrics import void_case


def read_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    """The rule in words: differs from the neighbour right, below or diagonal, the frame's own edge apart."""
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            neighbours = []
            if x + 1 < width:
                neighbours.append((y, x + 1))
            if y + 1 < height:
                neighbours.append((y + 1, x))
            if x + 1 < width and y + 1 < height:
                neighbours.append((y + 1, x + 1))
            if any(mask[y, x] != mask[n] for n in neighbours):
                found.add((y, x))
    return found


def read_contour_accuracy(gt: np.ndarray, pred: np.ndarray, radius: int) -> float:
    """F-measure by comparing every boundary pixel with every other."""
    gt_points, pred_points = read_boundary(gt), read_boundary(pred)
    if not gt_points or not pred_points:
        return float(not gt_points and not pred_points)

    def share_near(points, others):
        near = [any(math.dist(p, q) <= radius for q in others) for p in points]
        return sum(near) / len(near)

    precision, recall = share_near(pred_points, gt_points), share_near(gt_points, pred_points)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def draw_masks(seed: int, count: int, height: int, width: int) -> np.ndarray:
    """(count, height, width) ellipses, rectangles at the edge, noise, single pixels, full and empty masks."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:height, :width]
    masks = np.zeros((count, height, width), dtype=bool)
    for i, mask in enumerate(masks):
        cy, cx = rng.integers(height), rng.integers(width)
        if i % 7 < 2:
            mask[:] = ((yy - cy) / (height / 3)) ** 2 + ((xx - cx) / (width / 4)) ** 2 < 1
        elif i % 7 == 2:
            mask[cy:, cx:] = True
        elif i % 7 == 3:
            mask[:] = rng.random((height, width)) < 0.3
        elif i % 7 == 4:
            mask[cy, cx] = True
        elif i % 7 == 5:
            mask[:] = True
    return masks


def test_boundary_of_a_square_by_hand():
    mask = np.zeros((5, 5), dtype=bool)
    mask[2:4, 2:4] = True
    drawn = ["00000", "01110", "01010", "01110", "00000"]
    assert boundary_map(mask).tolist() == [[c == "1" for c in row] for row in drawn]


def test_shift_beyond_the_tolerance_by_hand():
    gt = np.zeros((1, 40, 40), dtype=bool)
    gt[0, :, :10] = True
    pred = np.roll(gt, 3, axis=2)
    pred[0, :, :3] = True  # one vertical line each, 3 px apart
    assert contour_accuracy(gt, pred, bound_th=2).tolist() == [0.0]
    assert contour_accuracy(gt, pred, bound_th=3).tolist() == [1.0]


def test_half_a_line_by_hand():
    gt = np.zeros((1, 40, 40), dtype=bool)
    gt[0, :, :10] = True
    pred = np.zeros_like(gt)
    pred[0, :, :20] = True
    pred[0, 20:, 10:] = False
    # pred's boundary: rows 0-19 at x=19, row 19 from x=9 to 18, rows 20-39 at x=9; gt's: x=9 on every row
    precision, recall = (20 + 2) / 50, 22 / 40
    expected = 2 * precision * recall / (precision + recall)
    assert contour_accuracy(gt, pred, bound_th=1) == pytest.approx([expected])


def test_masks_without_boundary():
    full, empty = np.ones((1, 9, 9), dtype=bool), np.zeros((1, 9, 9), dtype=bool)
    dot = empty.copy()
    dot[0, 4, 4] = True
    assert contour_accuracy(empty, empty).tolist() == [1.0]
    assert contour_accuracy(full, empty).tolist() == [1.0]
    assert contour_accuracy(dot, empty).tolist() == [0.0]
    assert contour_accuracy(empty, dot).tolist() == [0.0]


@pytest.mark.parametrize(("height", "width", "radius"), [(17, 23, 1), (20, 15, 2), (1, 9, 1), (16, 16, 5)])
def test_equals_the_reading_version(height, width, radius):
    gt, pred = draw_masks(0, 14, height, width), np.roll(draw_masks(1, 14, height, width), 3, axis=0)
    expected = [read_contour_accuracy(g, p, radius) for g, p in zip(gt, pred, strict=True)]
    assert contour_accuracy(gt, pred, bound_th=radius) == pytest.approx(expected, abs=1e-12)


def test_default_tolerance_grows_with_the_diagonal():
    gt, pred = draw_masks(2, 3, 120, 160), draw_masks(3, 3, 120, 160)
    assert contour_accuracy(gt, pred).tolist() == contour_accuracy(gt, pred, bound_th=2).tolist()  # ceil(1.6)


@pytest.fixture(scope="module")
def evaluator_module():
    return pytest.importorskip("vos_benchmark.evaluator", reason="`pip install vos-benchmark` is missing")


@pytest.mark.parametrize(("height", "width"), [(60, 80), (1, 90), (120, 214)])
def test_equals_vos_benchmark(evaluator_module, height, width):
    gt, pred = draw_masks(4, 21, height, width), np.roll(draw_masks(5, 21, height, width), 1, axis=0)
    evaluator = evaluator_module.Evaluator()
    evaluator.objects_in_gt.add(1)
    for g, p in zip(gt, pred, strict=True):
        evaluator.feed_frame(p.astype(np.uint8), g.astype(np.uint8))
    assert region_similarity(gt, pred) == pytest.approx(evaluator.object_iou[1], abs=1e-9)
    assert contour_accuracy(gt, pred) == pytest.approx(evaluator.boundary_f[1], abs=1e-9)


def test_equals_vos_benchmark_on_index_masks(evaluator_module):
    ids = [void_case.draw_ids(shift, with_void=False) for shift in (0, 3)]
    gt, pred = (palette_tracks(side, "drawn").tracks for side in ids)
    evaluator = evaluator_module.Evaluator()
    for g, p in zip(*ids, strict=True):
        evaluator.feed_frame(p, g)
    for k in (1, 2):
        assert region_similarity(gt[k], pred[k]) == pytest.approx(evaluator.object_iou[k], abs=1e-9)
        assert contour_accuracy(gt[k], pred[k]) == pytest.approx(evaluator.boundary_f[k], abs=1e-9)


# `db_eval_iou` and `db_eval_boundary` of davis2017-evaluation at commit ac7c43f, on `void_case`, for either object
DAVIS_J = {
    1: [0.7241379310344828, 0.717434869739479, 0.7976470588235294, 0.8656716417910447],
    2: [0.0, 0.5, 0.6824644549763034, 0.7699316628701595],
}
DAVIS_F = {
    1: [0.6074489123269611, 0.6499399038461539, 0.7571428571428571, 0.823529411764706],
    2: [0.0, 0.6854130052724078, 0.7503152585119797, 0.7552447552447553],
}


@pytest.mark.parametrize("object_id", [1, 2])
def test_void_is_the_davis_codes(object_id):
    gt = palette_tracks(void_case.draw_ids(0, with_void=True), "gt")
    pred = palette_tracks(void_case.draw_ids(3, with_void=False), "pred")
    tracks = gt.tracks[object_id], pred.tracks[object_id]
    assert region_similarity(*tracks, gt.void) == pytest.approx(DAVIS_J[object_id], abs=1e-9)
    assert contour_accuracy(*tracks, void_masks=gt.void) == pytest.approx(DAVIS_F[object_id], abs=1e-9)


def test_all_void_is_agreement():
    gt, pred = draw_masks(6, 2, 20, 20), draw_masks(7, 2, 20, 20)
    void = np.ones_like(gt)
    assert region_similarity(gt, pred, void).tolist() == [1, 1]
    assert contour_accuracy(gt, pred, void_masks=void).tolist() == [1, 1]
