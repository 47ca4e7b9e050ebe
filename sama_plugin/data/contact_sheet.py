"""A sample as one picture: frames at the left, the dialogue and its objects at the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from sama_plugin.data.shown_dialogue import (
    Piece,
    Thing,
    answer_pieces,
    describe_thing,
    question_pieces,
    task_words,
)
from sama_plugin.data.shown_sample import TILE_SIDE, ShownSample, Tile, shown_columns
from sama_plugin.media.marks import INK, Rgb, load_font, shorten_text
from sama_plugin.media.text_lines import FAINT_INK, PAPER, RULE, Word, draw_words, split_words, wrap_words

GAP, CAPTION, MARGIN = 10, 24, 24
TEXT_WIDTH, TEXT_SIZE, SMALL_SIZE, TITLE_SIZE = 560, 19, 15, 23
STEP = round(TEXT_SIZE * 1.45)

MOST_TURNS = 24
"""Turns on a picture; the page has all."""


class Style(NamedTuple):
    """How a line of text looks."""

    size: int
    ink: Rgb
    is_bold: bool = False


QUESTION, ANSWER, NOTE = Style(TEXT_SIZE, INK, True), Style(TEXT_SIZE, INK), Style(SMALL_SIZE, FAINT_INK)


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
