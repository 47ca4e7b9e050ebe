"""Choosing objects: those seen often and large enough, and of near-duplicates one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.media.masks import mask_area, shared_area


@dataclass(frozen=True)
class Choice:
    """What an object must be to be annotated.

    Attributes:
        least_seen: share of the frames on which it is visible.
        least_area: share of the picture it covers, in the median of those frames.
        most_alike: overlap (intersection over union, over all frames) with a chosen object above which it is the same.
        most_objects: per video; the largest are kept.
    """

    least_seen: float = 0.05
    least_area: float = 0.001
    most_alike: float = 0.7
    most_objects: int = 10


class Chosen(NamedTuple):
    """Numbers of the objects that are annotated, in order, and of the others with the reason."""

    numbers: list[int]
    rejected: dict[int, str]


def choose_objects(video: TrackedVideo, choice: Choice) -> Chosen:
    """Choose the objects of a video that are worth a question."""
    pixels = video.height * video.width
    rejected: dict[int, str] = {}
    sizes: dict[int, float] = {}
    for number, thing in enumerate(video.objects):
        areas = [mask_area(rle) / pixels for rle in thing.track if rle is not None]
        areas = [area for area in areas if area]
        seen = len(areas) / video.num_frames
        size = float(np.median(areas)) if areas else 0.0
        if seen < choice.least_seen or not areas:
            rejected[number] = (
                f"visible on {100 * seen:.1f}% of the frames, least {100 * choice.least_seen:.1f}%"
            )
        elif size < choice.least_area:
            rejected[number] = (
                f"covers {100 * size:.3f}% of the picture, least {100 * choice.least_area:.3f}%"
            )
        else:
            sizes[number] = size
    kept: list[int] = []
    for number in sorted(sizes, key=lambda n: (-sizes[n], n)):
        twin = next((k for k in kept if _alike(video, number, k) > choice.most_alike), None)
        if twin is not None:
            rejected[number] = f"nearly the same masks as object {twin}"
        elif len(kept) == choice.most_objects:
            rejected[number] = f"the video has {choice.most_objects} larger ones"
        else:
            kept.append(number)
    return Chosen(sorted(kept), dict(sorted(rejected.items())))


def _alike(video: TrackedVideo, a: int, b: int) -> float:
    """Intersection over union of two tracks, over all frames."""
    tracks = (video.objects[a].track, video.objects[b].track)
    areas = sum(mask_area(rle) for track in tracks for rle in track if rle is not None)
    both = ((one, other) for one, other in zip(*tracks, strict=True) if one is not None and other is not None)
    shared = sum(shared_area(one, other) for one, other in both)
    return shared / (areas - shared) if areas else 0.0


def choose_frames(visible: np.ndarray, count: int) -> list[int]:
    """Frames that show the objects: spread over those where any is visible, some moved so that each is seen.

    Args:
        visible: (K, T) bool; K objects.
        count: at most so many, 1 or more.

    Returns:
        Sorted frames; each object is on one at least, if there are as many frames as objects.

    Source: official annotation, 16 frames spread over the whole clip. Differs: only frames that show something.
    """
    useful = np.flatnonzero(visible.any(axis=0))
    places = np.linspace(0, len(useful) - 1, min(count, len(useful))).round().astype(int)
    chosen = sorted(set(useful[places].tolist()))
    for row in sorted(visible, key=lambda r: int(r.sum())):
        seen = np.flatnonzero(row)
        if not seen.size or row[chosen].any():
            continue
        spare = [i for i in chosen if _is_spare(visible, chosen, i)] or chosen
        best = int(seen[len(seen) // 2])
        chosen.remove(min(spare, key=lambda i: abs(i - best)))
        chosen = sorted([*chosen, best])
    return chosen


def _is_spare(visible: np.ndarray, chosen: Sequence[int], frame: int) -> bool:
    """Whether every object of a chosen frame is on another one, too."""
    others = [i for i in chosen if i != frame]
    return bool((visible[:, others].any(axis=1) | ~visible[:, frame]).all())
