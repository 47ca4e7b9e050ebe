"""Scores of answers with masks and phrases, and of captions, as SAMA-Bench has them: per video, then their mean.

Two variants: the corrected one is the default, `official/...` is what the SAMA release computes, defect for defect.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.endpoint import Endpoint
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.faults import Fault, fit_objects
from sama_plugin.evaluation.metrics.caption_scores import CaptionPair, score_captions
from sama_plugin.evaluation.metrics.clair import CLAIR, score_clair
from sama_plugin.evaluation.metrics.meteor import Meteor
from sama_plugin.evaluation.metrics.phrase_similarity import PhraseSimilarity
from sama_plugin.evaluation.metrics.sama_bench_scores import (
    CORRECTED,
    OFFICIAL,
    OFFICIAL_VIDEOS,
    VARIANTS,
    GroundedText,
    QuestionScores,
    VariantScores,
    average_videos,
    score_question,
    score_video,
)
from sama_plugin.evaluation.metrics.volume_overlap import RecallCounts
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.targets import union_track
from sama_plugin.schema import Sample, Turn

Row = dict[str, Any]


def answer_row(turn: Turn, prediction: Prediction) -> Row:
    """What every benchmark keeps of a question and its answer; scores are added."""
    return {
        "question_id": prediction.question_id,
        "question": prediction.question or turn.question,
        "truth": turn.answer,
        "answer": prediction.raw,
        "asked": prediction.asked,
        "error": prediction.error,
        "scores": {},
    }


def score_grounding(
    row: Row,
    sample: Sample,
    targets: Sequence[Sequence[str]],
    size: tuple[int, int],
    prediction: Prediction,
    similarity: PhraseSimilarity,
) -> list[Fault]:
    """Score masks and phrases of one answer; the row gets `scores` and, for sums, `grounding`.

    Args:
        row: of the question, see `answer_row`.
        sample: has the true masks.
        targets: per entry of the ground truth the ids whose union it is; empty: it has no `[SEG]`.
        size: (H, W).
        prediction: the answer.
        similarity: of phrases.

    Returns:
        What was wrong with the predicted masks.
    """
    faults: list[Fault] = []
    num_frames = len(next(iter(sample.masks.values()), []))
    truth = [union_track(sample, ids, size) if ids else None for ids in targets]
    tracks = fit_objects(prediction.question_id, prediction.objects, (num_frames, *size), faults)
    made = score_question(
        GroundedText(row["truth"], truth), GroundedText(marked_text(prediction), tracks), similarity
    )
    faults += [
        Fault(rule, f"question '{prediction.question_id}': {count}") for rule, count in made.faults.items()
    ]
    row["grounding"] = {variant: _to_plain(getattr(made, variant)) for variant in VARIANTS}
    if made.corrected.mean_iou is not None:
        row["scores"]["mIoU"] = made.corrected.mean_iou
    if made.corrected.counts.wanted:
        row["scores"]["recall"] = made.corrected.counts.found / made.corrected.counts.wanted
    return faults


def marked_text(prediction: Prediction) -> str:
    """The answer with one `[SEG]` per object; of an answer without marks only the phrases, as its objects have them."""
    if prediction.raw.count(SEG_TOKEN) == len(prediction.objects):
        return prediction.raw
    return " ".join(f"{PHRASE_START} {o.phrase} {PHRASE_END} {SEG_TOKEN}" for o in prediction.objects)


def summarise_answers(
    dialogues: Sequence[Scored],
    video_groups: Mapping[str, Iterable[str]],
    row_groups: Mapping[str, Sequence[Row]],
    judge: Endpoint | None,
) -> Summary:
    """Sum up answers by video; the first dialogue about a video gets the video's `scores`.

    Args:
        dialogues: with rows as `answer_row` makes them.
        video_groups: name → videos whose means are given by themselves too.
        row_groups: name → rows whose masks are summed up by themselves too.
        judge: of captions; None leaves CLAIR absent.
    """
    by_video: dict[str, list[Row]] = defaultdict(list)
    for dialogue in dialogues:
        by_video[dialogue.video] += dialogue.questions
    rows = [row for own in by_video.values() for row in own]
    counts = {
        "dialogues": len(dialogues),
        "videos": len(by_video),
        "questions": len(rows),
        "not_asked": sum(not row["asked"] for row in rows),
    }
    metrics: dict[str, float | None] = {}
    with Meteor() as meteor:
        videos, absent, notes = _score_videos(by_video, CORRECTED, meteor, judge)
        official, lacking = _score_officially(by_video, videos, meteor, judge)
    absent |= {f"{OFFICIAL}/{name}": reason for name, reason in lacking.items()}
    _add_means(metrics, counts, "", videos, CORRECTED)
    _add_means(metrics, counts, "official/", official, OFFICIAL)
    for name, chosen in video_groups.items():
        _add_means(metrics, counts, f"{name}/", {video: videos[video] for video in chosen}, CORRECTED)
    for name, group in row_groups.items():
        wanted = {id(row) for row in group}
        own = {video: [row for row in held if id(row) in wanted] for video, held in by_video.items()}
        scores = {video: _score_masks(held, CORRECTED) for video, held in own.items() if held}
        _add_means(metrics, counts, f"{name}/", scores, CORRECTED)
    metrics.update({name: None for name in absent if name not in metrics})
    for dialogue in dialogues:
        dialogue.scores = {k: v for k, v in videos.pop(dialogue.video, {}).items() if v is not None}
    return Summary(metrics, counts, absent, notes)


VideoScores = dict[str, dict[str, float | None]]
"""Video → metric → value."""


def _score_videos(
    by_video: Mapping[str, Sequence[Row]], variant: str, meteor: Meteor, judge: Endpoint | None
) -> tuple[VideoScores, dict[str, str], tuple[str, ...]]:
    """All scores of all videos, why metrics are absent, and notes on captions."""
    pairs = {video: [CaptionPair(r["truth"], r["answer"]) for r in rows] for video, rows in by_video.items()}
    captions = score_captions(pairs, variant, meteor=meteor)
    scores: VideoScores = {
        video: {**_score_masks(rows, variant), **captions.videos[video]} for video, rows in by_video.items()
    }
    judged = score_clair(pairs, judge, variant)
    for video, value in judged.videos.items():
        scores[video][CLAIR] = value
    absent = captions.absent | ({} if judged.absent is None else {CLAIR: judged.absent})
    return scores, absent, tuple(f"Captions: {note}" for note in captions.notes)


def _score_officially(
    by_video: Mapping[str, Sequence[Row]], corrected: VideoScores, meteor: Meteor, judge: Endpoint | None
) -> tuple[VideoScores, dict[str, str]]:
    """Scores of the videos that the release averages, the only ones it takes; and why metrics are absent."""
    chosen = {video: rows for video, rows in by_video.items() if OFFICIAL_VIDEOS in video}
    if chosen:
        scores, absent, _ = _score_videos(chosen, OFFICIAL, meteor, judge)
        return scores, absent
    nothing: dict[str, float | None] = dict.fromkeys(name for row in corrected.values() for name in row)
    reason = f"the release averages videos of {OFFICIAL_VIDEOS} only, and there is none"
    return {"": nothing}, dict.fromkeys(nothing, reason)


def _score_masks(rows: Sequence[Row], variant: str) -> dict[str, float | None]:
    """mIoU, recall and precision of one video; none where nothing is to be grounded."""
    grounded = [_to_scores(row["grounding"]) for row in rows if "grounding" in row]
    return score_video(grounded, variant) if grounded else {}


def _add_means(
    metrics: dict[str, float | None],
    counts: dict[str, int],
    prefix: str,
    videos: Mapping[str, Mapping[str, float | None]],
    variant: str,
) -> None:
    for name, value in average_videos(videos, variant).items():
        metrics[prefix + name] = value
        counts[prefix + name] = sum(row.get(name) is not None for row in videos.values())


def _to_plain(scores: VariantScores) -> list[Any]:
    return [scores.mean_iou, list(scores.counts)]


def _to_scores(grounding: Mapping[str, Any]) -> QuestionScores:
    """Undo `_to_plain` of both variants."""
    corrected, official = (
        VariantScores(grounding[variant][0], RecallCounts(*grounding[variant][1])) for variant in VARIANTS
    )
    return QuestionScores(corrected, official)
