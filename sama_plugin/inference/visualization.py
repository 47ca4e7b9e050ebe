"""Pictures of answers: an overlay video, and a strip of a few frames under each question and answer.

In: a clip, answers with masks as RLE, the regions pointed at. Out: frames with translucent fills, outlines
and labels, one frame in memory at a time. An object keeps its colour through all answers; regions are white.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from tqdm import tqdm

from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_video
from sama_plugin.media.masks import box_of_mask, decode_mask
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region, RegionPrompt

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

INK, FAINT_INK, PAPER, RULE = (28, 30, 34), (112, 117, 126), (255, 255, 255), (225, 227, 231)

ARTICLES = ("a", "an", "the")
"""Left out of labels, to keep them short."""

OBJECT_FILL, REGION_FILL = 0.36, 0.2
MIN_SIDE = 480
"""Videos with a shorter side below this are enlarged by a whole factor, so that labels are legible."""

MAX_FACTOR = 8
REGION_HOLD_S = 0.6
"""In the video a region stays, fading, this long after its frame: one frame alone nobody sees."""

STRIP_FRAMES = 6
TILE_SIDE = 320
STRIP_MARGIN, TILE_GAP = 28, 8
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 26, 21, 16


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


def write_overlay(
    path: str | Path,
    clip: VideoClip,
    answers: Sequence[GroundedAnswer],
    regions: Iterable[Region] = (),
    *,
    progress: bool = False,
) -> None:
    """Write the clip with all objects of all answers drawn in, as an H.264 mp4.

    Args:
        path: the mp4.
        clip: the video.
        answers: their objects have one RLE or None per frame of the clip.
        regions: shown on their frame, fading out after it.
        progress: whether to show a bar, on a terminal.

    Raises:
        MediaError: masks that do not fit the clip, or the disk refuses.
    """
    objects = [thing for answer in answers for thing in answer.objects]
    _check_tracks(clip, objects)
    frames = _overlay_frames(clip, objects, list(regions))
    disable = None if progress else True  # None: off where stderr is no terminal
    bar = tqdm(frames, desc="overlay", total=clip.num_frames, unit="frame", leave=False, disable=disable)
    write_video(path, bar, clip.fps)


def write_strip(
    path: str | Path, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Iterable[Region] = ()
) -> None:
    """Write `draw_strip` as a PNG, whole or not at all.

    Raises:
        MediaError: masks that do not fit the clip, or the disk refuses.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.part")
    try:
        Image.fromarray(draw_strip(clip, answers, regions)).save(part, format="PNG")
        part.replace(target)
    except OSError as error:
        raise MediaError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def enlargement(height: int, width: int) -> int:
    """Whole factor that makes a small frame's labels legible; 1 for a large one."""
    return max(1, min(MAX_FACTOR, -(-MIN_SIDE // min(height, width))))


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


def _overlay_frames(
    clip: VideoClip, objects: Sequence[GroundedObject], regions: Sequence[Region]
) -> Iterator[np.ndarray]:
    """Every frame of the overlay video, in order."""
    factor = enlargement(clip.height, clip.width)
    size = (clip.height * factor, clip.width * factor)
    hold = max(1, round(REGION_HOLD_S * clip.fps))
    for index, frame in clip.iter_frames():
        marks = [mark for thing in objects for mark in _object_marks(thing, index)]
        marks += [
            _region_mark(region, strength=1 - (index - region.frame) / hold)
            for region in regions
            if region.frame <= index < region.frame + hold
        ]
        yield draw_marks(frame, marks, size)


def _object_marks(thing: GroundedObject, index: int, fill: float = OBJECT_FILL) -> list[Mark]:
    """The object's mark on a frame; none where it is absent."""
    rle = thing.rle[index]
    if rle is None:
        return []
    words = thing.phrase.split()
    if words[1:] and words[0].lower() in ARTICLES:
        del words[0]
    label = " ".join([thing.id, *words])
    return [Mark(label, object_colour(thing.id), decode_mask(rle), fill)]


def _region_mark(region: Region, strength: float = 1.0) -> Mark:
    return Mark(region.name, REGION_COLOUR, region.mask, REGION_FILL, region.prompt, strength)


def _check_tracks(clip: VideoClip, objects: Sequence[GroundedObject]) -> None:
    for thing in objects:
        sizes = {tuple(rle["size"]) for rle in thing.rle if rle is not None}
        if len(thing.rle) != clip.num_frames or sizes - {(clip.height, clip.width)}:
            raise MediaError(
                f"Object '{thing.id}' has masks for {len(thing.rle)} frames of size {sorted(sizes)}, but "
                f"'{clip.path}' has {clip.num_frames} frames of {clip.height}x{clip.width}; was it another "
                "video?"
            )


# Masks.


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


# What a region was pointed with.


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


# Labels.


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow gives one whenever a size is asked for"
    return font


def _ink_on(colour: Rgb) -> Rgb:
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
        text = _shorten(mark.label, size, picture.width - size)
        place = _place_label(_text_size(text, size), box, picture.size, taken, boxes)
        taken.append(place)
        _draw_tag(ImageDraw.Draw(picture), place, text, mark.colour, size)


def _draw_tag(draw: ImageDraw.ImageDraw, place: Box, text: str, colour: Rgb, size: int) -> None:
    """Text on a rounded patch of its colour."""
    draw.rounded_rectangle(
        (place[0], place[1], place[2] - 1, place[3] - 1), size // 4, fill=colour, outline=INK, width=1
    )
    middle = (place[0] + size / 3, (place[1] + place[3]) / 2)
    draw.text(middle, text, fill=_ink_on(colour), font=_font(size), anchor="lm")


def _text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a tag with this text."""
    return round(_font(size).getlength(text) + size * 2 / 3), round(size * 1.35)


def _shorten(text: str, size: int, room: float) -> str:
    """The text, cut with dots at its end where it is too long for the room."""
    if _text_size(text, size)[0] <= room:
        return text
    while text and _text_size(text + "...", size)[0] > room:
        text = text[:-1]
    return text.rstrip() + "..."


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


# The strip.


def draw_strip(
    clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Iterable[Region] = ()
) -> np.ndarray:
    """Draw a conversation: question and answer of each turn, and frames for turns with objects or regions.

    Args:
        clip: the video.
        answers: the turns.
        regions: a turn shows those its question means.

    Returns:
        (height, width, 3) uint8 RGB; the width depends on the clip's shape and length only.

    Raises:
        MediaError: masks that do not fit the clip.
    """
    objects = {thing.id: thing for answer in answers for thing in answer.objects}
    _check_tracks(clip, list(objects.values()))
    named = {region.name: region for region in regions}
    tile = _tile_size(clip)
    count = min(STRIP_FRAMES, clip.num_frames)
    width = 2 * STRIP_MARGIN + max(count * (tile[1] + TILE_GAP) - TILE_GAP, 2 * TILE_SIDE)
    bands = [_title_band(clip, width)]
    for number, answer in enumerate(answers, start=1):
        bands.append(_text_band(number, answer, width))
        names = PLACEHOLDER.findall(answer.question)
        meant = [named[name] for name in dict.fromkeys(names) if name in named]
        earlier = [objects[name] for name in dict.fromkeys(names) if name in objects]
        if meant or earlier or answer.objects:
            bands.append(_frames_band(clip, list(answer.objects), meant, earlier, tile, width))
    bands.append(_blank(10, width))
    return np.concatenate([np.asarray(band) for band in bands])


def _tile_size(clip: VideoClip) -> tuple[int, int]:
    """(height, width) of one frame in the strip."""
    scale = min(TILE_SIDE / clip.width, TILE_SIDE / clip.height)
    return max(1, round(clip.height * scale)), max(1, round(clip.width * scale))


def _blank(height: int, width: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def _title_band(clip: VideoClip, width: int) -> Image.Image:
    """Name, length and size of the clip."""
    band = _blank(64, width)
    draw = ImageDraw.Draw(band)
    facts = f"{clip.num_frames} frames, {clip.width} x {clip.height}, {clip.duration_s:.1f} s"
    room = width - 2 * STRIP_MARGIN - _font(SMALL_SIZE).getlength(facts) - 30
    name = _shorten(Path(clip.path).name, TITLE_SIZE, room)
    draw.text((STRIP_MARGIN, 36), name, fill=INK, font=_font(TITLE_SIZE), anchor="lm", stroke_width=0.4)
    x = STRIP_MARGIN + _font(TITLE_SIZE).getlength(name) + 18
    draw.text((x, 38), facts, fill=FAINT_INK, font=_font(SMALL_SIZE), anchor="lm")
    return band


def _text_band(number: int, answer: GroundedAnswer, width: int) -> Image.Image:
    """Question and answer, wrapped; grounded phrases are underlined in their object's colour."""
    indent = STRIP_MARGIN + 44
    room = width - indent - STRIP_MARGIN
    question = _wrap([(word, None) for word in answer.question.split()], room)
    said = _wrap(_coloured_words(answer), room)
    step = round(TEXT_SIZE * 1.5)
    band = _blank(18 + step * (len(question) + len(said)) + 10, width)
    draw = ImageDraw.Draw(band)
    draw.line((STRIP_MARGIN, 4, width - STRIP_MARGIN, 4), fill=RULE, width=1)
    y = 18 + step // 2
    draw.text((STRIP_MARGIN, y), f"{number}", fill=FAINT_INK, font=_font(TEXT_SIZE), anchor="lm")
    for is_question, lines in ((True, question), (False, said)):
        for line in lines:
            _draw_line_of_text(draw, line, (indent, y), is_question)
            y += step
    return band


def _draw_line_of_text(
    draw: ImageDraw.ImageDraw, line: Sequence[tuple[str, Rgb | None]], at: tuple[float, float], is_bold: bool
) -> None:
    font, (x, y) = _font(TEXT_SIZE), at
    space = font.getlength(" ")
    for k, (word, colour) in enumerate(line):
        length = font.getlength(word)
        if colour is not None:
            joins = k + 1 < len(line) and line[k + 1][1] == colour
            end = x + length + (space if joins else 0)
            draw.rectangle((x, y + TEXT_SIZE * 0.52, end, y + TEXT_SIZE * 0.52 + 4), fill=colour)
        draw.text((x, y), word, fill=INK, font=font, anchor="lm", stroke_width=0.5 if is_bold else 0)
        x += length + space


def _coloured_words(answer: GroundedAnswer) -> list[tuple[str, Rgb | None]]:
    """Words of the answer's text; those of a grounded phrase with the colour of its object."""
    colours: list[Rgb | None] = [None] * len(answer.text)
    place = 0
    for thing in answer.objects:
        found = answer.text.find(thing.phrase, place) if thing.phrase else -1
        if found >= 0:
            place = found + len(thing.phrase)
            colours[found:place] = [object_colour(thing.id)] * len(thing.phrase)
    words: list[tuple[str, Rgb | None]] = []
    place = 0
    for word in answer.text.split():
        place = answer.text.index(word, place)
        words.append((word, colours[place]))
        place += len(word)
    return words or [("(no words)", None)]


def _wrap(words: Sequence[tuple[str, Rgb | None]], room: float) -> list[list[tuple[str, Rgb | None]]]:
    """Words in lines that fit; a word longer than a line is shortened."""
    font = _font(TEXT_SIZE)
    lines: list[list[tuple[str, Rgb | None]]] = [[]]
    used = 0.0
    for word, colour in words:
        word = _shorten(word, TEXT_SIZE, room)
        length = font.getlength(word + " ")
        if lines[-1] and used + length > room:
            lines.append([])
            used = 0.0
        lines[-1].append((word, colour))
        used += length
    return lines


def _frames_band(
    clip: VideoClip,
    objects: Sequence[GroundedObject],
    regions: Sequence[Region],
    earlier: Sequence[GroundedObject],
    tile: tuple[int, int],
    width: int,
) -> Image.Image:
    """Frames of a turn: its own objects filled, objects of earlier answers it means as outlines."""
    caption = 26
    band = _blank(tile[0] + caption + 12, width)
    draw = ImageDraw.Draw(band)
    for k, index in enumerate(_choose_frames(clip, objects, regions)):
        marks = [mark for thing in earlier for mark in _object_marks(thing, index, fill=0.0)]
        marks += [mark for thing in objects for mark in _object_marks(thing, index)]
        marks += [_region_mark(region) for region in regions if region.frame == index]
        x = STRIP_MARGIN + k * (tile[1] + TILE_GAP)
        band.paste(Image.fromarray(draw_marks(clip.read([index])[0], marks, tile)), (x, 0))
        words = f"frame {index}, {clip.time_of(index):.2f} s"
        draw.text((x, tile[0] + 14), words, fill=FAINT_INK, font=_font(SMALL_SIZE), anchor="lm")
    return band


def _choose_frames(
    clip: VideoClip, objects: Sequence[GroundedObject], regions: Sequence[Region]
) -> list[int]:
    """Frames spread over the clip, some moved so that each region's frame and each object is seen."""
    count = min(STRIP_FRAMES, clip.num_frames)
    spread = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
    frames = dict(enumerate(spread.tolist()))  # slot -> frame
    fixed: set[int] = set()

    def show(index: int) -> None:
        free = [slot for slot in frames if slot not in fixed]
        if free and index not in frames.values():
            frames[min(free, key=lambda slot: abs(frames[slot] - index))] = index
        fixed.update(slot for slot, frame in frames.items() if frame == index)

    for region in regions:
        show(region.frame)
    for thing in objects:
        seen = [index for index, rle in enumerate(thing.rle) if rle is not None]
        if seen and not set(seen).intersection(frames.values()):
            show(seen[len(seen) // 2])
    return sorted(frames.values())
