"""SAMA-239K records and mask dictionaries → `Sample`. The small world and SAMA-Bench have the same form.

Format: `sama_official.md` §6, restated in the README. Extra keys are tolerated; a round or description that breaks
a rule (`record_rules`) is left out, counted and said.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.constants import SEG_TOKEN
from sama_plugin.data.corpus import Corpus, open_corpus
from sama_plugin.data.defects import Defect, DefectError, format_counts
from sama_plugin.data.record_form import Round, dataset_of, frame_names, frame_step, strip_media_mark
from sama_plugin.data.record_rules import find_defects, kept_descriptions, kept_rounds
from sama_plugin.data.task_rules import infer_task
from sama_plugin.data.track_rules import join_parts
from sama_plugin.errors import DataError, MediaError
from sama_plugin.schema import Sample, Turn

logger = logging.getLogger(__name__)

INTERLEAVED_REQUEST = " Response with interleaved segmentation masks."
"""Ends questions of the published sets whose answer has masks, in training and benchmarks; others ask as they do."""

INTERLEAVED_MARK = "with interleaved segmentation masks."
CAPTION_QUESTION = "Please describe the region <mask> in the video in detail."
"""Of SAMA-Bench-C; training draws from 20 wordings there, from this one here."""

PARTS = ("either", "conversation", "description", "both")
"""What is made of a record: its conversation, else its descriptions; or only one of them; or a sample of each."""

ENDINGS = {"conversation": "", "description": "/description"}
"""Of sample ids."""


class Record(NamedTuple):
    """A sample and the record it came from, for what a benchmark keeps beside the dialogue."""

    sample: Sample
    raw: dict[str, Any]


def read_records(
    records: Path,
    masks: Path,
    video_root: Path,
    *,
    source: str = "sama239k",
    strict: bool = False,
    part: str = "either",
) -> Iterator[Record]:
    """Read every record of a file; see `open_corpus` and `read_corpus`."""
    corpus = open_corpus(records, masks, video_root, source)
    return read_corpus(corpus, strict=strict, part=part)


def read_corpus(
    corpus: Corpus,
    *,
    strict: bool = False,
    part: str = "either",
    allow: Collection[str] = (),
    report: Callable[[Defect], object] | None = None,
) -> Iterator[Record]:
    """Read every record of a corpus.

    Args:
        corpus: where they lie.
        strict: raise at the first defect.
        part: one of `PARTS`.
        allow: codes of defects that cost nothing here; the caller mends what they mean.
        report: is told of every other defect; without it their numbers by code are logged at the end.

    Yields:
        A record per sample, in file order.

    Raises:
        DefectError: with `strict`, the corpus, record index and what is wrong; always where a file cannot be used.
    """
    counts: Counter[str] = Counter()
    for index in range(len(corpus)):
        records, defects = make_samples(corpus, index, part=part, allow=allow)
        for defect in defects:
            if strict:
                raise DefectError(f"{corpus.path}, {defect}.", defect)
            (report or (lambda one: counts.update([one.code])))(defect)
        yield from records
    if counts:
        found = format_counts(counts)
        logger.warning("%s: defects left out: %s; `sama data check` says where.", corpus.path, found)


def make_samples(
    corpus: Corpus,
    index: int,
    *,
    part: str = "either",
    allow: Collection[str] = (),
) -> tuple[list[Record], list[Defect]]:
    """What is in one record: samples, and the defects that cost something or are to be reported.

    Raises:
        DefectError: a mask dictionary that cannot be used.
    """
    assert part in PARTS, f"part is {part!r}, expected one of {PARTS}"
    raw = corpus.record(index)
    found = find_defects(raw, functools.partial(corpus.track, raw))
    defects = [dataclasses.replace(defect, record=index) for defect in found if defect.code not in allow]
    kept = {one: turns_of(raw, defects, one) for one in parts_of(raw, part)}
    samples = [_sample(corpus, index, raw, ENDINGS[one], turns) for one, turns in kept.items() if turns]
    return [Record(sample, raw) for sample in samples], defects


def parts_of(raw: Any, part: str) -> tuple[str, ...]:
    """Which of conversation and description are made of a record, where `part` of `PARTS` is wanted."""
    if part == "either":
        return ("conversation" if has_conversation(raw) else "description",)
    return ("conversation", "description") if part == "both" else (part,)


def has_conversation(raw: Any) -> bool:
    """Whether there is one, be it broken or not."""
    return isinstance(raw, dict) and bool(raw.get("conversation"))


def turns_of(raw: Any, defects: list[Defect], one: str) -> list[Turn]:
    """Turns of the conversation or of the description that no defect of the record costs.

    Args:
        raw: the record.
        defects: of it.
        one: `conversation` or `description`.
    """
    if one == "description":
        return _description_turns(raw, defects)
    turns, shown = [], set[str]()
    for kept in kept_rounds(raw, defects):
        turns.append(_conversation_turn(raw, kept, shown))
        shown.update(i for ids in kept.targets for i in ids)
    return turns


def _conversation_turn(raw: Mapping[str, Any], one: Round, shown: set[str]) -> Turn:
    question = strip_media_mark(one.question)
    is_published = dataset_of(raw) is not None
    if is_published and SEG_TOKEN in one.answer and INTERLEAVED_MARK not in question:
        question += INTERLEAVED_REQUEST
    details = raw["turns"][one.index] if raw.get("turns") else {}
    back = not shown.isdisjoint(one.regions)
    span = details.get("span")
    return Turn(
        question=question,
        answer=one.answer,
        region_ids=tuple(one.regions),
        target_ids=tuple(tuple(ids) for ids in one.targets if ids),
        task=details.get("task")
        or infer_task(question, one.answer, is_later=one.index > 0, points_back=back),
        kind=details.get("kind", ""),
        span=tuple(span) if span else None,
    )


def _description_turns(raw: Mapping[str, Any], defects: list[Defect]) -> list[Turn]:
    return [
        Turn(CAPTION_QUESTION, text, (mask_id,), (), task="referring", kind="description")
        for mask_id, text in kept_descriptions(raw, defects).values()
    ]


def _sample(corpus: Corpus, index: int, raw: Mapping[str, Any], ending: str, turns: list[Turn]) -> Sample:
    used = dict.fromkeys(i for turn in turns for i in turn.mask_ids)
    sample_id = f"{raw.get('video_id', raw['video'])}/{index}{ending}"
    try:
        masks = {i: join_parts(corpus.track(raw, i) or []) for i in used}
    except MediaError as error:
        raise DataError(f"{corpus.path}, record {index}: {error}") from error
    return Sample(
        sample_id=sample_id,
        video_path=str(corpus.media(raw)),
        turns=tuple(turns),
        masks=masks,
        source=corpus.name,
        frame_names=frame_names(raw),
        frame_step=frame_step(raw),
    )
