"""What a user points with, as text or as values → a checked `RegionPrompt`. Coordinates: pixels, x then y."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.errors import MediaError, PromptError
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import REGION_KINDS, RegionPrompt

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
ANSWER_NAME = re.compile(r"obj[0-9]+")
RESERVED_NAMES = ("mask", "p", "vp", "image", "video")
REGION = re.compile(r"(?P<name>[^=]*)=(?P<kind>[^@:]*)(?:@(?P<when>[^:]*))?:(?P<values>.*)", re.DOTALL)
FRAME = re.compile(r"-?[0-9]{1,18}")
SECONDS = re.compile(r"(-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+))s")
"""Reads a text in one way only, so that a long one that is no time takes no longer."""

GRAMMAR = (
    "expected NAME=KIND@WHEN:VALUES, such as r1=box@12:40,30,120,160 or r2=point@3.5s:88,40;60,20,0 or "
    "r3=scribble:10,10;20,12 or r4=mask@0:dog.png (WHEN: a frame, or seconds with an s; else frame 0)"
)


def parse_region(text: str, clip: VideoClip) -> RegionPrompt:
    """Read one region of the command line.

    Args:
        text: see `read_region`.
        clip: the video it points into.

    Raises:
        PromptError: not of that form, or a region that cannot be used; see `region_prompt`.
        MediaError: a frame or time outside the clip, or a mask that cannot be read or does not fit.
    """
    return region_prompt(clip=clip, **read_region(text))


def read_region(text: str) -> dict[str, Any]:
    """Take one region of the command line apart.

    Args:
        text: `NAME=KIND@WHEN:VALUES`. KIND `point`: `x,y` or `x,y,0` (outside) joined by `;`. `box`:
            `x0,y0,x1,y1`. `scribble`: `x,y;x,y;...`. `mask`: path of a picture, non-zero is inside. `@WHEN`
            is a frame index or a time such as `3.5s`; without it, frame 0.

    Returns:
        Arguments of `region_prompt`: `name`, `frame`, `time_s` and the one of its kind, still unchecked.

    Raises:
        PromptError: not of that form.
    """
    match = REGION.fullmatch(text.strip())
    if match is None:
        raise PromptError(f"Region {text!r} is malformed; {GRAMMAR}.")
    name, kind, when, values = (match[key] for key in ("name", "kind", "when", "values"))
    if kind not in REGION_KINDS:
        raise PromptError(
            f"Region {text!r} has kind {kind!r}, expected one of {', '.join(REGION_KINDS)}; {GRAMMAR}."
        )
    frame, time_s = _parse_when(when, text)
    value: Any = values
    if kind == "box":
        value = _numbers(values, text)
    elif kind != "mask":
        value = [_numbers(part, text) for part in values.split(";")]
    elif not values:
        raise PromptError(f"Region {text!r} names no mask file; {GRAMMAR}.")
    return {"name": name, "frame": frame, "time_s": time_s, kind: value}


def parse_regions(texts: Sequence[str], clip: VideoClip) -> list[RegionPrompt]:
    """Read all regions of a command line; see `parse_region`.

    Raises:
        PromptError: also a name that is used twice.
        MediaError: as `parse_region`.
    """
    prompts: dict[str, RegionPrompt] = {}
    for text in texts:
        prompt = parse_region(text, clip)
        if prompt.name in prompts:
            raise PromptError(f"Region '{prompt.name}' is defined twice; give the second one another name.")
        prompts[prompt.name] = prompt
    return list(prompts.values())


def region_prompt(
    name: str,
    clip: VideoClip,
    *,
    frame: int | None = None,
    time_s: float | None = None,
    point: Any = None,
    box: Any = None,
    scribble: Any = None,
    mask: Any = None,
) -> RegionPrompt:
    """Check one region and bring it to one form.

    Args:
        name: letters, digits and `_`, beginning with a letter; not `obj1`, `obj2`, ..., which are objects of
            answers.
        clip: the video it points into.
        frame: frame index; 0 if neither it nor `time_s` is given.
        time_s: seconds; the frame shown then.
        point: (x, y), (x, y, label), or a list of them; label 1 is inside, 0 outside; at least one inside.
        box: (x0, y0, x1, y1), half-open; a part outside the frame is cut off.
        scribble: list of (x, y).
        mask: (H, W) bool or integer array, or the path of a picture of that size; non-zero is inside.

    Raises:
        PromptError: a bad name; not exactly one of point, box, scribble, mask; both frame and time; points
            outside the frame; a box that is inside out, empty or wholly outside; an empty mask.
        MediaError: a frame or time outside the clip; a mask that cannot be read or is of another size.
    """
    check_region_name(name)
    given = [
        kind
        for kind, value in zip(REGION_KINDS, (point, box, scribble, mask), strict=True)
        if value is not None
    ]
    if len(given) != 1:
        raise PromptError(
            f"Region '{name}' is given by {' and '.join(given) or 'nothing'}, expected exactly one of "
            f"{', '.join(REGION_KINDS)}."
        )
    kind = given[0]
    frame_idx = _frame_index(name, clip, frame, time_s)
    if kind == "box":
        return RegionPrompt(name, kind, frame_idx, box_xyxy=_checked_box(name, box, clip))
    if kind == "mask":
        return RegionPrompt(name, kind, frame_idx, mask=_checked_mask(name, mask, clip))
    points, labels = _checked_points(name, kind, point if kind == "point" else scribble, clip)
    return RegionPrompt(name, kind, frame_idx, points_xy=points, point_labels=labels)


def _parse_when(when: str | None, text: str) -> tuple[int | None, float | None]:
    """Frame index or seconds."""
    if when is None:
        return None, None
    if FRAME.fullmatch(when):
        return int(when), None
    if match := SECONDS.fullmatch(when):
        return None, float(match[1])
    raise PromptError(f"Region {text!r} has time {when!r}; {GRAMMAR}.")


def _numbers(part: str, text: str) -> list[float]:
    """Split `x,y,...`."""
    try:
        return [float(number) for number in part.split(",")]
    except ValueError:
        raise PromptError(f"Region {text!r} has {part!r} where numbers should be; {GRAMMAR}.") from None


def check_region_name(name: str) -> None:
    """Refuse a name that a question could not mean or that means something else.

    Raises:
        PromptError: says what it may be.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise PromptError(
            f"Region name {name!r} cannot be used, expected a letter, then letters, digits or '_', as in r1."
        )
    if ANSWER_NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise PromptError(
            f"Region name '{name}' is reserved (obj1, obj2, ... are objects of answers; "
            f"{', '.join(RESERVED_NAMES)} mark other things); call it r1, say."
        )


def _frame_index(name: str, clip: VideoClip, frame: int | None, time_s: float | None) -> int:
    """The frame that is meant, inside the clip."""
    if frame is not None and time_s is not None:
        raise PromptError(f"Region '{name}' has frame {frame} and time {time_s} s, expected one of them.")
    try:
        if time_s is not None:
            return clip.frame_at(float(time_s))
        if frame is None:
            return 0
        if isinstance(frame, bool) or int(frame) != frame:
            raise PromptError(f"Region '{name}' has frame {frame!r}, expected a whole number, or time_s=.")
        clip.time_of(int(frame))
        return int(frame)
    except MediaError as error:
        raise MediaError(f"Region '{name}': {error}") from error
    except (TypeError, ValueError, OverflowError):
        raise PromptError(
            f"Region '{name}' has frame {frame!r} and time {time_s!r}, expected a frame index or seconds."
        ) from None


def _checked_points(
    name: str, kind: str, value: Any, clip: VideoClip
) -> tuple[np.ndarray, np.ndarray | None]:
    """(n, 2) float64 points and, for kind point, (n,) int64 labels."""
    try:
        rows = [value] if np.ndim(value[0]) == 0 else list(value)
        points = [[float(number) for number in row] for row in rows]
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        points = []
    allowed = (2, 3) if kind == "point" else (2,)
    if not points or any(len(row) not in allowed for row in points):
        form = "(x, y) or (x, y, label)" if kind == "point" else "(x, y)"
        raise PromptError(f"Region '{name}' has {kind} {_shorten(value)}, expected one or several {form}.")
    for row in points:
        if not (0 <= row[0] < clip.width and 0 <= row[1] < clip.height):
            raise PromptError(
                f"Region '{name}': point ({row[0]:g}, {row[1]:g}) is outside the frame, which is "
                f"{clip.width} wide and {clip.height} high; expected 0 <= x < width and 0 <= y < height."
            )
    xy = np.array([row[:2] for row in points], dtype=np.float64)
    if kind == "scribble":
        return xy, None
    labels = [row[2] if len(row) == 3 else 1.0 for row in points]
    if any(label not in (0.0, 1.0) for label in labels):
        raise PromptError(f"Region '{name}' has point labels {labels}, expected 1 (inside) or 0 (outside).")
    if not any(labels):
        raise PromptError(f"Region '{name}' has only points outside (label 0); add at least one inside.")
    return xy, np.array(labels, dtype=np.int64)


def _checked_box(name: str, value: Any, clip: VideoClip) -> tuple[float, float, float, float]:
    """The part of the box that lies inside the frame."""
    try:
        x0, y0, x1, y1 = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        raise PromptError(f"Region '{name}' has box {_shorten(value)}, expected x0, y0, x1, y1.") from None
    box = f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g})"
    if not all(math.isfinite(number) for number in (x0, y0, x1, y1)):
        raise PromptError(f"Region '{name}': {box} has a number that is not finite.")
    if x1 <= x0 or y1 <= y0:
        fault = "has no area" if x1 == x0 or y1 == y0 else "is inside out"
        raise PromptError(
            f"Region '{name}': {box} {fault}, expected x0 < x1 and y0 < y1, upper left corner first."
        )
    if x1 <= 0 or y1 <= 0 or x0 >= clip.width or y0 >= clip.height:
        raise PromptError(
            f"Region '{name}': {box} is wholly outside the frame, which is {clip.width} wide and "
            f"{clip.height} high."
        )
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(clip.width)), min(y1, float(clip.height))


def _checked_mask(name: str, value: Any, clip: VideoClip) -> np.ndarray:
    """(H, W) bool in video pixels, not empty."""
    if isinstance(value, (str, Path)):
        where, mask = f"mask '{value}'", read_mask_picture(name, value)
    else:
        try:
            where, mask = "mask", np.asarray(value)
        except ValueError:
            raise PromptError(
                f"Region '{name}': mask {_shorten(value)} is no array, expected (height, width) of bool or uint8."
            ) from None
    if mask.ndim != 2 or not (mask.dtype == np.bool_ or np.issubdtype(mask.dtype, np.integer)):
        raise PromptError(
            f"Region '{name}': {where} is an array {mask.shape} of {mask.dtype}, expected "
            "(height, width) of bool or uint8."
        )
    if mask.shape != (clip.height, clip.width):
        raise MediaError(
            f"Region '{name}': {where} is {mask.shape[1]} wide and {mask.shape[0]} high, expected the "
            f"video's {clip.width} and {clip.height}; resize it (nearest)."
        )
    inside = mask != 0
    if not inside.any():
        raise PromptError(f"Region '{name}': {where} is empty, expected at least one non-zero pixel.")
    return inside


def read_mask_picture(name: str, path: str | Path) -> np.ndarray:
    """(H, W) bool: a palette's index, or any colour, is non-zero where it is not transparent.

    Args:
        name: of the region, for errors.
        path: of the picture.

    Raises:
        MediaError: it is not there, or no picture.
    """
    if not Path(path).is_file():
        raise MediaError(
            f"Region '{name}': mask file '{path}' does not exist; expected a picture, such as a PNG."
        )
    try:
        with Image.open(path) as picture:
            alpha = np.asarray(picture.getchannel("A")) if picture.mode in ("RGBA", "LA") else None
            pixels = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"Region '{name}': mask '{path}' cannot be read as a picture ({error}).") from error
    if alpha is not None:
        return (pixels[..., :-1] != 0).any(axis=-1) & (alpha != 0)
    return pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=-1)


def _shorten(value: Any) -> str:
    """What was given, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
