"""The small world: samples a scene of moving shapes and simulates it.

In: a random generator and a split name. Out: a `Scene` with every object's centre, radius and presence in
each frame, what it does, and which pairs act on each other. Nothing is drawn here and no text is made here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np

from sama_plugin.data.shapes.outlines import REACH, outline
from sama_plugin.errors import DataError

HEIGHT, WIDTH = 128, 160

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 48, 44),
    "green": (54, 176, 72),
    "blue": (48, 98, 232),
    "yellow": (246, 216, 54),
    "purple": (164, 66, 204),
    "white": (242, 242, 242),
}
"""What split `test` shows."""

TRAINING_COLOURS = COLOURS | {
    "orange": (246, 142, 32),
    "cyan": (44, 208, 214),
    "pink": (250, 158, 196),
    "lime": (166, 240, 66),
    "magenta": (236, 44, 150),
    "black": (8, 8, 8),
}
"""More than in the test, as of the shapes: of few pairs a model may learn each by heart, and fail at the others."""

UNNAMED_SHARE = 0.5
"""Of the objects of split `unnamed` that have a colour without a name."""

UNNAMED_DISTANCE = 70.0
"""Least RGB distance of a colour without a name from every named one."""

BACKGROUND_DISTANCE = 90.0
MIDDLE_BACKGROUND = (70, 70, 70)
SHAPES = ("circle", "square", "triangle", "star", "cross")
"""What split `test` shows."""

TRAINING_SHAPES = (*SHAPES, "diamond", "bar", "ring", "moon", "arrow", "heart")
FIXED_SIZES = ("small", "large")
GROWING = "growing"
RADII: dict[str, tuple[float, float]] = {"small": (9.0, 10.0), "large": (15.0, 17.0)}
GROW_RADII = (8.0, 17.0)

HELD_OUT_PAIRS = (
    ("red", "star"),
    ("green", "cross"),
    ("blue", "triangle"),
    ("yellow", "circle"),
    ("purple", "square"),
)
"""(colour, shape) pairs that only split `test` shows or names."""

SPLITS = ("train", "unnamed", "still", "test")
"""`unnamed` and `still` are for training too; see `unname_colours`, and `questions.STILL_SINGLE_TURN`."""

STILL_FRAMES = 8
"""Of videos of split `still`, where nothing happens."""

DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MOTION_WEIGHTS: dict[str, float] = {
    "still": 0.21,
    "move": 0.26,
    "stop": 0.08,
    "back": 0.12,
    "grow": 0.07,
    "blink": 0.09,
    "late": 0.08,
    "leave": 0.09,
}
"""Drawn shares; scripted pairs and lack of room shift them towards `still` and `move`."""

TRAVELLING = ("move", "stop", "back", "leave")
"""Motions that have a direction."""

RELATION_SHARE = 0.45
"""Share of scenes that try to script a pair; some give up for lack of room."""

MIN_TRAVEL = 40.0
"""Pixels a travelling object covers at least in its first direction."""

MAX_DRIFT = 10.0
PLACE_TRIES = 60
SCENE_TRIES = 12


@dataclass(frozen=True)
class Motion:
    """What one object does.

    Attributes:
        kind: a key of `MOTION_WEIGHTS`.
        direction: a key of `DIRECTIONS` for `TRAVELLING` kinds (the first one for `back`), else None.
        start: first frame of it: of the travel, the growth, the absence (`blink`) or the presence (`late`).
        end: last frame of it, inclusive; for `leave` the last frame on screen.
        turn: frame of the farthest point; only for `back`.
    """

    kind: str
    direction: str | None = None
    start: int = 0
    end: int = 0
    turn: int | None = None


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object over the whole clip.

    Attributes:
        size: `small`, `large` or `growing`.
        colour: a key of `TRAINING_COLOURS`; stands for nothing where the object is not `named`.
        shape: one of `TRAINING_SHAPES`.
        motion: what it does.
        rgb: its own tone of `colour`, 0..255.
        z: drawing order; higher covers lower.
        centres_xy: (T, 2) float; pixels on screen, camera drift included.
        radii: (T,) float, pixels.
        present: (T,) bool; False while it blinks or has not appeared; it may still be covered or off screen.
        named: whether `rgb` is a tone of `colour`; else a colour without a name.
    """

    size: str
    colour: str
    shape: str
    motion: Motion
    rgb: tuple[int, int, int]
    z: int
    centres_xy: np.ndarray
    radii: np.ndarray
    present: np.ndarray
    named: bool = True

    @property
    def name(self) -> str:
        """Size, colour and shape, e.g. `small red circle`; unique within a scene."""
        return f"{self.size} {self.colour} {self.shape}"


@dataclass(frozen=True)
class Relation:
    """`subject` hits, follows or passes behind `target`; both are object indices."""

    kind: str
    subject: int
    target: int


@dataclass(frozen=True)
class Background:
    """What lies behind the objects.

    Attributes:
        kind: `noise`, `gradient`, `checker` or `stripes`.
        seed: of its texture.
        base: mean RGB, 0..255.
        contrast: largest deviation of the texture, 0..255.
        gain: brightness factors at the first and last frame.
        tint: RGB added at the last frame, in proportion before it.
    """

    kind: str
    seed: int
    base: tuple[float, float, float]
    contrast: float
    gain: tuple[float, float]
    tint: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Scene:
    """A simulated clip, ready to draw and to talk about.

    Attributes:
        num_frames: T.
        fps: frames per second.
        objects: 2 to 6, names unique.
        relations: scripted pairs; there is no other hitting, following or occlusion.
        background: what is behind.
        drift_xy: (T, 2) float; camera shift in pixels, already inside the objects' centres.
    """

    num_frames: int
    fps: int
    objects: tuple[SceneObject, ...]
    relations: tuple[Relation, ...]
    background: Background
    drift_xy: np.ndarray

    @property
    def held_out(self) -> bool:
        """Whether some object has a pair of `HELD_OUT_PAIRS`."""
        return any((o.colour, o.shape) in HELD_OUT_PAIRS for o in self.objects)

    def in_view(self) -> np.ndarray:
        """(K, T) bool; the object is present and its centre is within a radius of the frame."""
        rows = []
        for thing in self.objects:
            x, y, r = thing.centres_xy[:, 0], thing.centres_xy[:, 1], 0.9 * thing.radii
            rows.append(thing.present & (x > -r) & (x < WIDTH + r) & (y > -r) & (y < HEIGHT + r))
        return np.stack(rows)


@dataclass
class _Draft:
    """An object while the scene is being sampled; `path_xy` is (T, 2) without drift."""

    kind: str
    size: str
    colour: str
    shape: str
    radii: np.ndarray
    path_xy: np.ndarray | None = None
    motion: Motion | None = None
    partner: int | None = None


def names_of(split: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Sizes, colours and shapes that objects of a split can have."""
    sizes = FIXED_SIZES if split == "still" else (*FIXED_SIZES, GROWING)
    if split == "test":
        return sizes, tuple(COLOURS), SHAPES
    return sizes, tuple(TRAINING_COLOURS), TRAINING_SHAPES


def sample_scene(rng: np.random.Generator, split: str) -> Scene:
    """Sample one scene.

    Args:
        rng: all randomness comes from here.
        split: one of `SPLITS`; only `test` has `HELD_OUT_PAIRS`, in most scenes, and it has fewer colours and shapes;
            `unnamed` is `train` with half of the objects in colours without a name; in `still` nothing moves.

    Raises:
        DataError: an unknown split.
    """
    if split not in SPLITS:
        raise DataError(f"Split '{split}' is unknown; the small world has {', '.join(SPLITS)}.")
    is_still = split == "still"
    num_frames = STILL_FRAMES if is_still else int(rng.integers(24, 49))
    drift = np.zeros((num_frames, 2)) if is_still else _sample_drift(rng, num_frames)
    wanted = int(rng.choice([2, 3, 4, 5, 6], p=[0.1, 0.25, 0.3, 0.2, 0.15]))
    has_relation = not is_still and rng.random() < RELATION_SHARE
    relation_kind = str(rng.choice(["hit", "follow", "behind"])) if has_relation else None
    for attempt in range(10_000):
        crowd = max(2, wanted - attempt // SCENE_TRIES)
        script = relation_kind if attempt < 4 * SCENE_TRIES else None
        drafts = _sample_drafts(rng, split, crowd, num_frames, script)
        if _place_all(rng, drafts, drift, script):
            scene = _assemble(rng, drafts, drift, script)
            return unname_colours(scene, rng, UNNAMED_SHARE) if split == "unnamed" else scene
    raise AssertionError("two objects always find room")


def unname_colours(scene: Scene, rng: np.random.Generator, share: float) -> Scene:
    """A scene with some objects in colours that have no name.

    Where every red thing is anything but a star, what sees shapes learns that red speaks against a star. Colours
    without a name show every shape and break that, and still no held-out pair is shown.

    Args:
        scene: stays as it is.
        rng: chooses objects and colours.
        share: of the objects.
    """
    chosen = rng.random(len(scene.objects)) < share
    objects = tuple(
        replace(thing, rgb=_unnamed_colour(rng), named=False) if changed else thing
        for thing, changed in zip(scene.objects, chosen, strict=True)
    )
    return replace(scene, objects=objects)


def _unnamed_colour(rng: np.random.Generator) -> tuple[int, int, int]:
    named = np.array(list(TRAINING_COLOURS.values()))
    while True:
        rgb = rng.integers(256, size=3)
        from_named = np.linalg.norm(named - rgb, axis=1).min()
        from_background = np.linalg.norm(np.array(MIDDLE_BACKGROUND) - rgb)
        if from_named >= UNNAMED_DISTANCE and from_background >= BACKGROUND_DISTANCE:
            return int(rgb[0]), int(rgb[1]), int(rgb[2])


def _sample_drift(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """(T, 2) smooth camera shift, zero-mean start; none in 40 % of clips."""
    if rng.random() < 0.4:
        return np.zeros((num_frames, 2))
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(4.0, MAX_DRIFT)
    t = np.linspace(0.0, 1.0, num_frames)
    course = t if rng.random() < 0.5 else 0.5 - 0.5 * np.cos(2 * np.pi * t)
    return length * course[:, None] * np.array([np.cos(angle), np.sin(angle)])


def _sample_drafts(
    rng: np.random.Generator, split: str, count: int, num_frames: int, script: str | None
) -> list[_Draft]:
    """Motions and unique names of all objects; a scripted pair comes first."""
    weights = {"still": 1.0} if split == "still" else MOTION_WEIGHTS
    kinds = [str(k) for k in rng.choice(list(weights), count, p=list(weights.values()))]
    if script is not None:
        kinds[:2] = {"hit": ["stop", "still"], "follow": ["move", "move"], "behind": ["move", "still"]}[
            script
        ]
    drafts: list[_Draft] = []
    for kind, triple in zip(kinds, _sample_triples(rng, split, kinds), strict=True):
        size, colour, shape = triple
        low, high = GROW_RADII if size == GROWING else RADII[size]
        radius = low if size == GROWING else rng.uniform(low, high)
        drafts.append(_Draft(kind, size, colour, shape, np.full(num_frames, radius)))
    return drafts


@cache
def _allowed_pairs(split: str) -> list[tuple[str, str]]:
    """Pairs of colour and shape to draw from; those with a name that the test has too stand there twice as often."""
    if split == "test":
        return list(product(COLOURS, SHAPES))
    colours, shapes = (*COLOURS, *TRAINING_COLOURS), (*SHAPES, *TRAINING_SHAPES)
    return [pair for pair in product(colours, shapes) if pair not in HELD_OUT_PAIRS]


def _sample_triples(rng: np.random.Generator, split: str, kinds: list[str]) -> list[tuple[str, str, str]]:
    """Unique (size, colour, shape) for each motion; many differ from another in one attribute only."""
    allowed = _allowed_pairs(split)
    small_share = 0.65 if len(kinds) > 4 else 0.5
    novel_at = int(rng.integers(len(kinds))) if split == "test" and rng.random() < 0.5 else -1
    triples: list[tuple[str, str, str]] = []
    while len(triples) < len(kinds):
        size = GROWING if kinds[len(triples)] == "grow" else FIXED_SIZES[int(rng.random() > small_share)]
        colour, shape = allowed[rng.integers(len(allowed))]
        if len(triples) == novel_at:
            colour, shape = HELD_OUT_PAIRS[rng.integers(len(HELD_OUT_PAIRS))]
        elif triples and rng.random() < 0.6:
            near = triples[rng.integers(len(triples))]
            changed = rng.integers(3)
            size = near[0] if changed != 0 and GROWING not in (near[0], size) else size
            colour = near[1] if changed != 1 else colour
            shape = near[2] if changed != 2 else shape
        if (colour, shape) in allowed and (size, colour, shape) not in triples:
            triples.append((size, colour, shape))
    return triples


def _place_all(rng: np.random.Generator, drafts: list[_Draft], drift: np.ndarray, script: str | None) -> bool:
    """Give every draft a path and a motion; False if some object found no room."""
    for _ in range(PLACE_TRIES):
        if script is None:
            placed = []
            break
        if SCRIPTS[script](rng, drafts[0], drafts[1], drift):
            drafts[0].partner, drafts[1].partner = 1, 0
            placed = drafts[:2]
            break
    else:
        return False
    room_needed = ("leave", "move", "back", "stop", "grow", "blink", "late", "still")
    for draft in sorted(drafts[len(placed) :], key=lambda d: room_needed.index(d.kind)):
        for _ in range(PLACE_TRIES):
            if _place_alone(rng, draft, drift) and all(_are_clear(draft, other) for other in placed):
                placed.append(draft)
                break
        else:
            return False
    return True


def _place_alone(rng: np.random.Generator, draft: _Draft, drift: np.ndarray) -> bool:
    """Sample timing and path of an unscripted object; False if it does not fit the frame."""
    last = len(drift) - 1
    frames = last + 1
    if draft.kind in TRAVELLING:
        direction = str(rng.choice(list(DIRECTIONS)))
        if draft.kind == "leave":
            return _place_leaver(rng, draft, drift, direction)
        motion = _travel_timing(rng, draft.kind, direction, frames)
        length = rng.uniform(MIN_TRAVEL + 2, 90 if direction in ("left", "right") else 66)
        return _settle(rng, draft, drift, motion, length * _progress(motion, frames))
    if draft.kind == "grow":
        motion = Motion("grow", None, int(rng.uniform(0, 0.25) * last), int(rng.uniform(0.65, 1.0) * last))
        low, high = GROW_RADII
        draft.radii = low + (high - low) * _progress(motion, frames)
    elif draft.kind == "blink":
        gap = int(rng.integers(3, 7))
        start = int(rng.integers(round(0.2 * frames), round(0.8 * frames) - gap))
        motion = Motion("blink", None, start, start + gap - 1)
    elif draft.kind == "late":
        motion = Motion("late", None, round(rng.uniform(0.25, 0.6) * frames), last)
    else:
        motion = Motion("still", None, 0, last)
    return _settle(rng, draft, drift, motion, np.zeros(frames))


def _travel_timing(rng: np.random.Generator, kind: str, direction: str, frames: int) -> Motion:
    """When an object travels: `move` to the last frame, `stop` not so long, `back` turns near the middle."""
    last = frames - 1
    if kind == "move":
        return Motion(kind, direction, round(rng.uniform(0, 0.3) * last * (rng.random() < 0.7)), last)
    start = round(rng.uniform(0, 0.15) * last * (rng.random() < 0.5))
    if kind == "stop":
        return Motion(kind, direction, start, round(rng.uniform(0.4, 0.7) * last))
    return Motion(kind, direction, start, last, round(rng.uniform(0.42, 0.6) * last))


def _progress(motion: Motion, frames: int) -> np.ndarray:
    """(T,) share of the way: 0 before `start`, 1 after `end`; for `back` 1 at `turn` and 0.15 at `end`."""
    t = np.arange(frames, dtype=float)
    if motion.turn is None:
        return np.clip((t - motion.start) / (motion.end - motion.start), 0.0, 1.0)
    return np.interp(t, [motion.start, motion.turn, motion.end], [0.0, 1.0, 0.15])


def _settle(
    rng: np.random.Generator, draft: _Draft, drift: np.ndarray, motion: Motion, travelled: np.ndarray
) -> bool:
    """Put a path of given lengths somewhere in the frame; False if it is longer than the frame."""
    step = np.array(DIRECTIONS[motion.direction or "left"], dtype=float)
    offsets = travelled[:, None] * step
    margin = (REACH * draft.radii)[:, None] + 1.0
    low = (margin - offsets - drift).max(0)
    high = (np.array([WIDTH, HEIGHT]) - margin - offsets - drift).min(0)
    if (low > high).any():
        return False
    draft.path_xy, draft.motion = rng.uniform(low, high) + offsets, motion
    return True


def _place_leaver(rng: np.random.Generator, draft: _Draft, drift: np.ndarray, direction: str) -> bool:
    """An object that starts inside, covers at least `MIN_TRAVEL` and is out well before the end."""
    frames = len(drift)
    last = frames - 1
    reach = REACH * draft.radii[0]
    bounds = np.array([WIDTH, HEIGHT], dtype=float)
    low, high = reach + 1 - drift.min(0), bounds - reach - 1 - drift.max(0)
    origin = rng.uniform(low, high)
    step = np.array(DIRECTIONS[direction], dtype=float)
    axis = 0 if step[0] else 1
    edge_gap = bounds[axis] - origin[axis] if step[axis] > 0 else origin[axis]
    length = edge_gap + reach + MAX_DRIFT
    if edge_gap < MIN_TRAVEL or length > 110:
        return False
    start = round(rng.uniform(0, 0.25) * last)
    out = round(rng.uniform(0.55, 0.9) * last)
    speed = length / (out - start)
    path = origin + (np.clip(np.arange(frames) - start, 0, None) * speed)[:, None] * step
    ahead = (path + drift)[:, axis] * step[axis] - reach
    outside = np.flatnonzero(ahead > (bounds[axis] if step[axis] > 0 else 0.0))
    draft.path_xy, draft.motion = path, Motion("leave", direction, start, int(outside[0]) - 1)
    return True


def _are_clear(one: _Draft, other: _Draft) -> bool:
    """Whether two unscripted objects keep apart, and do not look like one hitting or following the other."""
    assert one.motion is not None, "placed"
    assert other.motion is not None, "placed"
    assert one.path_xy is not None, "placed"
    assert other.path_xy is not None, "placed"
    gap = 9.0 if {one.kind, other.kind} & {"stop", "back"} else 3.0
    between = one.path_xy - other.path_xy
    if (np.hypot(between[:, 0], between[:, 1]) < REACH * (one.radii + other.radii) + gap).any():
        return False
    if one.motion.direction is None or one.motion.direction != other.motion.direction:
        return True
    across = 1 if one.motion.direction in ("left", "right") else 0
    return bool(abs(between[0, across]) > REACH * (one.radii[0] + other.radii[0]))


def _script_hit(rng: np.random.Generator, subject: _Draft, target: _Draft, drift: np.ndarray) -> bool:
    """Subject moves up to the still target and stops where the drawn shapes touch."""
    frames = len(drift)
    direction = str(rng.choice(list(DIRECTIONS)))
    step = np.array(DIRECTIONS[direction], dtype=float)
    motion = _travel_timing(rng, "stop", direction, frames)
    side = rng.uniform(-3, 3)
    contact = _contact_distance(subject, target, direction, side)
    travelled = rng.uniform(MIN_TRAVEL + 2, 80) * _progress(motion, frames)
    if not _settle(rng, subject, drift, motion, travelled) or subject.path_xy is None:
        return False
    place = subject.path_xy[-1] + contact * step - side * np.abs(step[::-1])
    return _stand_at(target, place, drift)


def _script_follow(rng: np.random.Generator, subject: _Draft, target: _Draft, drift: np.ndarray) -> bool:
    """Both move alike, the subject behind the target with a gap."""
    frames = len(drift)
    direction = str(rng.choice(list(DIRECTIONS)))
    step = np.array(DIRECTIONS[direction], dtype=float)
    motion = _travel_timing(rng, "move", direction, frames)
    travelled = rng.uniform(MIN_TRAVEL + 2, 70) * _progress(motion, frames)
    if not _settle(rng, subject, drift, motion, travelled) or subject.path_xy is None:
        return False
    ahead = REACH * (subject.radii[0] + target.radii[0]) + rng.uniform(4, 12)
    path = subject.path_xy + ahead * step + rng.uniform(-3, 3) * np.abs(step[::-1])
    target.path_xy, target.motion = path, motion
    return _is_inside(path + drift, target.radii)


def _script_behind(rng: np.random.Generator, subject: _Draft, target: _Draft, drift: np.ndarray) -> bool:
    """Subject moves from one side of the still target to the other, and is covered on its way."""
    frames = len(drift)
    direction = str(rng.choice(list(DIRECTIONS)))
    step = np.array(DIRECTIONS[direction], dtype=float)
    motion = _travel_timing(rng, "move", direction, frames)
    clear = REACH * (subject.radii[0] + target.radii[0]) + 2
    before, after = clear + rng.uniform(0, 8), clear + rng.uniform(0, 8)
    if not _settle(rng, subject, drift, motion, (before + after) * _progress(motion, frames)):
        return False
    assert subject.path_xy is not None, "it has settled"
    side = rng.uniform(-0.3, 0.3) * target.radii[0]
    return _stand_at(target, subject.path_xy[0] + before * step + side * np.abs(step[::-1]), drift)


SCRIPTS: dict[str, Callable[[np.random.Generator, _Draft, _Draft, np.ndarray], bool]] = {
    "hit": _script_hit,
    "follow": _script_follow,
    "behind": _script_behind,
}


def _stand_at(draft: _Draft, place_xy: np.ndarray, drift: np.ndarray) -> bool:
    """Make an object stand still at a place; False if that is not inside the frame all the time."""
    draft.path_xy = np.tile(place_xy, (len(drift), 1))
    draft.motion = Motion("still", None, 0, len(drift) - 1)
    return _is_inside(draft.path_xy + drift, draft.radii)


def _is_inside(screen_xy: np.ndarray, radii: np.ndarray) -> bool:
    margin = (REACH * radii)[:, None] + 1.0
    return bool((screen_xy >= margin).all() and (screen_xy <= np.array([WIDTH, HEIGHT]) - margin).all())


def _extent(corners: np.ndarray, axis: int, sign: int, lines: np.ndarray) -> np.ndarray:
    """(n,) how far a polygon reaches along `sign` of `axis` on each line across it; -inf where it is not."""
    far = np.full(len(lines), -np.inf)
    for p, q in zip(corners, np.roll(corners, -1, 0), strict=True):
        lo, hi = sorted((p[1 - axis], q[1 - axis]))
        on = (lines >= lo) & (lines <= hi)
        share = (lines[on] - p[1 - axis]) / (q[1 - axis] - p[1 - axis]) if hi > lo else np.zeros(on.sum())
        far[on] = np.maximum(far[on], sign * (p[axis] + share * (q[axis] - p[axis])))
    return far


def _contact_distance(subject: _Draft, target: _Draft, direction: str, side: float) -> float:
    """Distance of centres along `direction` at which the shapes touch, the subject `side` pixels aside."""
    step = DIRECTIONS[direction]
    axis = 0 if step[0] else 1
    lines = np.arange(-22, 22.1, 0.5)
    front = _extent(outline(subject.shape, subject.radii[0]), axis, step[axis], lines)
    back = _extent(outline(target.shape, target.radii[0]), axis, -step[axis], lines + side)
    return float((front + back).max())


def _assemble(rng: np.random.Generator, drafts: list[_Draft], drift: np.ndarray, script: str | None) -> Scene:
    """Shuffle the order and finish the objects."""
    order = [int(i) for i in rng.permutation(len(drafts))]
    depth = [int(z) for z in rng.permutation(len(drafts))]
    relations: tuple[Relation, ...] = ()
    if script is not None:
        subject, target = order.index(0), order.index(1)
        relations = (Relation(script, subject, target),)
        if script == "behind" and depth[subject] > depth[target]:
            depth[subject], depth[target] = depth[target], depth[subject]
    objects = [_finish(rng, drafts[i], drift, z) for i, z in zip(order, depth, strict=True)]
    return Scene(
        len(drift), int(rng.integers(8, 13)), tuple(objects), relations, _sample_background(rng), drift
    )


def _finish(rng: np.random.Generator, draft: _Draft, drift: np.ndarray, z: int) -> SceneObject:
    assert draft.motion is not None, "placed"
    assert draft.path_xy is not None, "placed"
    frames = np.arange(len(drift))
    present = np.ones(len(drift), dtype=bool)
    if draft.kind == "blink":
        present = (frames < draft.motion.start) | (frames > draft.motion.end)
    elif draft.kind == "late":
        present = frames >= draft.motion.start
    tone = np.clip(np.array(TRAINING_COLOURS[draft.colour]) + rng.integers(-8, 9, 3), 0, 255)
    return SceneObject(
        size=draft.size,
        colour=draft.colour,
        shape=draft.shape,
        motion=draft.motion,
        rgb=(int(tone[0]), int(tone[1]), int(tone[2])),
        z=z,
        centres_xy=draft.path_xy + drift,
        radii=draft.radii,
        present=present,
    )


def _sample_background(rng: np.random.Generator) -> Background:
    """Dark and nearly grey, far from all colours but `black`, of training, which it may near; half change slowly."""
    kind = str(rng.choice(["noise", "gradient", "checker", "stripes"]))
    base = rng.uniform(45, 95) + rng.uniform(-9, 9, 3)
    gain, tint = (1.0, 1.0), (0.0, 0.0, 0.0)
    if rng.random() < 0.5:
        gain = (float(rng.uniform(0.8, 1.15)), float(rng.uniform(0.8, 1.15)))
        tint = tuple(float(v) for v in rng.uniform(-14, 14, 3))  # type: ignore[assignment]
    return Background(
        kind,
        int(rng.integers(2**31)),
        (float(base[0]), float(base[1]), float(base[2])),
        float(rng.uniform(8, 20)),
        gain,
        tint,
    )
