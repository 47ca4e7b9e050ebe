"""A sample as a picture: frames of its video with regions and masks drawn in, and the dialogue beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from sama_plugin.data.shown_dialogue import Piece, Thing, answer_pieces, list_things, question_pieces
from sama_plugin.errors import MediaError
from sama_plugin.media.frame_sampling import shown_frames
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.marks import INK, Mark, Rgb, draw_marks, load_font, shorten_text
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.text_lines import FAINT_INK, PAPER, RULE, Word, draw_words, split_words, wrap_words
from sama_plugin.schema import Rle, Sample, Turn

TILE_SIDE, GAP, CAPTION, MARGIN = 360, 10, 24, 24
TEXT_WIDTH, TEXT_SIZE, SMALL_SIZE, TITLE_SIZE = 560, 19, 15, 23
STEP = round(TEXT_SIZE * 1.45)

FILL = 0.22
"""Opacity of masks: less than in pictures of answers, so that the colours of the video can be judged."""

BLANK = 128
"""Level of grey of frames of a video that cannot be read."""

MOST_PIXELS = 1 << 26
"""Of a mask that is drawn without its video; larger ones are hardly meant."""

MOST_THINGS = 16
"""Objects that are drawn, at most; with more nothing could be told apart."""

MOST_TURNS = 24
"""Turns on a picture; the page has all."""


class Style(NamedTuple):
    """How a line of text looks."""

    size: int
    ink: Rgb
    is_bold: bool = False


QUESTION, ANSWER, NOTE = Style(TEXT_SIZE, INK, True), Style(TEXT_SIZE, INK), Style(SMALL_SIZE, FAINT_INK)


class Tile(NamedTuple):
    """A frame to be looked at.

    Attributes:
        picture: (height, width, 3) uint8 RGB, equal in size for all of a sample.
        caption: number and time of the frame.
        labels: of the objects that are drawn on it.
    """

    picture: np.ndarray
    caption: str
    labels: list[str]


@dataclass
class ShownSample:
    """A sample made ready to be looked at.

    Attributes:
        sample: the dialogue.
        things: its objects by mask id.
        tiles: frames with objects drawn in; on grey where the video cannot be read, none without a video.
        facts: of the clip, such as its length; empty if it cannot be read.
        faults: what could not be shown, and why.
    """

    sample: Sample
    things: dict[str, Thing]
    tiles: list[Tile] = field(default_factory=list)
    facts: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def drawn(self) -> list[Thing]:
        """The objects that are on the frames."""
        return list(self.things.values())[:MOST_THINGS]

    @property
    def notes(self) -> list[str]:
        """What a viewer has to know: what is not drawn, and the faults."""
        left_out = len(self.things) - len(self.drawn)
        return [*([f"{left_out} more objects are not drawn."] if left_out else []), *self.faults]


def show_sample(
    sample: Sample, num_frames: int, descriptions: Mapping[str, str] | None = None
) -> ShownSample:
    """Read frames of a sample and draw its objects in; what cannot be read is a fault, not an error.

    Args:
        sample: any; one without a video has no picture, one whose video cannot be read shows its masks on grey.
        num_frames: frames at most, spread over the clip, each object on one of them if there is room.
        descriptions: mask id → what the record says of the object.
    """
    shown = ShownSample(sample, list_things(sample, descriptions or {}))
    if not sample.video_path:
        return shown
    try:
        clip = open_sample_clip(sample)
        shown.facts = f"{clip.num_frames} frames, {clip.width} x {clip.height}, {clip.duration_s:.1f} s"
        frames = _choose_frames(shown, clip.num_frames, num_frames)
        pictures = clip.read(frames)
        captions = [f"frame {index}, {clip.time_of(index):.2f} s" for index in frames]
        shown.tiles = _draw_tiles(shown, clip.num_frames, frames, pictures, captions)
    except MediaError as error:
        shown.faults.append(str(error))
        shown.tiles = _draw_masks_alone(shown, num_frames)
    return shown


def _choose_frames(shown: ShownSample, length: int, num_frames: int) -> list[int]:
    seen = [[index for index in thing.seen if index < length] for thing in shown.drawn]
    return shown_frames(length, num_frames, [], seen)


def _draw_masks_alone(shown: ShownSample, num_frames: int) -> list[Tile]:
    """The masks on grey, as large and as many as those of the first object that is ever visible."""
    track = next((thing.track for thing in shown.drawn if thing.seen), [])
    height, width = next((rle["size"] for rle in track if rle is not None), (0, 0))
    if not 0 < height * width <= MOST_PIXELS:
        return []
    frames = _choose_frames(shown, len(track), num_frames)
    blank = np.full((height, width, 3), BLANK, dtype=np.uint8)
    captions = [f"masks of frame {index}, no video" for index in frames]
    return _draw_tiles(shown, len(track), frames, [blank] * len(frames), captions)


def _draw_tiles(
    shown: ShownSample,
    length: int,
    frames: Sequence[int],
    pictures: Iterable[np.ndarray],
    captions: Sequence[str],
) -> list[Tile]:
    """Frames of a clip of some length with what is on them, in a size to look at."""
    tiles: list[Tile] = []
    tracks: dict[str, Sequence[Rle | None]] = {}
    for index, frame, caption in zip(frames, pictures, captions, strict=True):
        height, width = frame.shape[:2]
        if not tiles:
            tracks = _fitting_tracks(shown, length, (height, width))
        scale = min(TILE_SIDE / width, TILE_SIDE / height)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        marks = _marks_of(shown, tracks, index)
        tiles.append(Tile(draw_marks(frame, marks, size), caption, [mark.label for mark in marks]))
    return tiles


def _fitting_tracks(
    shown: ShownSample, length: int, size: tuple[int, int]
) -> dict[str, Sequence[Rle | None]]:
    """Mask id → track, of the objects whose masks are of a clip of this length and size; the others are faults."""
    tracks: dict[str, Sequence[Rle | None]] = {}
    for thing in shown.drawn:
        sizes = {tuple(rle["size"]) for rle in thing.track if rle is not None} - {size}
        if len(thing.track) != length:
            shown.faults.append(f"object {thing.number} has {len(thing.track)} masks for {length} frames")
        elif sizes:
            shown.faults.append(
                f"masks of object {thing.number} are of size {sorted(sizes)}, frames of {size}"
            )
        else:
            tracks[thing.mask_id] = thing.track
    return tracks


def _marks_of(shown: ShownSample, tracks: Mapping[str, Sequence[Rle | None]], index: int) -> list[Mark]:
    """What is drawn on a frame: objects that are only pointed at as outlines, the others filled."""
    marks = []
    for thing in shown.drawn:
        rle = tracks[thing.mask_id][index] if thing.mask_id in tracks else None
        if rle is None:
            continue
        try:
            mask = decode_mask(rle)
        except MediaError as error:
            shown.faults.append(f"object {thing.number}, frame {index}: {error}")
            continue
        marks.append(Mark(thing.label, thing.colour, mask, FILL if thing.is_shown else 0.0))
    return marks


def draw_sheet(shown: ShownSample) -> np.ndarray:
    """Draw a sample: title, frames at the left, dialogue at the right, objects below it.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    side = _text_column(shown)
    frames = _join_tiles(shown.tiles) if shown.tiles else _no_frames(shown)
    head = 62
    width = MARGIN + frames.width + MARGIN + TEXT_WIDTH + MARGIN
    sheet = Image.new("RGB", (width, head + max(frames.height, side.height) + MARGIN), PAPER)
    _draw_title(ImageDraw.Draw(sheet), shown, width)
    sheet.paste(frames, (MARGIN, head))
    sheet.paste(side, (MARGIN + frames.width + MARGIN, head))
    return np.asarray(sheet)


def _join_tiles(tiles: Sequence[Tile]) -> Image.Image:
    """Frames in rows, each with its caption below it."""
    height, width = tiles[0].picture.shape[:2]
    columns = min(shown_columns(tiles), len(tiles))
    rows = -(-len(tiles) // columns)
    size = (columns * (width + GAP) - GAP, rows * (height + CAPTION + GAP) - GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, tile in enumerate(tiles):
        x, y = place % columns * (width + GAP), place // columns * (height + CAPTION + GAP)
        sheet.paste(Image.fromarray(tile.picture), (x, y))
        caption = (x, y + height + 13)
        draw.text(caption, tile.caption, fill=FAINT_INK, font=load_font(SMALL_SIZE), anchor="lm")
    return sheet


def shown_columns(tiles: Sequence[Tile]) -> int:
    """Frames beside each other: three upright ones, or two."""
    height, width = tiles[0].picture.shape[:2]
    return 3 if height > width else 2


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Write a PNG or JPEG, by its ending; whole or not at all.

    Raises:
        MediaError: the disk refuses.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        Image.fromarray(picture).save(partial, quality=88)
        partial.replace(path)
    except OSError as error:
        raise MediaError(f"Cannot write '{path}': {error.strerror or error}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _draw_title(draw: ImageDraw.ImageDraw, shown: ShownSample, width: int) -> None:
    """The sample's id, and what is known of its clip."""
    facts_font = load_font(SMALL_SIZE)
    room = width - 2 * MARGIN - facts_font.getlength(shown.facts) - 24
    name = shorten_text(shown.sample.sample_id, TITLE_SIZE, room)
    draw.text((MARGIN, 32), name, fill=INK, font=load_font(TITLE_SIZE), anchor="lm", stroke_width=0.4)
    x = MARGIN + load_font(TITLE_SIZE).getlength(name) + 16
    draw.text((x, 34), shown.facts, fill=FAINT_INK, font=facts_font, anchor="lm")


def _no_frames(shown: ShownSample) -> Image.Image:
    """In place of frames: why there are none."""
    words = [(word, None) for word in (" ".join(shown.faults) or "No video: text alone.").split()]
    lines = wrap_words(words, SMALL_SIZE, TILE_SIDE)
    box = Image.new("RGB", (TILE_SIDE, STEP * len(lines)), PAPER)
    for k, line in enumerate(lines):
        draw_words(ImageDraw.Draw(box), line, (0, STEP * (k + 0.5)), SMALL_SIZE)
    return box


def _text_column(shown: ShownSample) -> Image.Image:
    """Questions, answers and the list of objects, as high as it needs."""
    rows: list[tuple[Style, list[Word]]] = []
    turns = shown.sample.turns
    for number, turn in enumerate(turns[:MOST_TURNS], start=1):
        rows += _wrapped(f"{number} · {task_words(turn)}", NOTE)
        for style, pieces in ((QUESTION, question_pieces(turn)), (ANSWER, answer_pieces(turn))):
            lines = wrap_words(_words_of(pieces, shown.things), style.size, TEXT_WIDTH)
            rows += [(style, line) for line in lines]
        rows.append((NOTE, []))
    if len(turns) > MOST_TURNS:
        rows += _wrapped(f"... and {len(turns) - MOST_TURNS} more turns", NOTE)
    for thing in shown.drawn:
        words: list[Word] = [(f"[{thing.number}]", thing.colour)]
        words += [(word, None) for word in describe_thing(thing).split()]
        rows += [(NOTE, line) for line in wrap_words(words, NOTE.size, TEXT_WIDTH)]
    for note in shown.notes:
        rows += _wrapped(note, NOTE)
    return _draw_rows(rows)


def _wrapped(text: str, style: Style) -> list[tuple[Style, list[Word]]]:
    words: list[Word] = [(word, None) for word in text.split()]
    return [(style, line) for line in wrap_words(words, style.size, TEXT_WIDTH)]


def _draw_rows(rows: Sequence[tuple[Style, list[Word]]]) -> Image.Image:
    """Lines of text; an empty one is a rule."""
    column = Image.new("RGB", (TEXT_WIDTH, STEP * len(rows) + 8), PAPER)
    draw = ImageDraw.Draw(column)
    for k, (style, line) in enumerate(rows):
        y = STEP * (k + 0.5)
        if line:
            draw_words(draw, line, (0, y), style.size, ink=style.ink, is_bold=style.is_bold)
        else:
            draw.line((0, y, TEXT_WIDTH, y), fill=RULE, width=1)
    return column


def _words_of(pieces: Sequence[Piece], things: Mapping[str, Thing]) -> list[Word]:
    """Words of a question or answer; marks are numbers in brackets."""
    text, colours = "", list[Rgb | None]()
    for piece in pieces:
        if piece.role != "mark":
            parts = [(piece.text, things[piece.ids[0]].colour if piece.ids else None)]
        else:
            parts = [(f"[{things[i].number}]", things[i].colour) for i in piece.ids] or [("[none]", None)]
        for words, colour in parts:
            text += words
            colours += [colour] * len(words)
    return split_words(text, colours)


def task_words(turn: Turn) -> str:
    """Task and kind of a turn."""
    return f"{turn.task}, {turn.kind}" if turn.kind else turn.task


def describe_thing(thing: Thing) -> str:
    """What the record says of an object, and what its masks are, in a few words."""
    roles = (("pointed at", thing.is_pointed_at), ("in an answer", thing.is_shown))
    seen = f"on {len(thing.seen)} of {len(thing.track)} frames"
    facts = ", ".join([f"mask {thing.mask_id}", *(words for words, holds in roles if holds), seen])
    return f"{thing.description} ({facts})" if thing.description else facts
