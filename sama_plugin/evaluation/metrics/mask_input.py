"""Masks of other makings: index masks taken apart into bool tracks, and other sizes resized."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sama_plugin.errors import MediaError

VOID_ID = 255
"""Palette id of what is not judged, as in DAVIS."""


class PaletteTracks(NamedTuple):
    """Index masks taken apart.

    Attributes:
        tracks: object id → (T, H, W) bool, ids ascending.
        void: (T, H, W) bool; None where no pixel is void.
    """

    tracks: dict[int, np.ndarray]
    void: np.ndarray | None


def palette_tracks(ids: np.ndarray, where: str, void_id: int | None = VOID_ID) -> PaletteTracks:
    """Take index masks apart: one track per object id.

    Args:
        ids: (T, H, W) whole numbers; 0 is background.
        where: names the masks in errors.
        void_id: pixels that are not judged; None: there are none.

    Raises:
        MediaError: not (T, H, W) integers, or negative ids.
    """
    if ids.ndim != 3 or ids.dtype.kind not in "ui":
        raise MediaError(
            f"{where}: index masks have shape {ids.shape}, dtype {ids.dtype}; expected (T, H, W) integers."
        )
    found = [int(i) for i in np.unique(ids) if i != 0]
    if found and found[0] < 0:
        raise MediaError(f"{where}: index masks hold the id {found[0]}, expected 0 or more.")
    void = None
    if void_id in found:
        found.remove(void_id)
        void = ids == void_id
    return PaletteTracks({i: ids == i for i in found}, void)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to the nearest pixel up and left, as OpenCV's `INTER_NEAREST` does.

    Args:
        mask: (h, w), any dtype.
        height: H.
        width: W.

    Returns:
        (H, W), same dtype.
    """
    rows = np.arange(height) * mask.shape[0] // height
    columns = np.arange(width) * mask.shape[1] // width
    return mask[rows[:, None], columns]
