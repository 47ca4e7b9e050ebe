"""What a question exercises, told from its words: published records do not say it, our own do (`turns[].task`)."""

from __future__ import annotations

import re

from sama_plugin.constants import DATA_REGION, SEG_TOKEN

TIME_WORDS = re.compile(
    r"\b(when|how long|how often|how many times|"
    r"(what|which) (time|moment|order|frames?|seconds?|part of the video)|before|after|until|finally|"
    r"eventually|at first|first|last|at the (beginning|start|end)|happens? next|do(es)? next)\b",
    re.IGNORECASE,
)
EARLIER_WORDS = re.compile(
    r"\b(it|its|he|him|his|she|hers?|they|them|their|that one|this one|these|those|the same|the others?|"
    r"another one|again|else|earlier|previous|you (just )?(said|mentioned|described|found|segmented))\b",
    re.IGNORECASE,
)


def infer_task(question: str, answer: str, *, is_later: bool = False, points_back: bool = False) -> str:
    """Tell the task of a turn; the first of these rules that fits decides.

    1. `multi_turn`: a later turn that means an earlier answer: its question points at an object that such an answer
       showed, or points at nothing and has a word for what was said before (`it`, `that one`, `the same`, ...).
    2. `temporal`: the question asks for a time or an order (`when`, `how long`, `before`, `first`, `at the end`, ...).
    3. `referring`: the question points at something (`<mask>`).
    4. `grounding`: the answer shows something (`[SEG]`).
    5. `general`: anything else.

    Args:
        question: text with `<mask>`.
        answer: text with `[SEG]`.
        is_later: whether other turns of the dialogue come before it.
        points_back: whether it points at an object that the answer of one of them showed.

    Source: the tasks of the paper's data, which its files do not label. Differs: inferred, so a rule of thumb: for
    shares and reports, not for scores.
    """
    points = DATA_REGION in question
    if is_later and (points_back if points else EARLIER_WORDS.search(question)):
        return "multi_turn"
    if TIME_WORDS.search(question):
        return "temporal"
    if points:
        return "referring"
    return "grounding" if SEG_TOKEN in answer else "general"
