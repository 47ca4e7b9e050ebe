"""A region as a program asks for it → a checked `RegionPrompt`; nothing it says is ever taken for a path."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container, Mapping
from itertools import count
from typing import Any

from sama_plugin.demo.refusals import RefusedError, refusal_of
from sama_plugin.errors import MediaError, SamaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.marks import PALETTE, hex_colour
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.regions import region_prompt
from sama_plugin.schema import REGION_KINDS, RegionPrompt

COLOUR = re.compile(r"#[0-9a-f]{6}")
POINT_KINDS = ("point", "scribble")
KEYS = ("name", "frame", "colour", *REGION_KINDS)


def read_region(body: Mapping[str, Any], name: str, clip: VideoClip, max_points: int) -> RegionPrompt:
    """Check what is pointed at.

    Args:
        body: `frame`, and one of `point`, `box`, `scribble`, `mask` (an RLE of the video's size).
        name: of the region.
        clip: the video.
        max_points: that a point or scribble may have; what SAM2 does for them grows with their square.

    Raises:
        RefusedError: it cannot be used.
    """
    check_keys(body, KEYS)
    shapes = {kind: body[kind] for kind in REGION_KINDS if body.get(kind) is not None}
    for kind, value in shapes.items():
        if kind in POINT_KINDS and isinstance(value, list) and len(value) > max_points:
            raise RefusedError(
                "bad_request", f"The {kind} has {len(value)} points, at most {max_points} are taken."
            )
    frame = body.get("frame", 0)
    if isinstance(frame, bool) or not isinstance(frame, int):
        raise RefusedError("bad_request", f"The region's frame is {frame!r}, expected a whole number.")
    try:
        if "mask" in shapes:
            shapes["mask"] = _read_mask(shapes["mask"], clip)
        return region_prompt(name, clip, frame=frame, **shapes)
    except SamaError as error:
        raise refusal_of(error) from error


def read_colour(body: Mapping[str, Any]) -> str | None:
    """The colour that is asked for, if any.

    Raises:
        RefusedError: it is none.
    """
    colour = body.get("colour")
    if colour is None:
        return None
    if not isinstance(colour, str) or not COLOUR.fullmatch(colour.lower()):
        raise RefusedError("bad_request", f"The colour is {str(colour)[:40]!r}, expected #rrggbb.")
    return colour.lower()


def check_keys(body: Mapping[str, Any], keys: Container[str]) -> None:
    """See that a request asks for nothing that is not known.

    Raises:
        RefusedError: it does.
    """
    unknown = [str(key)[:40] for key in body if key not in keys]
    if unknown:
        raise RefusedError(
            "bad_request", f"The request has {', '.join(unknown[:5])}, which is not known here."
        )


def next_name(taken: Container[str]) -> str:
    """The first of r1, r2, ... that is free."""
    return next(name for k in count(1) if (name := f"r{k}") not in taken)


def next_colour(number: int) -> str:
    """Colour of the so-manieth region, from the end of the objects' colours, so that the first ones differ."""
    return hex_colour(PALETTE[-1 - number % len(PALETTE)])


def without_mask(prompt: RegionPrompt) -> RegionPrompt:
    """The prompt as it is kept: a mask is kept as RLE only."""
    return dataclasses.replace(prompt, mask=None)


def _read_mask(rle: Any, clip: VideoClip) -> Any:
    """(H, W) bool of an RLE, whose size is looked at first."""
    size = rle.get("size") if isinstance(rle, dict) else None
    if size != [clip.height, clip.width]:
        raise MediaError(
            f"The mask has size {str(size)[:40]}, expected an RLE of the video's, [{clip.height}, {clip.width}]."
        )
    return decode_mask(rle)
