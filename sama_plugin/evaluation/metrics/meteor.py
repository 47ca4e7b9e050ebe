"""METEOR 1.5 in its own Java program, which comes with `pycocoevalcap`: one process for any number of answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import NamedTuple

from sama_plugin.evaluation.metrics.java_process import (
    JavaError,
    JavaProcess,
    find_java,
    find_program,
    run_java,
)

logger = logging.getLogger(__name__)

START_S, PAIR_S = 180.0, 2.0
"""Time allowed to a group, which may wait for paraphrases to be loaded (some ten seconds), and to each of its pairs."""

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


class Meteor(contextlib.AbstractContextManager["Meteor"]):
    """METEOR's program: started when it is first needed, kept for more, gone with the block.

    A program that dies is started once more.

    Source: `pycocoevalcap.meteor.meteor`, same program and options. Differs: no.
    """

    def __init__(self) -> None:
        self._program: JavaProcess | None = None
        self._running = contextlib.ExitStack()

    def __exit__(self, *_: object) -> None:
        self._end()

    def score(self, groups: Sequence[Sequence[tuple[str, str]]]) -> list[MeteorScores]:
        """Score groups of tokenized pairs, each group for itself.

        Args:
            groups: each at least one pair (reference, answer) of words joined by spaces.

        Returns:
            In [0, 1], in the order of the groups.

        Raises:
            JavaError: no Java, no program, or it failed or took too long twice.
        """
        find_java()
        for attempt in range(1, TRIES + 1):
            try:
                program = self._start()
                return [_score_group(program, group) for group in groups]
            except JavaError as error:
                self._end()
                if attempt == TRIES:
                    raise
                logger.warning("METEOR is started once more: %s.", error)
        raise AssertionError("the last attempt returns or raises")

    def _start(self) -> JavaProcess:
        if self._program is None:
            jar = find_program("pycocoevalcap.meteor.meteor", "meteor-1.5.jar")
            command = ["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
            self._program = self._running.enter_context(run_java(command))
        return self._program

    def _end(self) -> None:
        self._program = None
        self._running.close()


def _score_group(program: JavaProcess, group: Sequence[tuple[str, str]]) -> MeteorScores:
    questions = [
        f"SCORE{SEPARATOR}{_plain(reference)}{SEPARATOR}{_plain(answer)}" for reference, answer in group
    ]
    timeout_s = START_S + PAIR_S * len(group)
    statistics = program.ask(questions, len(group), timeout_s)
    totals = program.ask([SEPARATOR.join(["EVAL", *statistics])], len(group) + 1, timeout_s)
    try:
        *pairs, total = (float(number) for number in totals)
    except ValueError as error:
        raise JavaError(f"METEOR gave what is no score: {error}") from error
    return MeteorScores(total, pairs)


def _plain(text: str) -> str:
    return text.replace("|||", "").replace("  ", " ")
