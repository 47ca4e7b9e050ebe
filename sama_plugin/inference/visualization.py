"""Pictures of answers: an overlay video, and a strip of a few frames under each question and answer.

In: a clip, answers with masks as RLE, the regions pointed at. Out: frames with translucent fills, outlines
and labels, one frame in memory at a time. An object keeps its colour through all answers; regions are white.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.encode import write_picture, write_video
from sama_plugin.media.frame_sampling import shown_frames
from sama_plugin.media.marks import (
    INK,
    OBJECT_FILL,
    REGION_COLOUR,
    Mark,
    Rgb,
    draw_marks,
    load_font,
    object_colour,
    shorten_text,
    without_article,
)
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.text_lines import FAINT_INK, PAPER, RULE, Word, draw_words, split_words, wrap_words
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region

REGION_FILL = 0.2
MIN_SIDE = 480
"""Videos with a shorter side below this are enlarged by a whole factor, so that labels are legible."""

MAX_FACTOR = 8
REGION_HOLD_S = 0.6
"""In the video a region stays, fading, this long after its frame: one frame alone nobody sees."""

STRIP_FRAMES = 6
TILE_SIDE = 320
STRIP_MARGIN, TILE_GAP = 28, 8
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 26, 21, 16


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
    write_picture(path, draw_strip(clip, answers, regions))


def enlargement(height: int, width: int) -> int:
    """Whole factor that makes a small frame's labels legible; 1 for a large one."""
    return max(1, min(MAX_FACTOR, -(-MIN_SIDE // min(height, width))))


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
    label = f"{thing.id} {without_article(thing.phrase)}".rstrip()
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
    room = width - 2 * STRIP_MARGIN - load_font(SMALL_SIZE).getlength(facts) - 30
    name = shorten_text(Path(clip.path).name, TITLE_SIZE, room)
    draw.text((STRIP_MARGIN, 36), name, fill=INK, font=load_font(TITLE_SIZE), anchor="lm", stroke_width=0.4)
    x = STRIP_MARGIN + load_font(TITLE_SIZE).getlength(name) + 18
    draw.text((x, 38), facts, fill=FAINT_INK, font=load_font(SMALL_SIZE), anchor="lm")
    return band


def _text_band(number: int, answer: GroundedAnswer, width: int) -> Image.Image:
    """Question and answer, wrapped; grounded phrases are underlined in their object's colour."""
    indent = STRIP_MARGIN + 44
    room = width - indent - STRIP_MARGIN
    question = wrap_words([(word, None) for word in answer.question.split()], TEXT_SIZE, room)
    said = wrap_words(_coloured_words(answer), TEXT_SIZE, room)
    step = round(TEXT_SIZE * 1.5)
    band = _blank(18 + step * (len(question) + len(said)) + 10, width)
    draw = ImageDraw.Draw(band)
    draw.line((STRIP_MARGIN, 4, width - STRIP_MARGIN, 4), fill=RULE, width=1)
    y = 18 + step // 2
    draw.text((STRIP_MARGIN, y), f"{number}", fill=FAINT_INK, font=load_font(TEXT_SIZE), anchor="lm")
    for is_question, lines in ((True, question), (False, said)):
        for line in lines:
            draw_words(draw, line, (indent, y), TEXT_SIZE, is_bold=is_question)
            y += step
    return band


def _coloured_words(answer: GroundedAnswer) -> list[Word]:
    """Words of the answer's text; those of a grounded phrase with the colour of its object."""
    colours: list[Rgb | None] = [None] * len(answer.text)
    place = 0
    for thing in answer.objects:
        found = answer.text.find(thing.phrase, place) if thing.phrase else -1
        if found >= 0:
            place = found + len(thing.phrase)
            colours[found:place] = [object_colour(thing.id)] * len(thing.phrase)
    return split_words(answer.text, colours) or [("(no words)", None)]


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
        draw.text((x, tile[0] + 14), words, fill=FAINT_INK, font=load_font(SMALL_SIZE), anchor="lm")
    return band


def _choose_frames(
    clip: VideoClip, objects: Sequence[GroundedObject], regions: Sequence[Region]
) -> list[int]:
    """Frames spread over the clip, some moved so that each region's frame and each object is seen."""
    seen = [[index for index, rle in enumerate(thing.rle) if rle is not None] for thing in objects]
    return shown_frames(clip.num_frames, STRIP_FRAMES, [region.frame for region in regions], seen)
