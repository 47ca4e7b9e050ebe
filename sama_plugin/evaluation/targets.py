"""What an answer should show: the objects of a turn as tracks, and which predicted object stands for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.object_matching import score_objects
from sama_plugin.media.masks import decode_mask, decode_track, encode_track
from sama_plugin.schema import GroundedObject, RegionPrompt, Rle, Sample, Turn

POINTING_AREA = 0.5
"""A region is pointed at on the first frame where it shows at least this share of its largest area."""


def union_track(sample: Sample, ids: Sequence[str], size: tuple[int, int] | None = None) -> np.ndarray:
    """Everything that belongs to one `[SEG]`.

    Args:
        sample: has the masks.
        ids: of its mask dictionary.
        size: (H, W); needed only where nothing is visible.

    Returns:
        (T, H, W) bool.

    Raises:
        DataError: it is visible on no frame and no size is given.
    """
    tracks: list[list[Rle | None]] = [sample.masks[i] for i in ids]
    shown = [decode_track(track) for track in tracks if any(track)]
    if shown:
        return np.logical_or.reduce(shown)
    if size is None:
        raise DataError(f"Sample '{sample.sample_id}': target {list(ids)} is visible on no frame.")
    num_frames = len(next(iter(sample.masks.values()), []))
    return np.zeros((num_frames, *size), dtype=bool)


def point_at(sample: Sample, region_id: str, name: str) -> RegionPrompt:
    """An object as a region, on the first frame where it is well visible.

    Raises:
        DataError: it is visible nowhere.
    """
    track = sample.masks[region_id]
    areas = np.array([0 if rle is None else np.count_nonzero(decode_mask(rle)) for rle in track])
    if not areas.any():
        raise DataError(f"Sample '{sample.sample_id}': region '{region_id}' is visible on no frame.")
    frame = int(np.argmax(areas >= POINTING_AREA * areas.max()))
    shown = track[frame]
    assert shown is not None, "its area is not 0"
    return RegionPrompt(name=name, kind="mask", frame=frame, mask=decode_mask(shown))


def stand_ins(
    targets: Sequence[np.ndarray], shown: Sequence[GroundedObject], tracks: Sequence[np.ndarray]
) -> list[GroundedObject | None]:
    """For each target the object that stands for it in later questions: its match, if they overlap.

    Args:
        targets: each (T, H, W) bool.
        shown: objects of an answer.
        tracks: their masks, each (T, H, W) bool.
    """
    partners = score_objects(targets, tracks).partners
    return [
        shown[p] if p is not None and bool((target & tracks[p]).any()) else None
        for target, p in zip(targets, partners, strict=True)
    ]


def live_stand_ins(
    sample: Sample, turn: Turn, shown: Sequence[GroundedObject]
) -> list[GroundedObject | None]:
    """`stand_ins` of an answer that was just given, whose masks have to fit the video.

    Raises:
        DataError: masks of another number of frames.
        MediaError: of another size.
    """
    if not turn.target_ids or not shown:
        return [None] * len(turn.target_ids)
    size = frame_size(shown)
    targets = [union_track(sample, ids, size) for ids in turn.target_ids]
    for thing in shown:
        if len(thing.rle) != len(targets[0]):
            raise DataError(
                f"Sample '{sample.sample_id}': object '{thing.id}' has masks for {len(thing.rle)} frames, "
                f"the ground truth has {len(targets[0])}; is the video the one the masks were made for?"
            )
    return stand_ins(targets, shown, [decode_track(thing.rle) for thing in shown])


def frame_size(shown: Sequence[GroundedObject]) -> tuple[int, int]:
    """(H, W) of the masks of objects, of which one or more are visible."""
    first = next(rle for thing in shown for rle in thing.rle if rle is not None)
    return int(first["size"][0]), int(first["size"][1])


def union_rles(sample: Sample, ids: Sequence[str]) -> list[Rle | None]:
    """`union_track` as run lengths; None where nothing is visible."""
    if len(ids) == 1:
        return sample.masks[ids[0]]
    if not any(rle for i in ids for rle in sample.masks[i]):
        return [None] * len(next(iter(sample.masks.values()), []))
    return encode_track(union_track(sample, ids))
