"""Index masks with a void, drawn by formula, for the comparison with the DAVIS code."""

from __future__ import annotations

import numpy as np

HEIGHT, WIDTH, NUM_FRAMES = 60, 80, 4


def draw_ids(shift: int, *, with_void: bool) -> np.ndarray:
    """(T, H, W) uint8; two objects that move and meet, one of them one pixel large at first; 255 is void."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    ids = np.zeros((NUM_FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    for t, frame in enumerate(ids):
        frame[(yy - 30) ** 2 + (xx - 20 - 9 * t - shift) ** 2 < 150] = 1
        frame[(abs(yy - 28 - shift) <= 4 * t) & (abs(xx - 55) <= 3 * t)] = 2
        if with_void:
            frame[(yy + xx) % 29 < 2 + t] = 255
    ids[3, :, :40] = 0  # the first object leaves
    return ids
