"""The rules that the masks of one object over a clip have to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sama_plugin.errors import MediaError
from sama_plugin.media.masks import check_mask, mask_area, union_masks
from sama_plugin.schema import Rle

Track = list[Rle | list[Rle] | None]
"""As a mask dictionary has it: per frame one `Rle`, several whose union is meant, or None."""

Fault = tuple[str, str]
"""Code and message of a defect."""


def track_fault(
    track: Any, num_frames: int | None, size: tuple[int | None, int | None], *, deep: bool
) -> Fault | None:
    """The first thing that is wrong with a track.

    Args:
        track: None if the dictionary lacks it.
        num_frames: of the clip; None if not known.
        size: (H, W) of the video; each None if not known.
        deep: also decode all run lengths; without it only those that have to be joined.
    """
    if track is None:
        return "mask-missing", "the mask dictionary does not have it"
    if not isinstance(track, list):
        return "track-form", f"it is {track!r:.60}, expected a list with an entry per frame"
    for frame, rle in _all_masks(track):
        if not _is_rle(rle):
            return "track-form", f"its entry {frame} is {rle!r:.60}, expected run lengths or null"
    if num_frames is not None and len(track) != num_frames:
        return "track-length", f"it has {len(track)} entries for {num_frames} frames"
    return size_fault(track, size) or damage_fault(track, deep=deep)


def size_fault(track: Track, size: tuple[int | None, int | None]) -> Fault | None:
    """The first mask whose size is not that of the video, or of the masks before it."""
    height, width = size
    for frame, rle in _all_masks(track):
        height, width = height or rle["size"][0], width or rle["size"][1]
        if tuple(rle["size"]) != (height, width):
            found = f"its mask of frame {frame} has size {list(rle['size'])}"
            return "mask-size", f"{found}, expected {[height, width]} (height, width)"
    return None


def damage_fault(track: Track, *, deep: bool = True) -> Fault | None:
    """The first mask whose run lengths cannot be decoded; without `deep`, of those that have to be joined."""
    for frame, rle in _all_masks(track):
        if not deep and not isinstance(track[frame], list):
            continue
        try:
            check_mask(rle)
        except MediaError as error:
            return "mask-damaged", f"its mask of frame {frame}: {str(error).rstrip('.')}"
    return None


def is_seen(track: Track, *, deep: bool) -> bool:
    """Whether any frame has a mask; with `deep`, one that is not empty."""
    return any(not deep or mask_area(rle) for _, rle in _all_masks(track))


def join_parts(track: Track) -> list[Rle | None]:
    """One `Rle` or None per frame, the union where a frame has several.

    Raises:
        MediaError: several that cannot be joined.
    """
    return [union_masks(entry) if isinstance(entry, list) else entry for entry in track]


def _all_masks(track: list[Any]) -> Iterator[tuple[int, Any]]:
    """Frame and mask, of everything that is not null."""
    for frame, entry in enumerate(track):
        for rle in entry if isinstance(entry, list) else (entry,):
            if rle is not None:
                yield frame, rle


def _is_rle(rle: Any) -> bool:
    size = rle.get("size") if isinstance(rle, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        return False
    height, width = size
    is_size = isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0
    return is_size and isinstance(rle.get("counts"), str | bytes | list)
