"""METEOR 1.5 in its own Java program, which comes with `pycocoevalcap`: one process for any number of groups."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from sama_plugin.evaluation.metrics.java_process import JavaError, JavaProcess, find_program, run_java

logger = logging.getLogger(__name__)

START_S, PAIR_S = 180.0, 2.0
"""Time allowed for loading its paraphrases, which takes some ten seconds, and for each pair."""

TRIES = 2
SEPARATOR = " ||| "


class MeteorScores(NamedTuple):
    """METEOR of one group of pairs.

    Attributes:
        total: of the group, from its summed statistics; not the mean of the pairs.
        pairs: of each pair.
    """

    total: float
    pairs: list[float]


def score_meteor(groups: Sequence[Sequence[tuple[str, str]]]) -> list[MeteorScores]:
    """Score groups of tokenized pairs, each group for itself.

    A program that dies is started once more; what is left of it is always ended and waited for.

    Args:
        groups: each at least one pair (reference, answer) of words joined by spaces.

    Returns:
        In [0, 1], in the order of the groups.

    Raises:
        JavaError: no Java, no program, or it failed or took too long twice.

    Source: `pycocoevalcap.meteor.meteor`, same program and options. Differs: no.
    """
    jar = find_program("pycocoevalcap.meteor.meteor", "meteor-1.5.jar")
    command = ["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    timeout_s = START_S + PAIR_S * sum(map(len, groups))
    for attempt in range(1, TRIES + 1):
        try:
            with run_java(command, timeout_s) as program:
                return [_score_group(program, group) for group in groups]
        except JavaError as error:
            if attempt == TRIES:
                raise
            logger.warning("METEOR is started once more: %s.", error)
    raise AssertionError("the last attempt returns or raises")


def _score_group(program: JavaProcess, group: Sequence[tuple[str, str]]) -> MeteorScores:
    questions = [
        f"SCORE{SEPARATOR}{_plain(reference)}{SEPARATOR}{_plain(answer)}" for reference, answer in group
    ]
    statistics = program.ask(questions, len(group))
    totals = program.ask([SEPARATOR.join(["EVAL", *statistics])], len(group) + 1)
    try:
        *pairs, total = (float(number) for number in totals)
    except ValueError as error:
        raise JavaError(f"METEOR gave what is no score: {error}") from error
    return MeteorScores(total, pairs)


def _plain(text: str) -> str:
    return text.replace("|||", "").replace("  ", " ")
