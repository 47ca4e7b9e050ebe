"""mIoU, recall and precision of SAMA-Bench: per question, then per video, then the mean over videos.

A question is scored as soon as it is answered and its masks can be let go: memory does not grow with the benchmark.
Both variants come from one pass; see `volume_overlap` for what tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sama_plugin.constants import SEG_TOKEN
from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.caption_text import official_phrases_of
from sama_plugin.evaluation.metrics.phrase_similarity import PhraseSimilarity
from sama_plugin.evaluation.metrics.volume_overlap import (
    RecallCounts,
    count_found,
    iou_matrix,
    mean_iou,
    official_count_found,
    official_mean_iou,
)
from sama_plugin.prompting.answer_parsing import parse_answer

CORRECTED, OFFICIAL = "corrected", "official"
VARIANTS = (CORRECTED, OFFICIAL)
OFFICIAL_VIDEOS = "VidSTG"
"""The release's final script for Bench-G averages only videos with this in their name."""


@dataclass(frozen=True)
class GroundedText:
    """An answer and its masks.

    Attributes:
        text: with its marks.
        tracks: (T, H, W) bool for each `[SEG]`, in order; in a ground truth also None for an empty entry of the
            record, which has no `[SEG]`: the official variant counts it as an object without pixels.
    """

    text: str
    tracks: Sequence[np.ndarray | None]


class VariantScores(NamedTuple):
    """One question in one variant."""

    mean_iou: float | None
    counts: RecallCounts


@dataclass(frozen=True)
class QuestionScores:
    """One question in both variants.

    Attributes:
        corrected: misses and false alarms count.
        official: as the SAMA release has it.
        faults: `masks_without_phrase` and `phrases_without_mask` of the prediction, where there are any.
    """

    corrected: VariantScores
    official: VariantScores
    faults: Mapping[str, int] = field(default_factory=dict)


def score_question(truth: GroundedText, given: GroundedText, similarity: PhraseSimilarity) -> QuestionScores:
    """Score the masks and phrases of one answer.

    A phrase belongs to the `[SEG]` after it. Masks beyond the answer's `[SEG]` have an empty phrase, and are not
    found; `[SEG]` beyond its masks are no objects. Both are counted.

    Args:
        truth: what the answer should be.
        given: the answer; its tracks have the shape of the true ones, see `faults.fit_track`.
        similarity: of phrases.

    Raises:
        DataError: the ground truth has another number of masks than of `[SEG]`.
        MediaError: tracks that cannot be compared.
        HostError: scipy is missing.
    """
    wanted = [track for track in truth.tracks if track is not None]
    tracks = [track for track in given.tracks if track is not None]
    gt_phrases, phrases = parse_answer(truth.text).phrases, parse_answer(given.text).phrases
    if len(wanted) != len(gt_phrases):
        raise DataError(
            f"The true answer {truth.text!r} has {len(gt_phrases)} {SEG_TOKEN} but {len(wanted)} masks."
        )
    faults = {
        "masks_without_phrase": max(len(tracks) - len(phrases), 0) + phrases[: len(tracks)].count(""),
        "phrases_without_mask": max(len(phrases) - len(tracks), 0),
    }
    phrases = (phrases + [""] * len(tracks))[: len(tracks)]
    ious = iou_matrix(wanted, tracks, both_empty=np.nan)  # 1 or 0, as the variant has it
    corrected, official = (np.nan_to_num(ious, nan=both_empty) for both_empty in (1.0, 0.0))
    alike = similarity.compare(gt_phrases, phrases)
    alike[:, [not phrase for phrase in phrases]] = 0
    return QuestionScores(
        VariantScores(mean_iou(corrected), count_found(corrected, alike)),
        _score_officially(truth, given, official, similarity),
        {name: count for name, count in faults.items() if count},
    )


def _score_officially(
    truth: GroundedText, given: GroundedText, found: np.ndarray, similarity: PhraseSimilarity
) -> VariantScores:
    """The release's scores; `found` are the IoUs of the true tracks, to which empty entries add rows of 0."""
    ious = np.zeros((len(truth.tracks), found.shape[1]))
    ious[[track is not None for track in truth.tracks]] = found
    alike = similarity.compare(official_phrases_of(truth.text), official_phrases_of(given.text))
    return VariantScores(official_mean_iou(ious), official_count_found(ious, alike))


def score_video(questions: Sequence[QuestionScores], variant: str = CORRECTED) -> dict[str, float | None]:
    """Sum up the questions about one video.

    Args:
        questions: at least one.
        variant: one of `VARIANTS`.

    Returns:
        `mIoU` and `recall`, corrected also `precision`, in [0, 1]; None where there was nothing to find or nothing
        was given (official: 0).

    Raises:
        DataError: no question, or another variant.
    """
    if not questions or variant not in VARIANTS:
        raise DataError(
            f"{len(questions)} questions, variant '{variant}'; expected 1 or more, one of {VARIANTS}."
        )
    rows = [question.official if variant == OFFICIAL else question.corrected for question in questions]
    found, wanted, given = (sum(row.counts[i] for row in rows) for i in range(3))
    overlaps = [row.mean_iou for row in rows if row.mean_iou is not None]
    scores: dict[str, float | None] = {"mIoU": sum(overlaps) / len(overlaps) if overlaps else None}
    if variant == OFFICIAL:
        return scores | {"recall": found / wanted if wanted else 0.0}
    return scores | {
        "recall": found / wanted if wanted else None,
        "precision": found / given if given else None,
    }


def average_videos(
    videos: Mapping[str, Mapping[str, float | None]], variant: str = CORRECTED
) -> dict[str, float | None]:
    """Mean over videos, each counting once.

    Args:
        videos: name or path of a video → its scores, from `score_video` and of captions.
        variant: official averages only videos with `OFFICIAL_VIDEOS` in their name, as the final script for Bench-G.

    Returns:
        metric → mean over the videos that have it; None where none has.
    """
    rows = [row for video, row in videos.items() if variant != OFFICIAL or OFFICIAL_VIDEOS in video]
    means: dict[str, float | None] = {}
    for name in dict.fromkeys(name for row in videos.values() for name in row):
        values = [value for row in rows if (value := row.get(name)) is not None]
        means[name] = sum(values) / len(values) if values else None
    return means
