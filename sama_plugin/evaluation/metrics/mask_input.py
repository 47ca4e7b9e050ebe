"""Masks of any making → bool tracks that can be scored: 0/255 files, palette ids, missing frames, other sizes.

The measures themselves take bool tracks of one shape only. What other people's predictions look like is settled here,
by stated rules, and each departure is counted by name so that a results file can say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sama_plugin.errors import MediaError

VOID_ID = 255
"""Palette id of what is not judged, as in DAVIS."""


class FittedTrack(NamedTuple):
    """A prediction brought to the shape of its ground truth.

    Attributes:
        masks: (T, H, W) bool.
        faults: how many frames were `missing_frames`, `spare_frames` or `resized_frames`; empty if all fits.
    """

    masks: np.ndarray
    faults: Mapping[str, int]


class PaletteTracks(NamedTuple):
    """Index masks taken apart.

    Attributes:
        tracks: object id → (T, H, W) bool, ids ascending.
        void: (T, H, W) bool; None where no pixel is void.
    """

    tracks: dict[int, np.ndarray]
    void: np.ndarray | None


def binary_masks(masks: np.ndarray, where: str) -> np.ndarray:
    """Masks of one object as bool: whatever single value stands beside 0 is inside.

    Args:
        masks: any shape; bool, or numbers that are 0 or one other value (1, 255, a palette id).
        where: names the masks in errors.

    Returns:
        Same shape, bool; a bool array itself.

    Raises:
        MediaError: NaN or infinite values, fractions, or several values beside 0: ids of several objects.
    """
    if masks.dtype == np.bool_:
        return masks
    if masks.dtype.kind not in "uif":
        raise MediaError(f"{where}: masks have dtype {masks.dtype}, expected bool or numbers.")
    if masks.dtype.kind == "f":
        _check_whole(masks, where)
    inside = masks != 0
    values = masks[inside]
    if values.size and values.min() != values.max():
        found = np.unique(values)
        shown = ", ".join(str(int(v)) for v in found[:6])
        raise MediaError(
            f"{where}: masks hold {len(found)} values beside 0 ({shown}), expected one; take index masks apart "
            "with `palette_tracks`, and binarise soft masks first."
        )
    return inside


def _check_whole(masks: np.ndarray, where: str) -> None:
    """See that float masks hold whole finite numbers."""
    broken = int(np.count_nonzero(~np.isfinite(masks)))
    if broken:
        raise MediaError(f"{where}: {broken} mask values are NaN or infinite; a mask is inside or outside.")
    if (masks != np.floor(masks)).any():
        raise MediaError(f"{where}: masks hold fractions; binarise them first, e.g. `masks > 0.5`.")


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


def fit_track(
    masks: np.ndarray | Sequence[np.ndarray], shape: tuple[int, int, int], where: str
) -> FittedTrack:
    """Bring a predicted track to the shape of the ground truth.

    A missing frame is an empty mask, a frame too many is left out, a frame of another size is resized (nearest
    pixel); each is counted.

    Args:
        masks: frames in order, each (h, w), values as in `binary_masks`; sizes may differ from frame to frame.
        shape: (T, H, W) of the ground truth.
        where: names the prediction in errors.

    Raises:
        MediaError: values that are no mask, or frames that are not (h, w) or have no pixel.

    Source: the padding and resizing of the SAMA release. Differs: there frames too many are not foreseen, and
    nothing is counted.
    """
    num_frames, height, width = shape
    faults = Counter(
        {
            "missing_frames": max(num_frames - len(masks), 0),
            "spare_frames": max(len(masks) - num_frames, 0),
        }
    )
    fitted = np.zeros(shape, dtype=bool)
    for t, frame in enumerate(masks[:num_frames]):
        if frame.ndim != 2 or not frame.size:
            raise MediaError(f"{where}: frame {t} has shape {frame.shape}, expected (H, W).")
        mask = binary_masks(frame, f"{where}, frame {t}")
        if mask.shape != (height, width):
            faults["resized_frames"] += 1
            mask = resize_mask(mask, height, width)
        fitted[t] = mask
    return FittedTrack(fitted, {name: count for name, count in faults.items() if count})


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
