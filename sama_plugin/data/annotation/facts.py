"""What masks tell of a video: when each object is visible, where, how it moves and grows, and how pairs lie.

Everything is in shares of the picture and of the clip, so that it holds at any size. What is too close to call is None:
a writer says only what keeps a clear distance from the opposite.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sama_plugin.data.annotation.tracks import TrackedVideo
from sama_plugin.media.masks import decode_mask

SIDE, MIDDLE = 0.36, (0.43, 0.57)
"""Centres nearer to a border than the one lie at that side; within the other, in the middle; between, unclear."""

STILL, MOVED, RETURNED = 0.05, 0.15, 0.05
"""How far a centre gets: up to the first it is still, from the second on it moves, up to the third it is back."""

SLANT = 0.5
"""A way whose lesser part is below this share of the greater is straight; above 1.5 times it, slanted."""

GROWN, SAME = 1.7, 1.2
"""Ratio of areas that is a change of size; at most the other all the time is none."""

APART = 0.06
"""Least distance between centres of which one is said to be beyond the other."""

LARGER = 1.5
"""Least ratio of areas at which one object is said to be larger than another, on every frame with both."""

LATE = 0.1
"""Share of the clip: an object that is first seen later appears, one last seen earlier leaves."""

ENDS = 3
"""Visible frames whose mean is the start, or the end, of an object's way."""

LEAST_SEEN = 5
"""Visible frames below which nothing is said of a way."""

SMALL_SIDE = 160
"""Cells along the longer side of the masks by which contact is told."""

CLOSE, FAR = 1, 4
"""Cells: two masks at most so far apart touch; two further apart than the other do not."""

HORIZONTAL, VERTICAL = ("left", "right"), ("top", "bottom")


@dataclass(frozen=True)
class ObjectFacts:
    """One object over a clip.

    Attributes:
        visible: (T,) bool.
        centres_xy: (T, 2) float in [0, 1]; mean of the mask's pixels; NaN where it is absent.
        areas: (T,) float in [0, 1]; share of the picture.
        small: (T, h, w) bool; its masks, sampled so that the longer side has at most `SMALL_SIDE` cells.
    """

    visible: np.ndarray
    centres_xy: np.ndarray
    areas: np.ndarray
    small: np.ndarray

    @cached_property
    def seen(self) -> np.ndarray:
        """(n,) int; frames where it is visible."""
        return np.flatnonzero(self.visible)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """First and last frame of each run in which it is visible."""
        cuts = np.flatnonzero(np.diff(self.seen) > 1)
        return [(int(run[0]), int(run[-1])) for run in np.split(self.seen, cuts + 1) if run.size]

    @property
    def is_throughout(self) -> bool:
        """Whether it is visible on every frame."""
        return bool(self.visible.all())

    @property
    def appears(self) -> bool | None:
        """Whether it comes into view after the start; None if hardly after it."""
        return self._clear(int(self.seen[0]))

    @property
    def leaves(self) -> bool | None:
        """Whether it is gone before the end for good; None if hardly before it."""
        return self._clear(self.visible.size - 1 - int(self.seen[-1]))

    def _clear(self, frames: int) -> bool | None:
        return True if frames >= LATE * self.visible.size else False if frames == 0 else None

    @cached_property
    def start_xy(self) -> np.ndarray:
        """(2,) float; where it is first seen."""
        return np.asarray(self.centres_xy[self.seen[:ENDS]].mean(0))

    @cached_property
    def end_xy(self) -> np.ndarray:
        """(2,) float; where it is last seen."""
        return np.asarray(self.centres_xy[self.seen[-ENDS:]].mean(0))

    @property
    def way(self) -> str | None:
        """How it moves in the picture: `still`, `back <direction>`, a direction, or None if unclear.

        Directions are `left`, `up`, `upper left`, ... A way that changes its mind on the way is unclear.
        """
        if self.seen.size < LEAST_SEEN:
            return None
        centres = self.centres_xy[self.seen]
        from_start = np.linalg.norm(centres - self.start_xy, axis=1)
        if from_start.max() <= STILL:
            return "still"
        net = self.end_xy - self.start_xy
        farthest = int(from_start.argmax())
        if np.linalg.norm(net) <= RETURNED and from_start[farthest] >= MOVED:
            there = direction_of(centres[farthest] - self.start_xy)
            return there and f"back {there}"
        if np.linalg.norm(net) < MOVED or not _goes_on(centres, net):
            return None
        return direction_of(net)

    @property
    def shift(self) -> str | None:
        """Where it ends up beside its start, on whatever way: `left`, `right`, `higher`, `lower`; None if unclear."""
        net = self.end_xy - self.start_xy
        axis = int(abs(net[1]) > abs(net[0]))
        if self.seen.size < LEAST_SEEN or abs(net[axis]) < MOVED / 2:
            return None
        return (HORIZONTAL, ("higher", "lower"))[axis][int(net[axis] > 0)]

    @property
    def growth(self) -> str | None:
        """`larger` or `smaller` at the end than at first, `same` all the time, or None if unclear."""
        areas = self.areas[self.seen]
        if self.seen.size < LEAST_SEEN:
            return None
        ratio = float(areas[-ENDS:].mean() / areas[:ENDS].mean())
        if ratio >= GROWN:
            return "larger"
        if ratio <= 1 / GROWN:
            return "smaller"
        return "same" if areas.max() <= SAME * areas.min() else None


@dataclass(frozen=True)
class VideoFacts:
    """The objects of a video, in the order of their numbers, and its mask frames."""

    objects: tuple[ObjectFacts, ...]
    num_frames: int

    def common(self, a: int, b: int) -> np.ndarray:
        """(n,) int; frames where both are visible."""
        return np.flatnonzero(self.objects[a].visible & self.objects[b].visible)

    def side(self, a: int, b: int, axis: int) -> str | None:
        """On which side of `b` object `a` is: of `HORIZONTAL` (axis 0) or `VERTICAL` (axis 1).

        Returns:
            A side if it keeps it clearly on every frame with both; `SIDE then SIDE` if it changes over once; else None.
        """
        words = (HORIZONTAL, VERTICAL)[axis]
        frames = self.common(a, b)
        if frames.size < LEAST_SEEN:
            return None
        gap = self.objects[a].centres_xy[frames, axis] - self.objects[b].centres_xy[frames, axis]
        if (np.abs(gap) >= APART).all() and len(set(np.sign(gap))) == 1:
            return words[int(gap[0] > 0)]
        first, last = float(gap[:ENDS].mean()), float(gap[-ENDS:].mean())
        if min(abs(first), abs(last)) >= APART and first * last < 0 and self.crossing(a, b, axis) is not None:
            return f"{words[int(first > 0)]} then {words[int(last > 0)]}"
        return None

    def crossing(self, a: int, b: int, axis: int) -> int | None:
        """First frame on which `a` is on another side of `b` than before; None unless it changes over once."""
        frames = self.common(a, b)
        gap = self.objects[a].centres_xy[frames, axis] - self.objects[b].centres_xy[frames, axis]
        is_beyond = gap * gap[-1:] > 0
        changes = np.flatnonzero(np.diff(is_beyond))
        return int(frames[changes[0] + 1]) if changes.size == 1 else None

    def larger(self, a: int, b: int) -> bool | None:
        """Whether `a` covers clearly more of the picture than `b` on every frame with both; None if unclear."""
        frames = self.common(a, b)
        if not frames.size:
            return None
        ratios = self.objects[a].areas[frames] / self.objects[b].areas[frames]
        return True if ratios.min() >= LARGER else False if ratios.max() <= 1 / LARGER else None

    def approach(self, a: int, b: int) -> str | None:
        """`closer` or `away`: how the distance of two centres changes over the frames with both; None if unclear."""
        frames = self.common(a, b)
        if frames.size < LEAST_SEEN:
            return None
        gaps = self.objects[a].centres_xy[frames] - self.objects[b].centres_xy[frames]
        distances = np.linalg.norm(gaps, axis=1)
        first, last = float(distances[:ENDS].mean()), float(distances[-ENDS:].mean())
        if abs(first - last) < MOVED or max(first, last) < 1.5 * min(first, last):
            return None
        return "closer" if last < first else "away"

    def contact(self, a: int, b: int) -> np.ndarray | None:
        """Frames on which two objects touch or overlap in the picture.

        Returns:
            (n,) int, of the clip's frames; None where it is unclear whether they ever do, or do for long enough to see.
        """
        frames = self.common(a, b)
        if frames.size < LEAST_SEEN:
            return None
        one, other = self.objects[a].small[frames], self.objects[b].small[frames]
        touching = (_grown(one, CLOSE) & other).any(axis=(1, 2))
        if touching.any():
            return frames[touching] if int(touching.sum()) >= ENDS else None
        return None if (_grown(one, FAR) & other).any() else frames[:0]


def measure_video(video: TrackedVideo) -> VideoFacts:
    """Measure every object of a video.

    Raises:
        MediaError: masks that do not decode.
    """
    step = -(-max(video.height, video.width) // SMALL_SIDE)
    cells = slice(step // 2, None, step)
    size = [len(range(side)[cells]) for side in (video.height, video.width)]
    objects = []
    for thing in video.objects:
        centres = np.full((video.num_frames, 2), np.nan)
        areas = np.zeros(video.num_frames)
        small = np.zeros((video.num_frames, *size), dtype=bool)
        for frame, rle in enumerate(thing.track):
            if rle is None:
                continue
            mask = decode_mask(rle)
            counts = [mask.sum(axis=axis) for axis in (0, 1)]  # pixels inside, of each column and of each row
            if area := int(counts[0].sum()):
                inner = [np.arange(len(own)) @ own / area for own in counts]
                centres[frame] = (inner[0] + 0.5) / mask.shape[1], (inner[1] + 0.5) / mask.shape[0]
                areas[frame] = area / mask.size
                small[frame] = mask[cells, cells]
        objects.append(ObjectFacts(areas > 0, centres, areas, small))
    return VideoFacts(tuple(objects), video.num_frames)


def place_of(centre_xy: np.ndarray) -> str | None:
    """A part of the picture in words, such as `upper left`, `left`, `top` or `middle`; None if it is near a border.

    Args:
        centre_xy: (2,) float in [0, 1].
    """
    across = _third(float(centre_xy[0]), HORIZONTAL)
    along = _third(float(centre_xy[1]), ("upper", "lower"))
    if across is None or along is None:
        return None
    if across == along == "middle":
        return "middle"
    if along == "middle":
        return across
    return {"upper": "top", "lower": "bottom"}[along] if across == "middle" else f"{along} {across}"


def half_of(centre_xy: np.ndarray) -> str | None:
    """The half of the picture that a centre lies in more clearly, such as `left half`; None near the middle."""
    away = np.asarray(centre_xy) - 0.5
    axis = int(abs(away[1]) > abs(away[0]))
    if abs(away[axis]) < MIDDLE[1] - 0.5:
        return None
    return f"{(HORIZONTAL, ('upper', 'lower'))[axis][int(away[axis] > 0)]} half"


def direction_of(step_xy: np.ndarray) -> str | None:
    """A direction in words, such as `right`, `up` or `lower left`; None between straight and slanted.

    Args:
        step_xy: (2,) float; y grows downwards.
    """
    dx, dy = float(step_xy[0]), float(step_xy[1])
    across, along = HORIZONTAL[int(dx > 0)], ("up", "down")[int(dy > 0)]
    lesser, greater = sorted((abs(dx), abs(dy)))
    if lesser <= SLANT * greater * 0.8:
        return across if abs(dx) > abs(dy) else along
    return None if lesser < SLANT * greater * 1.2 else f"{('upper', 'lower')[int(dy > 0)]} {across}"


def _third(value: float, words: tuple[str, str]) -> str | None:
    if value <= SIDE:
        return words[0]
    if value >= 1 - SIDE:
        return words[1]
    return "middle" if MIDDLE[0] <= value <= MIDDLE[1] else None


def _goes_on(centres: np.ndarray, net: np.ndarray) -> bool:
    """Whether a way never goes back by more than a little of its length."""
    along = centres @ (net / np.linalg.norm(net))
    fallen = np.maximum.accumulate(along) - along
    return bool(fallen.max() <= STILL)


def _grown(masks: np.ndarray, cells: int) -> np.ndarray:
    """(n, h, w) bool masks with a square border of some cells."""
    grown = masks
    for axis in (1, 2):
        padded = np.pad(grown, [(cells, cells) if k == axis else (0, 0) for k in range(3)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * cells + 1, axis=axis)
        grown = np.asarray(windows.any(axis=-1))
    return grown
