"""Text in pictures: words in lines that fit, some of them underlined in a colour."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import ImageDraw

from sama_plugin.media.marks import INK, Rgb, load_font, shorten_text

FAINT_INK, PAPER, RULE = (112, 117, 126), (255, 255, 255), (225, 227, 231)

Word = tuple[str, Rgb | None]
"""A word, and the colour of the line under it."""


def split_words(text: str, colours: Sequence[Rgb | None]) -> list[Word]:
    """Words of a text, each in the colour of its first letter.

    Args:
        text: with blanks between words.
        colours: one per letter.
    """
    words: list[Word] = []
    place = 0
    for word in text.split():
        place = text.index(word, place)
        words.append((word, colours[place]))
        place += len(word)
    return words


def wrap_words(words: Sequence[Word], size: int, room: float) -> list[list[Word]]:
    """Words in lines that fit; a word longer than a line is shortened.

    Args:
        words: at least one line comes back, empty if there are none.
        size: height of the letters, pixels.
        room: length of a line, pixels.
    """
    font = load_font(size)
    lines: list[list[Word]] = [[]]
    used = 0.0
    for word, colour in words:
        word = shorten_text(word, size, room)
        length = font.getlength(word + " ")
        if lines[-1] and used + length > room:
            lines.append([])
            used = 0.0
        lines[-1].append((word, colour))
        used += length
    return lines


def draw_words(
    draw: ImageDraw.ImageDraw,
    line: Sequence[Word],
    at: tuple[float, float],
    size: int,
    *,
    ink: Rgb = INK,
    is_bold: bool = False,
) -> None:
    """Draw a line of text; words of one colour have one line under them.

    Args:
        draw: of the picture.
        line: its words.
        at: its left end and middle, pixels.
        size: height of the letters, pixels.
        ink: of the letters.
        is_bold: whether to draw it a little thicker.
    """
    font, (x, y) = load_font(size), at
    space = font.getlength(" ")
    for k, (word, colour) in enumerate(line):
        length = font.getlength(word)
        if colour is not None:
            joins = k + 1 < len(line) and line[k + 1][1] == colour
            end = x + length + (space if joins else 0)
            draw.rectangle((x, y + size * 0.52, end, y + size * 0.52 + 4), fill=colour)
        draw.text((x, y), word, fill=ink, font=font, anchor="lm", stroke_width=0.5 if is_bold else 0)
        x += length + space
