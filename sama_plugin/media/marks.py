"""Marks on a frame: translucent fills, outlines, what regions were pointed with, and labels that hide nothing.

An object keeps its colour in every picture; regions are white.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from sama_plugin.media.masks import box_of_mask
from sama_plugin.schema import RegionPrompt

Rgb = tuple[int, int, int]
Box = tuple[int, int, int, int]

PALETTE: tuple[Rgb, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
)
"""Okabe and Ito's colours, told apart with every common kind of colour blindness."""

REGION_COLOUR: Rgb = (255, 255, 255)
CLICK_COLOURS: tuple[Rgb, Rgb] = ((213, 94, 0), (0, 158, 115))
"""Of a negative and of a positive click; the sign inside says it too."""

INK: Rgb = (28, 30, 34)

OBJECT_FILL = 0.36

ARTICLES = ("a", "an", "the")
"""Left out of labels, to keep them short."""


@dataclass(frozen=True)
class Mark:
    """Something to draw on one frame.

    Attributes:
        label: short text beside it.
        colour: of fill, outline and label.
        mask: (H, W) bool, video pixels.
        fill: opacity of the fill, 0 to 1.
        prompt: what a region was pointed with, drawn too.
        strength: of everything about it, 0 to 1.
    """

    label: str
    colour: Rgb
    mask: np.ndarray
    fill: float = OBJECT_FILL
    prompt: RegionPrompt | None = None
    strength: float = 1.0


def object_colour(object_id: str) -> Rgb:
    """Colour of an object by the number in its id, the same in every picture."""
    digits = "".join(c for c in object_id if c.isdigit())
    return PALETTE[(int(digits or 1) - 1) % len(PALETTE)]


def hex_colour(colour: Rgb) -> str:
    """A colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def without_article(phrase: str) -> str:
    """A phrase as a label: single blanks, no article before other words."""
    words = phrase.split()
    if words[1:] and words[0].lower() in ARTICLES:
        del words[0]
    return " ".join(words)


def draw_marks(frame: np.ndarray, marks: Sequence[Mark], size: tuple[int, int] | None = None) -> np.ndarray:
    """Draw marks on a frame: fills and outlines in order, then what regions were pointed with, then labels.

    Args:
        frame: (H, W, 3) uint8 RGB.
        marks: their masks are (H, W).
        size: (height, width) of the picture; None keeps the frame's.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = size or frame.shape[:2]
    picture = Image.fromarray(frame)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    canvas = np.array(picture)
    line = max(2.0, min(height, width) / 240)
    boxes: list[Box] = []
    for mark in marks:
        soft = _resize_mask(mark.mask, height, width)
        boxes.append(_blend(canvas, soft, mark, line))
    picture = Image.fromarray(canvas)
    scale = (width / frame.shape[1], height / frame.shape[0])
    for k, mark in enumerate(marks):
        if mark.prompt is not None:
            picture = _draw_prompt(picture, mark, scale, line)
            boxes[k] = _with_points(boxes[k], mark.prompt, scale, round(5 * line))
    _draw_labels(picture, marks, boxes)
    return np.asarray(picture)


def _resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width) bool; enlarged with smooth edges, made smaller by area."""
    if mask.shape == (height, width):
        return mask
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    factor = height / mask.shape[0]
    if factor > 1:
        picture = picture.filter(ImageFilter.GaussianBlur(0.8 * factor))
    return np.asarray(picture) > 127


def _blend(canvas: np.ndarray, mask: np.ndarray, mark: Mark, line: float) -> Box:
    """Fill and outline a mask in place; gives its box, all zero if there is nothing."""
    box = box_of_mask(mask)
    if box[2] == 0:
        return box
    height, width = mask.shape
    pad = int(2 * line) + 3
    x0, y0 = max(box[0] - pad, 0), max(box[1] - pad, 0)
    x1, y1 = min(box[2] + pad, width), min(box[3] + pad, height)
    inside = mask[y0:y1, x0:x1]
    distance = _edge_distance(inside, round(line) + 1)
    window = canvas[y0:y1, x0:x1].astype(np.float32)
    for colour, alpha in (
        (mark.colour, inside * np.float32(mark.fill)),
        (INK, 0.6 * np.clip(line / 2 + 1.75 - distance, 0, 1)),
        (mark.colour, np.clip(line / 2 + 0.5 - distance, 0, 1)),
    ):
        weight = (alpha * np.float32(mark.strength))[..., None]
        window += weight * (np.array(colour, np.float32) - window)
    canvas[y0:y1, x0:x1] = (window + 0.5).astype(np.uint8)
    return box


def _edge_distance(mask: np.ndarray, radius: int) -> np.ndarray:
    """(h, w) float32; about how many pixels each is from the mask's edge, right up to `radius`."""
    padded = Image.fromarray(np.pad(mask, radius, mode="edge").astype(np.uint8) * 255)
    soft = np.asarray(padded.filter(ImageFilter.BoxBlur(radius)), np.float32) / 255
    return np.abs(soft[radius:-radius, radius:-radius] - 0.5) * (2 * radius + 1)


def _draw_prompt(picture: Image.Image, mark: Mark, scale: tuple[float, float], line: float) -> Image.Image:
    """The picture with clicks, box or scribble drawn in; a mask shows itself by its outline."""
    drawn = picture.copy()
    draw = ImageDraw.Draw(drawn)
    prompt, thick = mark.prompt, max(2, round(line))
    assert prompt is not None, "asked for only where there is one"
    if prompt.box_xyxy is not None:
        x0, y0, x1, y1 = (v * scale[i % 2] for i, v in enumerate(prompt.box_xyxy))
        for colour, width in ((INK, thick + 2), (REGION_COLOUR, thick)):
            out = (width - thick) / 2
            corners = (x0 - out, y0 - out, max(x0, x1 - 1) + out, max(y0, y1 - 1) + out)
            draw.rectangle(corners, outline=colour, width=width)
    points = [] if prompt.points_xy is None else [(x * scale[0], y * scale[1]) for x, y in prompt.points_xy]
    if prompt.kind == "scribble":
        for colour, width in ((INK, thick * 2 + 2), (REGION_COLOUR, thick * 2)):
            if len(points) > 1:
                draw.line(points, fill=colour, width=width, joint="curve")
            for x, y in points:
                draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=colour)
    elif points:
        labels = prompt.point_labels if prompt.point_labels is not None else np.ones(len(points), int)
        for point, label in zip(points, labels, strict=True):
            _draw_click(draw, point, bool(label), 3.2 * line)
    return Image.blend(picture, drawn, mark.strength)


def _with_points(box: Box, prompt: RegionPrompt, scale: tuple[float, float], radius: int) -> Box:
    """The box grown to hold the points too, so that no label hides them."""
    if prompt.points_xy is None or box[2] == 0:
        return box
    points = np.asarray(prompt.points_xy) * scale
    x0, y0 = (int(v) - radius for v in points.min(0))
    x1, y1 = (int(v) + radius for v in points.max(0))
    return min(box[0], x0), min(box[1], y0), max(box[2], x1), max(box[3], y1)


def _draw_click(
    draw: ImageDraw.ImageDraw, point: tuple[float, float], is_inside: bool, radius: float
) -> None:
    """A disk with a plus or a minus in it."""
    x, y = point
    for colour, r in ((INK, radius + 2.5), (REGION_COLOUR, radius + 1.5), (CLICK_COLOURS[is_inside], radius)):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    arm, thick = 0.6 * radius, max(1, round(radius / 4))
    draw.line((x - arm, y, x + arm, y), fill=REGION_COLOUR, width=thick)
    if is_inside:
        draw.line((x, y - arm, x, y + arm), fill=REGION_COLOUR, width=thick)


@lru_cache(maxsize=16)
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font at a height in pixels."""
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow gives one whenever a size is asked for"
    return font


def ink_on(colour: Rgb) -> Rgb:
    """Black or white, whichever is read better on a colour (WCAG contrast)."""
    shares = [v / 255 for v in colour]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else (255, 255, 255)


def _draw_labels(picture: Image.Image, marks: Sequence[Mark], boxes: Sequence[Box]) -> None:
    """A label by each box, inside the picture, off other labels and, where there is room, off objects."""
    size = max(14, round(min(picture.size) / 27))
    taken: list[Box] = []
    for mark, box in zip(marks, boxes, strict=True):
        if box[2] == 0 or not mark.label or mark.strength < 0.35:
            continue
        text = shorten_text(mark.label, size, picture.width - size)
        place = _place_label(tag_size(text, size), box, picture.size, taken, boxes)
        taken.append(place)
        _draw_tag(ImageDraw.Draw(picture), place, text, mark.colour, size)


def _draw_tag(draw: ImageDraw.ImageDraw, place: Box, text: str, colour: Rgb, size: int) -> None:
    """Text on a rounded patch of its colour."""
    draw.rounded_rectangle(
        (place[0], place[1], place[2] - 1, place[3] - 1), size // 4, fill=colour, outline=INK, width=1
    )
    middle = (place[0] + size / 3, (place[1] + place[3]) / 2)
    draw.text(middle, text, fill=ink_on(colour), font=load_font(size), anchor="lm")


def tag_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a tag with this text."""
    return round(load_font(size).getlength(text) + size * 2 / 3), round(size * 1.35)


def shorten_text(text: str, size: int, room: float) -> str:
    """The text, cut with dots at its end where it is too long for the room."""
    if tag_size(text, size)[0] <= room:
        return text
    fitting = bisect.bisect_right(range(len(text)), room, key=lambda n: tag_size(text[:n] + "...", size)[0])
    return text[: max(fitting - 1, 0)].rstrip() + "..."


def _place_label(
    tag: tuple[int, int], box: Box, size: tuple[int, int], taken: Sequence[Box], boxes: Sequence[Box]
) -> Box:
    """Where to put a tag: the best of a few places about its box."""
    gap = 4
    left, middle = box[0], (box[0] + box[2] - tag[0]) // 2
    beside = (box[1] + box[3] - tag[1]) // 2
    above, below = box[1] - tag[1] - gap, box[3] + gap
    corners = [(middle, above), (middle, below), (box[2] + gap, beside), (left - tag[0] - gap, beside)]
    corners += [(left, above), (left, below)]
    corners += [(middle, above - k * (tag[1] + 2)) for k in (1, 2, 3)]
    corners += [(middle, below + k * (tag[1] + 2)) for k in (1, 2, 3)]
    corners += [(middle, box[1] + gap)]
    best, least = (0, 0, *tag), float("inf")
    for rank, (x, y) in enumerate(corners):
        x = max(0, min(x, size[0] - tag[0]))
        y = max(0, min(y, size[1] - tag[1]))
        place = (x, y, x + tag[0], y + tag[1])
        on_tags = sum(_overlap(place, other) for other in taken)
        on_objects = sum(_overlap(place, other) for other in boxes)
        cost = 10 * on_tags + on_objects + 0.02 * rank * tag[0] * tag[1]
        if cost < least:
            best, least = place, cost
    return best


def _overlap(one: Box, other: Box) -> int:
    """Pixels two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
