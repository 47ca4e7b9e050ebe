"""Referring segmentation in `lmms-eval`: its tasks ask for points of the objects over time, in words.

A task `rvos_*` asks `Track the EXPRESSION` and wants `<tracks coords="TIME ID X Y ID X Y; TIME ...">WORDS</tracks>`, X
and Y from 0 to 1000. SAMA is asked to segment; a point inside each mask is written down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sama_plugin.media.masks import decode_mask
from sama_plugin.schema import GroundedObject

ASKED = re.compile(r"\s*Track the (?P<expression>[^\n]+)\n.*<tracks coords=", re.DOTALL)
SCALE = 1000


def asked_expression(question: str) -> str | None:
    """The expression that a question wants to be tracked; None for other questions."""
    found = ASKED.match(question)
    return found["expression"].strip(" .") if found else None


def write_tracks(expression: str, objects: Sequence[GroundedObject], timestamps_s: np.ndarray) -> str:
    """Masks in the words that the tasks read.

    Args:
        expression: that was asked for.
        objects: of the answer.
        timestamps_s: (T,) float seconds of the frames.
    """
    moments = []
    for frame, time_s in enumerate(timestamps_s):
        points = [
            f"{number} {x} {y}"
            for number, thing in enumerate(objects)
            if (rle := thing.rle[frame]) is not None
            for x, y in [inner_point(decode_mask(rle))]
        ]
        if points:
            moments.append(f"{time_s:.3f} {' '.join(points)}")
    return f'<tracks coords="{"; ".join(moments)}">{expression}</tracks>'


def inner_point(mask: np.ndarray) -> tuple[int, int]:
    """The pixel of a mask that is next to its middle.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        (x, y), each in thousandths of the frame.
    """
    rows, columns = np.nonzero(mask)
    nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
    height, width = mask.shape
    return round(SCALE * columns[nearest] / width), round(SCALE * rows[nearest] / height)
