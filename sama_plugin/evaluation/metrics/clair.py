"""CLAIR: a language model judges how likely an answer and its reference speak of the same thing.

Any model behind an OpenAI-compatible URL can judge, at temperature 0, with its replies kept on disk. A judge that
cannot be reached leaves the metric absent, with the reason; a reply that is no score is counted and left out.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from sama_plugin.data.endpoint import Endpoint
from sama_plugin.errors import DataError, EndpointError, ReplyError
from sama_plugin.evaluation.metrics.caption_scores import CaptionPair
from sama_plugin.evaluation.metrics.caption_text import caption_of, official_caption_of
from sama_plugin.evaluation.metrics.sama_bench_scores import CORRECTED, OFFICIAL, VARIANTS

logger = logging.getLogger(__name__)

CLAIR = "CLAIR"
PROMPT = """\
Two texts describe what is to be seen in a video; the second one is known to be true.
Text to judge:
{candidate}
True text:
{reference}
How likely do both describe the same thing? Answer in JSON with "score", a number from 0 (surely not) to 100 (surely),
and "reason", one sentence.
"""
REMINDER = (
    'That is not the JSON asked for. Answer with {"score": <0 to 100>, "reason": "..."} and nothing else.'
)
FIELDS = ("{candidate}", "{reference}")
BEST = 100.0
MAX_TOKENS = 256
NUMBER = re.compile(r"\d*\.?\d+")


@dataclass(frozen=True)
class ClairScores:
    """What the judge said.

    Attributes:
        videos: video → mean over its judged answers, in [0, 1]; those without any are left out.
        absent: why there is no number at all; None if there is one.
        num_judged: answers that have a score.
        num_unclear: answers to which the judge twice gave no score; they are in no mean.
        judge: name of the model.
    """

    videos: dict[str, float]
    absent: str | None
    num_judged: int = 0
    num_unclear: int = 0
    judge: str | None = None


@dataclass
class _Judgements:
    scores: dict[str, list[float]] = field(default_factory=dict)
    num_unclear: int = 0


def score_clair(
    videos: Mapping[str, Sequence[CaptionPair]],
    judge: Endpoint | None,
    variant: str = CORRECTED,
    *,
    prompt: str = PROMPT,
    workers: int = 4,
) -> ClairScores:
    """Judge all answers.

    An answer without words is not sent: it scores 0.

    Args:
        videos: video → its pairs.
        judge: None leaves the metric absent.
        variant: `official` sends answers cut as the SAMA release cuts them.
        prompt: with `{candidate}` and `{reference}`; give the published wording here to compare with published numbers.
        workers: questions asked at a time.

    Raises:
        DataError: a prompt without its two fields, an unknown variant, or a cache that cannot be written.

    Source: Chan et al., EMNLP 2023; official `clair` and `eval_caption_quality_with_clair`. Differs: own wording by
    default, temperature 0 instead of 0.5, any model; a reply that is no score is left out and counted, not a 0.
    """
    if variant not in VARIANTS or any(name not in prompt for name in FIELDS):
        raise DataError(
            f"Variant '{variant}', prompt {prompt!r}; expected one of {VARIANTS} and both {FIELDS}."
        )
    if judge is None:
        return ClairScores({}, "no judge was named; CLAIR needs a model behind an OpenAI-compatible URL")
    clean = official_caption_of if variant == OFFICIAL else caption_of
    made = _Judgements()
    try:
        for video, score in _judge_all(videos, judge, prompt, clean, workers):
            if score is None:
                made.num_unclear += 1
            else:
                made.scores.setdefault(video, []).append(score)
    except EndpointError as error:
        return ClairScores({}, f"the judge '{judge.model}' did not answer: {error}", judge=judge.model)
    if made.num_unclear:
        logger.warning(
            "CLAIR: %d replies of '%s' hold no score and are left out.", made.num_unclear, judge.model
        )
    means = {video: sum(own) / len(own) for video, own in made.scores.items()}
    reason = None if means else f"no reply of the judge '{judge.model}' holds a score"
    return ClairScores(means, reason, sum(map(len, made.scores.values())), made.num_unclear, judge.model)


def _judge_all(
    videos: Mapping[str, Sequence[CaptionPair]], judge: Endpoint, prompt: str, clean: Any, workers: int
) -> Iterator[tuple[str, float | None]]:
    """Video and score of each pair, in order; several are under way at a time."""
    names = [video for video, pairs in videos.items() for _ in pairs]
    texts = [(clean(pair.answer), clean(pair.reference)) for pairs in videos.values() for pair in pairs]
    pool = ThreadPoolExecutor(workers)
    try:
        scores = pool.map(lambda pair: judge_pair(judge, *pair, prompt=prompt), texts)
        yield from zip(names, scores, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def judge_pair(judge: Endpoint, candidate: str, reference: str, *, prompt: str = PROMPT) -> float | None:
    """Ask the judge about one answer, once more with a reminder if its reply is no score.

    Args:
        judge: who is asked.
        candidate: words of the answer.
        reference: words of the reference.
        prompt: see `score_clair`.

    Returns:
        In [0, 1]; None if neither reply is a score.

    Raises:
        EndpointError: the judge does not answer.
    """
    if not candidate:
        return 0.0
    texts = {"{candidate}": f"- {candidate}", "{reference}": f"- {reference}"}
    asked = re.sub("|".join(FIELDS), lambda field: texts[field[0]], prompt)
    messages = [{"role": "user", "content": asked}]
    for _ in range(2):
        try:
            said = judge.complete(messages, temperature=0.0, max_tokens=MAX_TOKENS).text
        except ReplyError as error:
            said = error.text
        score = parse_score(said)
        if score is not None:
            return score
        messages = [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": REMINDER}]
    return None


def parse_score(reply: str) -> float | None:
    """Read the score of a reply: of the first JSON object in it, else the first number.

    Args:
        reply: of the judge.

    Returns:
        In [0, 1]; None where there is no number, or one beyond 0 to 100. A bare number below 1 is taken for a share
        already, as the published parser does.

    Source: official `clair`. Differs: a number out of range is no score.
    """
    try:
        content, _ = json.JSONDecoder().raw_decode(reply, reply.index("{"))
        score = float(content["score"])
    except (ValueError, KeyError, TypeError):
        found = NUMBER.search(reply)
        if found is None:
            return None
        score = float(found[0])
        score = score * BEST if score < 1 else score
    return score / BEST if 0 <= score <= BEST else None
