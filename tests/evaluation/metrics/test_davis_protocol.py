from __future__ import annotations

import numpy as np
import pytest

from sama_plugin.errors import DataError, MediaError
from sama_plugin.evaluation.metrics.davis_protocol import (
    ObjectRow,
    average_annotators,
    expression_place,
    merge_objects,
    score_annotator,
)
from sama_plugin.evaluation.metrics.mask_input import palette_tracks
from tests.evaluation.metrics import void_case
from tests.evaluation.metrics.official_case import LEFT, RIGHT, TOP


def test_expressions_stand_object_by_object() -> None:
    assert [expression_place(i) for i in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 0), (2, 1)]


def test_the_first_object_keeps_a_pixel_two_claim() -> None:
    assert merge_objects([LEFT, TOP])[0].tolist() == [[1, 1, 2, 2], *[[1, 1, 0, 0]] * 3]


def test_the_surer_object_takes_a_pixel_two_claim() -> None:
    scores = [np.full(LEFT.shape, 0.6), np.full(LEFT.shape, 0.9)]
    assert merge_objects([LEFT, TOP], scores)[0, 0].tolist() == [2, 2, 2, 2]
    assert merge_objects([LEFT, TOP], scores[:1] * 2)[0, 0].tolist() == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("tracks", "scores"), [([LEFT, LEFT[:, :2]], None), ([], None), ([LEFT], [np.zeros((1, 4, 4))] * 2)]
)
def test_objects_that_cannot_be_merged_raise(tracks: list, scores: list | None) -> None:
    with pytest.raises(MediaError, match="expected 1 to 254 tracks of one"):
        merge_objects(tracks, scores)


def test_scores_are_the_davis_codes() -> None:
    """`_evaluate_unsupervised` and `_evaluate_semisupervised` of davis2017-evaluation at ac7c43f, on `void_case`."""
    gt = palette_tracks(void_case.draw_ids(0, with_void=True), "gt")
    pred = palette_tracks(void_case.draw_ids(3, with_void=False), "pred")
    targets, merged = list(gt.tracks.values()), merge_objects([pred.tracks[2], pred.tracks[1]])
    matched = score_annotator(targets, merged, gt.void)
    assert np.array(matched) == pytest.approx(
        np.array([[0.776222875347134, 0.7095152712701696], [0.48809902946161565, 0.5477432547572857]]),
        abs=1e-9,
    )
    held = score_annotator(targets, merged, matched=False)
    assert np.array(held) == pytest.approx(
        np.array([[0.0008305647840531562, 0.13072980748771937], [0.003707261799192039, 0.12033056304282722]]),
        abs=1e-9,
    )


def test_two_objects_and_four_annotators_by_hand() -> None:
    said = {
        0: [LEFT, RIGHT],  # both right
        1: [LEFT, LEFT],  # the second object is covered by the first
        2: [RIGHT, LEFT],  # mixed up: the protocol pairs them anew
        3: [TOP, RIGHT],
    }
    rows = {
        annotator: score_annotator([LEFT, RIGHT], merge_objects(tracks)) for annotator, tracks in said.items()
    }
    assert [[row.region for row in own] for own in rows.values()] == [
        [1, 1],
        [1, 0],
        [1, 1],
        [pytest.approx(2 / 10), pytest.approx(6 / 8)],
    ]
    made = average_annotators(rows)
    assert made["J"] == pytest.approx((1 + 0.5 + 1 + 0.475) / 4)
    assert made["J&F"] == pytest.approx((made["J"] + made["F"]) / 2)
    strict = score_annotator([LEFT, RIGHT], merge_objects(said[2]), matched=False)
    assert [row.region for row in strict] == [0, 0]


def test_ids_without_an_object_raise() -> None:
    with pytest.raises(DataError, match="hold the id 2, but there are 1 objects"):
        score_annotator([LEFT], merge_objects([LEFT, RIGHT]))


@pytest.mark.parametrize("counts", [{0: 1, 1: 1, 2: 1}, {0: 1, 1: 1, 2: 1, 3: 2}, dict.fromkeys(range(4), 0)])
def test_annotators_that_are_missing_something_are_named(counts: dict[int, int]) -> None:
    with pytest.raises(DataError, match="Objects per annotator"):
        average_annotators({a: [ObjectRow(1, 1)] * n for a, n in counts.items()})
