"""The small world: draws a `Scene` as RGB frames with the exact visible mask of every object.

Shapes are drawn four times too large and averaged; a pixel belongs to an object when at least half of it is
covered and nothing above covers as much. Positions are rounded to a quarter of a pixel, so patches repeat and
are cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from sama_plugin.data.shapes.outlines import REACH, outline
from sama_plugin.data.shapes.world import HEIGHT, MAX_DRIFT, WIDTH, Background, Scene, SceneObject

SUPERSAMPLE = 4
MARGIN = int(MAX_DRIFT) + 2
OUTLINE_WIDTH = 1.25
OUTLINE_SHADE = 0.55


def render_frame(scene: Scene, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one frame.

    Args:
        scene: what to draw.
        t: frame index, 0 to `scene.num_frames - 1`.

    Returns:
        (H, W, 3) uint8 RGB and (K, H, W) bool visible masks in the order of `scene.objects`; a mask is empty
        where its object is absent, hidden or out of the frame.
    """
    canvas = _background_frame(scene, t)
    covered = np.zeros((len(scene.objects), HEIGHT, WIDTH), dtype=bool)
    gain = np.interp(t, [0, scene.num_frames - 1], scene.background.gain)
    for k in _bottom_up(scene):
        patch = _patch(scene.objects[k], t)
        if patch is None:
            continue
        ys, xs, whole, inner = patch
        tone = np.array(scene.objects[k].rgb, dtype=np.float32) * np.float32(0.5 + 0.5 * gain)
        shade = (OUTLINE_SHADE + (1 - OUTLINE_SHADE) * inner)[..., None]
        canvas[ys, xs] += whole[..., None] * (tone * shade - canvas[ys, xs])
        covered[:, ys, xs] &= ~(whole >= 0.5)
        covered[k, ys, xs] = whole >= 0.5
    return np.clip(canvas + 0.5, 0, 255).astype(np.uint8), covered


def render_masks(scene: Scene) -> np.ndarray:
    """(T, K, H, W) bool; the masks of `render_frame` without drawing colours."""
    masks = np.zeros((scene.num_frames, len(scene.objects), HEIGHT, WIDTH), dtype=bool)
    for t in range(scene.num_frames):
        for k in _bottom_up(scene):
            patch = _patch(scene.objects[k], t)
            if patch is not None:
                ys, xs, whole, _ = patch
                masks[t, :, ys, xs] &= ~(whole >= 0.5)
                masks[t, k, ys, xs] = whole >= 0.5
    return masks


def render_clip(scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`render_frame` of every frame, in order."""
    for t in range(scene.num_frames):
        yield render_frame(scene, t)


def _bottom_up(scene: Scene) -> list[int]:
    return sorted(range(len(scene.objects)), key=lambda k: scene.objects[k].z)


def _patch(thing: SceneObject, t: int) -> tuple[slice, slice, np.ndarray, np.ndarray] | None:
    """Rows, columns, and coverage of the shape with and without its outline; None if not in the frame."""
    if not thing.present[t]:
        return None
    qx, qy = (int(v) for v in np.floor(thing.centres_xy[t] * SUPERSAMPLE + 0.5))
    x, y = qx // SUPERSAMPLE, qy // SUPERSAMPLE
    radius = round(float(thing.radii[t]) * SUPERSAMPLE)
    whole, inner = _coverage(thing.shape, radius, qx % SUPERSAMPLE, qy % SUPERSAMPLE)
    half = whole.shape[0] // 2
    x0, y0 = x - half, y - half
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = min(2 * half, WIDTH - x0), min(2 * half, HEIGHT - y0)
    if left >= right or top >= bottom:
        return None
    window = (slice(top, bottom), slice(left, right))
    return slice(y0 + top, y0 + bottom), slice(x0 + left, x0 + right), whole[window], inner[window]


@lru_cache(maxsize=8192)
def _coverage(shape: str, quarter_radius: int, shift_x: int, shift_y: int) -> tuple[np.ndarray, np.ndarray]:
    """Two (2n, 2n) float32 in [0, 1], centre at pixel corner (n, n) plus the shift in quarter pixels."""
    radius = quarter_radius / SUPERSAMPLE
    half = int(np.ceil(REACH * radius)) + 2
    centre = half * SUPERSAMPLE + np.array([shift_x, shift_y])
    inset = max(1.0, radius - OUTLINE_WIDTH * (1.9 if shape in ("triangle", "star") else 1.0))
    layers = []
    for r in (radius, inset):
        image = Image.new("L", (2 * half * SUPERSAMPLE,) * 2, 0)
        ImageDraw.Draw(image).polygon(
            [tuple(p) for p in outline(shape, r) * SUPERSAMPLE + centre - 0.5], fill=255
        )
        layers.append(np.asarray(image.reduce(SUPERSAMPLE), dtype=np.float32) / 255)
    return layers[0], layers[1]


def _background_frame(scene: Scene, t: int) -> np.ndarray:
    """(H, W, 3) float32; the backdrop shifted by the camera drift, with this frame's brightness and tint."""
    spec = scene.background
    backdrop = _backdrop(spec)
    shift = MARGIN - scene.drift_xy[t]
    x0, y0 = int(shift[0]), int(shift[1])
    fx, fy = np.float32(shift[0] - x0), np.float32(shift[1] - y0)
    rows = backdrop[y0 : y0 + HEIGHT + 1, x0 : x0 + WIDTH + 1]
    rows = rows[:-1] * (1 - fy) + rows[1:] * fy
    frame = rows[:, :-1] * (1 - fx) + rows[:, 1:] * fx
    share = t / max(1, scene.num_frames - 1)
    gain = spec.gain[0] + (spec.gain[1] - spec.gain[0]) * share
    return frame * np.float32(gain) + np.float32(share) * np.array(spec.tint, dtype=np.float32)


@lru_cache(maxsize=4)
def _backdrop(spec: Background) -> np.ndarray:
    """(H + 2·MARGIN, W + 2·MARGIN, 3) float32 texture, larger than the frame by what the camera may drift."""
    rng = np.random.default_rng(spec.seed)
    height, width = HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    period = rng.uniform(14, 30)
    if spec.kind == "gradient":
        texture = 2 * (along - along.min()) / (along.max() - along.min()) - 1
    elif spec.kind == "stripes":
        texture = np.sin(2 * np.pi * along / period)
    elif spec.kind == "checker":
        across = np.cos(angle) * y - np.sin(angle) * x
        texture = np.tanh(4 * np.sin(np.pi * along / period) * np.sin(np.pi * across / period))
    else:
        coarse = rng.uniform(0, 255, (8, 10)).astype(np.uint8)
        smooth = np.asarray(
            Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32
        )
        texture = smooth / 127.5 - 1
    grain = rng.normal(0, 1.5, (height, width, 1))
    tones = rng.uniform(0.7, 1.0, 3)
    return (np.array(spec.base) + spec.contrast * texture[..., None] * tones + grain).astype(np.float32)
