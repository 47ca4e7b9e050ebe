"""BLEU, METEOR, ROUGE-L and CIDEr of answers, by `pycocoevalcap`: per video, as SAMA-Bench counts.

What cannot be computed here is absent, with the reason and what to install, never 0. Nothing is written anywhere, so
that any number of processes may score at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from sama_plugin.errors import DataError, HostError
from sama_plugin.evaluation.metrics.caption_text import caption_of, official_caption_of
from sama_plugin.evaluation.metrics.caption_tokens import PTB, choose_tokenizer, tokenize
from sama_plugin.evaluation.metrics.java_process import EXTRA, JavaError
from sama_plugin.evaluation.metrics.meteor import Meteor
from sama_plugin.evaluation.metrics.sama_bench_scores import CORRECTED, OFFICIAL, VARIANTS

BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
METEOR, ROUGE, CIDER, SPICE = "METEOR", "ROUGE-L", "CIDEr", "SPICE"
CAPTION_METRICS = (*BLEU, METEOR, ROUGE, CIDER, SPICE)

METEOR_MAX_WORDS = 300
"""As many as the SAMA release leaves of any text; some thousands are more than its Java program can hold."""

NO_SPICE = (
    "SPICE needs Stanford's CoreNLP 3.6.0 with its models, which pycocoevalcap lacks; it is not computed"
)


class CaptionPair(NamedTuple):
    """One answer and what it should say.

    Attributes:
        reference: raw; marks are taken out by the rules of the variant.
        answer: raw; may be empty, which scores as the package has it: 0, or near 0 where BLEU smooths.
    """

    reference: str
    answer: str


@dataclass(frozen=True)
class CaptionScores:
    """What could be computed, and what not.

    Attributes:
        videos: video → metric → value; all but CIDEr in [0, 1], CIDEr in [0, 10].
        absent: metric → why it is in no video.
        tokenizer: `ptb` or `words`; None if nothing was tokenized.
        notes: what a reader of the numbers should know, e.g. empty answers and why it is not `ptb`.
    """

    videos: dict[str, dict[str, float]]
    absent: dict[str, str]
    tokenizer: str | None
    notes: tuple[str, ...] = ()


def score_captions(
    videos: Mapping[str, Sequence[CaptionPair]],
    variant: str = CORRECTED,
    *,
    tokenizer: str | None = None,
    meteor: Meteor | None = None,
) -> CaptionScores:
    """Score the answers of a benchmark.

    Args:
        videos: video → its pairs, at least one each.
        variant: `corrected` takes whole answers (METEOR: 300 words) and CIDEr's document frequencies from the
            references of all videos; `official` cuts answers and takes each video's own, so that CIDEr of a single
            question is 0; its words are those of `ptb`.
        tokenizer: `ptb` or `words`; None takes `ptb` where there is Java, else `words`, and says so.
        meteor: to share between calls, as it takes long to start; None starts one for this call.

    Raises:
        DataError: an unknown variant or tokenizer, or a video without pairs.

    Source: official `eval_caption_quality`, `pycocoevalcap`. Differs: official no, but where something fails there is
    no number instead of 0.
    """
    if variant not in VARIANTS or not all(videos.values()):
        bare = [video for video, pairs in videos.items() if not pairs]
        raise DataError(
            f"Variant '{variant}', videos without answers {bare}; expected one of {VARIANTS}, and none."
        )
    scores: dict[str, dict[str, float]] = {video: {} for video in videos}
    wanted = PTB if variant == OFFICIAL and tokenizer is None else tokenizer
    try:
        used, reason = choose_tokenizer(wanted)
        words = _tokenize_videos(videos, variant, used)
    except HostError as error:
        return CaptionScores(scores, dict.fromkeys(CAPTION_METRICS, str(error)) | {SPICE: NO_SPICE}, None)
    absent = {SPICE: NO_SPICE}
    for video, pairs in words.items():
        scores[video] |= _score_words(pairs)
    absent |= _add_cider(scores, words, variant)
    short, num_cut = (words, 0) if variant == OFFICIAL else _cut_for_meteor(words)
    with contextlib.nullcontext(meteor) if meteor is not None else Meteor() as running:
        absent |= _add_meteor(scores, short, running)
    return CaptionScores(scores, absent, used, _notes(words, used, reason, num_cut))


def check_captions() -> None:
    """See that answers can be scored at all.

    Raises:
        HostError: pycocoevalcap is missing.
    """
    try:
        import pycocoevalcap.bleu.bleu  # noqa: F401
    except ImportError as error:
        raise HostError(f"Scoring captions needs pycocoevalcap, which is missing: {EXTRA}") from error


def _tokenize_videos(
    videos: Mapping[str, Sequence[CaptionPair]], variant: str, tokenizer: str
) -> dict[str, list[tuple[str, str]]]:
    """The words of all videos' (reference, answer), tokenized in one go."""
    check_captions()
    clean = official_caption_of if variant == OFFICIAL else caption_of
    texts = [clean(text) for pair in chain.from_iterable(videos.values()) for text in pair]
    words = iter(tokenize(texts, tokenizer))
    return {video: [(next(words), next(words)) for _ in pairs] for video, pairs in videos.items()}


def _score_words(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """BLEU and ROUGE-L of one video."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    references, answers = _as_coco(pairs)
    bleu, _ = Bleu(len(BLEU)).compute_score(references, answers, verbose=0)
    rouge, _ = Rouge().compute_score(references, answers)
    return dict(zip(BLEU, map(float, bleu), strict=True)) | {ROUGE: float(rouge)}


def _as_coco(pairs: Sequence[tuple[str, str]]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    references, answers = ({i: [pair[side]] for i, pair in enumerate(pairs)} for side in (0, 1))
    return references, answers


def _add_cider(
    scores: dict[str, dict[str, float]], words: Mapping[str, Sequence[tuple[str, str]]], variant: str
) -> dict[str, str]:
    """Put CIDEr into the scores; gives why it is absent, if it is."""
    if variant == OFFICIAL:
        for video, pairs in words.items():
            scores[video][CIDER] = float(np.mean(_cider(pairs)))
        return {}
    everything = list(chain.from_iterable(words.values()))
    if len(everything) < 2:
        return {
            CIDER: f"CIDEr weighs words by how rare they are among references; there is {len(everything)}"
        }
    values = iter(_cider(everything))
    for video, pairs in words.items():
        scores[video][CIDER] = float(np.mean([next(values) for _ in pairs]))
    return {}


def _cider(pairs: Sequence[tuple[str, str]]) -> Any:
    """(n,) float64; of each pair among these references."""
    from pycocoevalcap.cider.cider import Cider

    if not any(reference for reference, _ in pairs):
        return np.zeros(len(pairs))  # the package fails without a single word to count
    _, values = Cider().compute_score(*_as_coco(pairs))
    return values


def _cut_for_meteor(
    words: Mapping[str, Sequence[tuple[str, str]]],
) -> tuple[dict[str, list[tuple[str, str]]], int]:
    """The first words of all texts, and how many texts had more: METEOR's memory grows with the product of lengths."""

    def cut(text: str) -> str:
        return " ".join(text.split()[:METEOR_MAX_WORDS])

    short = {video: [(cut(first), cut(second)) for first, second in pairs] for video, pairs in words.items()}
    texts = (text for pairs in words.values() for text in chain.from_iterable(pairs))
    return short, sum(len(text.split()) > METEOR_MAX_WORDS for text in texts)


def _add_meteor(
    scores: dict[str, dict[str, float]], words: Mapping[str, Sequence[tuple[str, str]]], meteor: Meteor
) -> dict[str, str]:
    """Put METEOR into the scores; gives why it is absent, if it is."""
    try:
        groups = meteor.score(list(words.values()))
    except JavaError as error:
        return {METEOR: str(error)}
    for video, group in zip(words, groups, strict=True):
        scores[video][METEOR] = group.total
    return {}


def _notes(
    words: Mapping[str, Sequence[tuple[str, str]]], tokenizer: str, reason: str | None, num_cut: int
) -> tuple[str, ...]:
    notes = []
    if reason is not None:
        notes.append(
            f"BLEU, ROUGE-L and CIDEr are of words split by '{tokenizer}', not '{PTB}': {reason}. "
            "They are not to be compared with published ones."
        )
    for side, name in enumerate(CaptionPair._fields):
        num_empty = sum(not pair[side] for pairs in words.values() for pair in pairs)
        if num_empty:
            notes.append(f"{num_empty} {name}s have no words; they count as they are.")
    if num_cut:
        notes.append(f"{num_cut} texts have more than {METEOR_MAX_WORDS} words; METEOR sees no more of them.")
    return tuple(notes)
