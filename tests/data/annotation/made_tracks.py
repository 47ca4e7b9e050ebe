"""Videos of moving rectangles, as tracks only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sama_plugin.data.annotation.tracks import TrackedObject, TrackedVideo
from sama_plugin.media.masks import encode_track

HEIGHT, WIDTH = 48, 64


def rectangle_track(
    way: Sequence[tuple[float, float]],
    size: tuple[float, float] = (8, 8),
    seen: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """(T, HEIGHT, WIDTH) bool: a rectangle on a way of (x, y), as large as `size` tells for start and end.

    It is visible on the frames of `seen` (first, last), or on all.
    """
    masks = np.zeros((len(way), HEIGHT, WIDTH), dtype=bool)
    for frame, (x, y) in enumerate(way):
        if seen and not any(first <= frame <= last for first, last in seen):
            continue
        half = np.linspace(*size, len(way))[frame] / 2
        rows = slice(max(round(y - half), 0), max(round(y + half), 0))
        columns = slice(max(round(x - half), 0), max(round(x + half), 0))
        masks[frame, rows, columns] = True
    return masks


def line(start: tuple[float, float], end: tuple[float, float], frames: int = 20) -> list[tuple[float, float]]:
    """A straight way."""
    return [(float(x), float(y)) for x, y in np.linspace(start, end, frames)]


def make_video(
    tracks: Sequence[np.ndarray], names: Sequence[str] = (), video_id: str = "clip"
) -> TrackedVideo:
    """A video of some tracks, named in order."""
    named = [*names, *[""] * (len(tracks) - len(names))]
    objects = tuple(TrackedObject(encode_track(t), name) for t, name in zip(tracks, named, strict=True))
    return TrackedVideo(video_id, f"{video_id}.mp4", *tracks[0].shape[1:], objects)


def random_video(rng: np.random.Generator, video_id: str = "clip") -> TrackedVideo:
    """Two to five rectangles on ways of one to three straight parts, some growing, some not always visible."""
    frames, tracks = int(rng.integers(12, 40)), []
    for _ in range(int(rng.integers(2, 6))):
        corners = rng.uniform((4, 4), (WIDTH - 4, HEIGHT - 4), (int(rng.integers(1, 4)) + 1, 2))
        if rng.random() < 0.3:
            corners[:] = corners[0]
        elif rng.random() < 0.3:
            corners[-1] = corners[0]
        places = np.linspace(0, len(corners) - 1, frames)
        way = [tuple(np.interp(p, range(len(corners)), corners[:, axis]) for axis in (0, 1)) for p in places]
        size = float(rng.uniform(4, 16))
        sizes = (size, size * float(rng.choice([1.0, 1.0, 2.0, 0.5])))
        cuts = sorted(rng.integers(0, frames, 2).tolist())
        seen = [(0, frames - 1)] if rng.random() < 0.5 else [(cuts[0], cuts[1])] if rng.random() < 0.5 else []
        if not seen:
            seen = [(0, cuts[0]), (cuts[1], frames - 1)]
        track = rectangle_track(way, sizes, seen)
        if track.any():
            tracks.append(track)
    while len(tracks) < 2:
        tracks.append(rectangle_track([(20.0, 20.0)] * frames))
    names = ["red cup", "grey cat", "", "tall man", "tall man"] if rng.random() < 0.5 else []
    return make_video(tracks, names[: len(tracks)], video_id)
