"""Captions some of whose phrases have masks → a question for a caption, and an answer with `<p> phrase </p> [SEG]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.lazy_samples import LazyTracks, LeftOut
from sama_plugin.data.wordings import CAPTION_WITH_MASKS, pick
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_segmentation
from sama_plugin.schema import Sample, Turn

Span = tuple[int, int]
"""Start and end of a phrase in its caption, characters, half-open."""


@dataclass(frozen=True)
class GroundedPhrase:
    """A phrase of a caption.

    Attributes:
        span: where it stands.
        segmentation: of what it means, see `encode_segmentation`.
    """

    span: Span
    segmentation: Any


def locate(caption: str, phrase: str, taken: Collection[Span]) -> Span | None:
    """Where a phrase stands in a caption as whole words, whatever its case.

    Args:
        caption: text.
        phrase: to look for.
        taken: places that other phrases have; such a place is given only if there is no other.

    Returns:
        None if it does not stand there.
    """
    if not phrase.strip():
        return None
    pattern = rf"(?<!\w){re.escape(phrase.strip())}(?!\w)"
    found = [match.span() for match in re.finditer(pattern, caption, re.IGNORECASE)]
    return next((span for span in found if span not in taken), found[0] if found else None)


def caption_sample(
    sample_id: str,
    image: Path,
    caption: str,
    phrases: Sequence[GroundedPhrase],
    left_out: LeftOut,
    source: str,
) -> Sample | None:
    """A sample of one turn.

    Args:
        sample_id: unique within its source.
        image: the picture.
        caption: its text.
        phrases: those with masks; of equal spans the masks are joined, of overlapping ones the earlier ends where the
            later begins.
        left_out: told of spans outside the caption (`phrase-outside`), of such as nothing is left of
            (`phrase-overlap`), and of captions without a phrase that can be used (`caption-without-phrases`).
        source: name of the corpus.

    Source: GLaMM's grounded captions, official `gcg_process` (spec §6.4). Differs: a phrase is looked for as whole
        words; overlaps lose no character before the next phrase; parts of a mask are joined, not summed.
    """
    by_span: dict[Span, list[Any]] = {}
    for one in phrases:
        start, end = one.span
        if not 0 <= start < end <= len(caption) or not caption[start:end].strip():
            left_out.add("phrase-outside", f"{sample_id}, characters {start} to {end} of {len(caption)}")
        else:
            by_span.setdefault((start, end), []).append(one.segmentation)
    spans = _trimmed(
        sorted(by_span), caption, lambda span: left_out.add("phrase-overlap", f"{sample_id}, {span}")
    )
    if not spans:
        left_out.add("caption-without-phrases", sample_id)
        return None
    answer, masks = caption, {}
    for number, (span, (start, end)) in reversed(list(enumerate(spans))):
        phrase = f"{PHRASE_START} {caption[start:end]} {PHRASE_END} {SEG_TOKEN}"
        answer = answer[:start] + phrase + answer[end:]
        masks[f"{sample_id}/{number}"] = by_span[span]
    ids = list(reversed(masks))
    question = pick(CAPTION_WITH_MASKS, sample_id)
    turn = Turn(question, answer, (), tuple((i,) for i in ids), "grounding", "caption")
    return Sample(sample_id, str(image), (turn,), LazyTracks(ids, _loader(image, masks)), source)


def _trimmed(spans: list[Span], caption: str, drop: Callable[[Span], None]) -> list[tuple[Span, Span]]:
    """Each span with the words that are left of it, in order; spans of which nothing is left are dropped."""
    kept = []
    next_starts = [start for start, _ in spans[1:]] + [len(caption)]
    for span, next_start in zip(spans, next_starts, strict=False):
        text = caption[span[0] : min(span[1], next_start)]
        start = span[0] + len(text) - len(text.lstrip())
        if words := text.strip():
            kept.append((span, (start, start + len(words))))
        else:
            drop(span)
    return kept


def _loader(image: Path, masks: dict[str, list[Any]]) -> Callable[[str], list[Any]]:
    """Joins what a phrase means; outlines are in pixels of the picture, whose size only the picture itself tells."""

    def load(key: str) -> list[Any]:
        clip = VideoClip.open(image)
        parts = [encode_segmentation(one, clip.height, clip.width) for one in masks[key]]
        return [encode_segmentation([part for part in parts if part], clip.height, clip.width)]

    return load
