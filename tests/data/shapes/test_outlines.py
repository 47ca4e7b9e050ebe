from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sama_plugin.data.shapes.outlines import REACH, outline
from sama_plugin.data.shapes.render import SUPERSAMPLE, _coverage
from sama_plugin.data.shapes.world import RADII, TRAINING_SHAPES

FARTHEST = {"triangle": 1.36}
"""In radii, of shapes that reach farther than the rest."""


def drawn(shape: str) -> np.ndarray:
    return _coverage(shape, round(RADII["small"][0] * SUPERSAMPLE), 0, 0)[0] >= 0.5


@pytest.mark.parametrize("shape", TRAINING_SHAPES)
def test_a_shape_stays_in_reach_and_grows_with_its_radius(shape: str) -> None:
    corners = outline(shape, 1.0)
    assert np.hypot(*corners.T).max() <= FARTHEST.get(shape, REACH + 0.01)
    assert outline(shape, 10.0) == pytest.approx(10 * corners)


def test_no_small_shape_looks_like_another() -> None:
    for one, other in combinations([drawn(shape) for shape in TRAINING_SHAPES], 2):
        assert one.sum() > 60
        assert (one & other).sum() / (one | other).sum() < 0.85
