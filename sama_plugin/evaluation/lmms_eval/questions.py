"""Questions and options of `lmms-eval`'s tasks → what a `VideoSession` takes, and its answers → what they read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sama_plugin.inference.decoding import Decoding
from sama_plugin.prompting.placeholders import PLACEHOLDER

logger = logging.getLogger(__name__)

MEDIA_MARKS = ("<image>", "<video>")
"""Where tasks want to see their pictures; SAMA has them before the question."""

LONGEST = 1024
"""Tokens of an answer where a task does not say."""


def read_options(options: Mapping[str, Any]) -> Decoding:
    """Decoding from a task's `generation_kwargs`; beams are not searched, which is said in the log.

    Raises:
        PromptError: a value out of range.
    """
    if int(options.get("num_beams") or 1) > 1:
        logger.warning("num_beams is %s, but SAMA decodes greedily or samples.", options["num_beams"])
    is_sampled = bool(options.get("do_sample", True))
    temperature = float(options.get("temperature") or 0) if is_sampled else 0.0
    return Decoding(temperature, options.get("top_p") or 1.0, options.get("max_new_tokens") or LONGEST)


def plain_question(question: str, reserved: Collection[str]) -> str:
    """The words of a task, in which nothing means a region or is a special token.

    Args:
        question: as the task has it.
        reserved: tokens that only a model may write.

    Returns:
        Without marks of media; what reads like a name or a token, such as an HTML tag, gets a space within.
    """
    for mark in MEDIA_MARKS:
        question = question.replace(mark, "")
    for token in sorted(reserved, key=len, reverse=True):
        question = question.replace(token, f"{token[0]} {token[1:]}")
    return PLACEHOLDER.sub(r"< \1>", question).strip()


def cut_at(answer: str, stops: str | Sequence[str]) -> str:
    """The answer up to the first of the words that end it."""
    for stop in [stops] if isinstance(stops, str) else stops:
        if stop:
            answer = answer.split(stop)[0]
    return answer.strip()
