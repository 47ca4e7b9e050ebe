"""Binary masks ↔ COCO run lengths and boxes; and when a mask track is visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco

from sama_plugin.errors import MediaError
from sama_plugin.schema import Rle

MAX_PIXELS = 2**28
"""Of a mask; a larger one is a fault of the file, and not worth its memory."""

MAX_COORDINATE = 2**16
"""Of a polygon, pixels to either side of the corner: far beyond it pycocotools dies."""


def encode_mask(mask: np.ndarray) -> Rle:
    """Compress a mask.

    Args:
        mask: (H, W) bool; True inside.

    Returns:
        `{"size": [H, W], "counts": str}`, ready for JSON.

    Raises:
        MediaError: not a (H, W) array.
    """
    if mask.ndim != 2:
        raise MediaError(f"Cannot encode a mask of shape {mask.shape}, expected (H, W).")
    rle = coco.encode(np.asfortranarray(mask.astype(bool).view(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode_mask(rle: Rle) -> np.ndarray:
    """Undo `encode_mask`; also reads uncompressed counts (a list of ints), as some corpora store them.

    Returns:
        (H, W) bool, C-contiguous.

    Raises:
        MediaError: not run lengths, or runs that do not fill the size.
    """
    check_mask(rle)
    return np.ascontiguousarray(coco.decode(_packed(rle))).view(bool)


def check_mask(rle: Rle) -> None:
    """See that a mask can be decoded, without decoding it.

    Raises:
        MediaError: not run lengths, or runs that do not fill the size.
    """
    size, counts = _check_rle(rle)
    height, width = size
    covered = sum(counts) if isinstance(counts, list) else _covered_pixels(counts)
    if covered != height * width:
        raise MediaError(
            f"Broken run lengths: they cover {covered} pixels of a mask of size {size}, "
            f"expected {height * width}. The mask was cut off or belongs to another size."
        )


def union_masks(rles: Sequence[Rle]) -> Rle | None:
    """Join the masks of several objects, or parts of one, on one frame.

    Returns:
        Compressed; None of no masks.

    Raises:
        MediaError: broken run lengths, or different sizes.
    """
    for rle in rles:
        check_mask(rle)
    if len({tuple(rle["size"]) for rle in rles}) > 1:
        raise MediaError(
            f"Masks of sizes {[rle['size'] for rle in rles]} cannot be joined, expected one (H, W)."
        )
    if not rles:
        return None
    joined = coco.merge([_packed(rle) for rle in rles])
    return {"size": [int(side) for side in joined["size"]], "counts": joined["counts"].decode("ascii")}


def encode_segmentation(segmentation: Any, height: int, width: int) -> Rle | None:
    """Compress an object's outline as COCO files have it; parts that overlap are joined, never summed.

    Args:
        segmentation: list of polygons [x0, y0, x1, y1, ...] in pixels; or an `Rle`; or a list of them.
        height: H of the picture, for polygons.
        width: W.

    Returns:
        Compressed; None where nothing is inside.

    Raises:
        MediaError: of another form, a polygon of fewer than 3 points, or run lengths that do not fill their size.
    """
    if not _is_size((height, width)):
        raise MediaError(f"Not a picture's height and width: {height!r} and {width!r}; look at its record.")
    parts = segmentation if isinstance(segmentation, list) else [segmentation]
    rles = [part for part in parts if isinstance(part, dict)]
    for polygon in (part for part in parts if not isinstance(part, dict)):
        if not _is_polygon(polygon):
            raise MediaError(f"Not a polygon: {str(polygon)[:80]}; expected x and y of 3 points or more.")
        rles += coco.frPyObjects([polygon], height, width)
    joined = union_masks(rles)
    return joined if joined is not None and mask_area(joined) else None


def mask_area(rle: Rle) -> int:
    """Count the pixels inside an encoded mask that `check_mask` lets pass, without decoding it."""
    return int(coco.area(_packed(rle)))


def shared_area(one: Rle, other: Rle) -> int:
    """Count the pixels inside both of two such masks of one size, without decoding them."""
    return int(coco.area(coco.merge([_packed(one), _packed(other)], intersect=True)))


def encode_track(masks: np.ndarray) -> list[Rle | None]:
    """Compress the masks of one object over a clip.

    Args:
        masks: (T, H, W) bool.

    Returns:
        One `Rle` per frame, None where the mask is empty.

    Raises:
        MediaError: not a (T, H, W) array.
    """
    if masks.ndim != 3:
        raise MediaError(f"Cannot encode a mask track of shape {masks.shape}, expected (T, H, W).")
    return [encode_mask(mask) if mask.any() else None for mask in masks]


def decode_track(rles: Sequence[Rle | None], size: tuple[int, int] | None = None) -> np.ndarray:
    """Undo `encode_track`.

    Args:
        rles: one per frame; None is an empty mask.
        size: (H, W); needed only to shape a track that is empty everywhere.

    Returns:
        (T, H, W) bool; (0, 0, 0) if it is empty everywhere and no size is given.

    Raises:
        MediaError: broken run lengths, or frames of different size.
    """
    sizes = {(int(rle["size"][0]), int(rle["size"][1])) for rle in rles if rle is not None}
    if size is not None:
        sizes.add(size)
    if len(sizes) > 1:
        raise MediaError(f"The masks of one track have different sizes {sorted(sizes)}, expected one (H, W).")
    if not sizes:
        return np.zeros((0, 0, 0), dtype=bool)
    masks = np.zeros((len(rles), *sizes.pop()), dtype=bool)
    for frame, rle in enumerate(rles):
        if rle is not None:
            masks[frame] = decode_mask(rle)
    return masks


def box_of_mask(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Give the smallest box around a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        (x0, y0, x1, y1) pixels, half-open, so `mask[y0:y1, x0:x1]` is the crop; all zero for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def mask_of_box(box_xyxy: Sequence[float], height: int, width: int) -> np.ndarray:
    """Fill a box: every pixel it touches; the inverse of `box_of_mask` for whole numbers.

    Args:
        box_xyxy: (x0, y0, x1, y1) pixels, half-open; what lies outside the frame is cut off.
        height: H.
        width: W.

    Returns:
        (H, W) bool.
    """
    x0, y0, x1, y1 = box_xyxy
    mask = np.zeros((height, width), dtype=bool)
    rows = slice(max(int(np.floor(y0)), 0), max(int(np.ceil(y1)), 0))
    columns = slice(max(int(np.floor(x0)), 0), max(int(np.ceil(x1)), 0))
    mask[rows, columns] = True
    return mask


def visible_spans(
    rles: Sequence[Rle | None], timestamps_s: np.ndarray, end_s: float
) -> list[tuple[float, float]]:
    """Say when an object is visible.

    Args:
        rles: one per frame; None is absent.
        timestamps_s: (T,) float; when each frame begins to be shown, seconds.
        end_s: when the clip ends.

    Returns:
        (start, end) seconds of each run of frames: from when its first frame is shown until the frame after
        it is, or the clip ends.

    Raises:
        MediaError: not as many timestamps as masks.
    """
    if len(rles) != len(timestamps_s):
        raise MediaError(f"{len(rles)} masks but {len(timestamps_s)} timestamps, expected one per frame.")
    times = [*(float(t) for t in timestamps_s), float(end_s)]
    spans: list[tuple[float, float]] = []
    start: int | None = None
    for frame in range(len(rles) + 1):
        visible = frame < len(rles) and rles[frame] is not None
        if visible and start is None:
            start = frame
        elif not visible and start is not None:
            spans.append((times[start], times[frame]))
            start = None
    return spans


def _is_size(value: Any) -> bool:
    """Whether it is [height, width] of a mask that memory has room for."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    is_whole = is_pair and all(isinstance(side, int | np.integer) and side >= 0 for side in value)
    return is_whole and int(value[0]) * int(value[1]) <= MAX_PIXELS


def _is_polygon(value: Any) -> bool:
    """Whether it is [x0, y0, x1, y1, x2, y2, ...]."""
    is_paired = isinstance(value, list) and len(value) >= 6 and len(value) % 2 == 0
    return is_paired and all(isinstance(n, int | float) and abs(n) <= MAX_COORDINATE for n in value)


def _packed(rle: Rle) -> Rle:
    """The mask with compressed counts."""
    return coco.frPyObjects(rle, *rle["size"]) if isinstance(rle["counts"], list) else rle  # type: ignore[no-any-return]


def _check_rle(rle: Rle) -> tuple[tuple[int, int], bytes | list[int]]:
    """Size and counts of run lengths that have the right form."""
    size = rle.get("size") if isinstance(rle, dict) else None
    counts = rle.get("counts") if isinstance(rle, dict) else None
    if isinstance(counts, str):
        counts = counts.encode("ascii", "replace")
    whole = isinstance(counts, list) and all(isinstance(run, int) and run >= 0 for run in counts)
    if not _is_size(size) or not (isinstance(counts, bytes) or whole):
        raise MediaError(
            f'Not a mask: {str(rle)[:80]!r}; expected {{"size": [height, width], "counts": run lengths}}.'
        )
    return (int(size[0]), int(size[1])), counts  # type: ignore[index, return-value]


def _covered_pixels(counts: bytes) -> int:
    """Sum the runs of compressed counts; -1 if they are none. pycocotools leaves pixels they miss undefined.

    Each run is a little-endian group of 5-bit digits; bit 5 says "more follow", bit 4 of the last digit is
    the sign; from the fourth run on it is the difference from the run two before.
    """
    digits = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not digits.size or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return -1
    ends = np.flatnonzero(digits < 32)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 7:
        return -1
    place = 5 * (np.arange(digits.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((digits & 31) << place, starts)
    runs -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return int(runs.sum()) if runs.min() >= 0 else -1
