"""Conversations of `{from: human | gpt, value}` messages, as LLaVA's files have them → turns without masks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile
from typing import Any

from sama_plugin.constants import DATA_REGION, SPECIAL_TOKENS
from sama_plugin.data.lazy_samples import LeftOut
from sama_plugin.data.record_form import strip_media_mark
from sama_plugin.schema import Turn

RESERVED = (DATA_REGION, *SPECIAL_TOKENS)


def chat_turns(messages: Sequence[Any], place: str, left_out: LeftOut) -> tuple[Turn, ...]:
    """Rounds of questions and answers.

    Args:
        messages: of the record; a beginning by `gpt` is passed over, as officially.
        place: of the record, for `left_out`.
        left_out: told of conversations whose speakers do not take turns (`turns-not-alternating`) or that hold text
            which the tokenizer reads as a special token (`reserved-token`), of such without messages
            (`conversation-empty`), of last questions without an answer (`odd-tail`), and of rounds without words
            (`round-empty`).

    Returns:
        None or more; all of task `general`.
    """
    told = list(dropwhile(lambda message: message["from"] == "gpt", messages))
    if not told:
        left_out.add("conversation-empty", place)
        return ()
    if any(message["from"] != ("human", "gpt")[i % 2] for i, message in enumerate(told)):
        left_out.add("turns-not-alternating", place)
        return ()
    if found := [token for message in told for token in RESERVED if token in message["value"]]:
        left_out.add("reserved-token", f"{place}, {found[0]}")
        return ()
    if len(told) % 2:
        left_out.add("odd-tail", place)
    turns = []
    for human, gpt in zip(told[0::2], told[1::2], strict=False):
        question, answer = strip_media_mark(human["value"]).strip(), gpt["value"].strip()
        if question and answer:
            turns.append(Turn(question, answer, task="general", kind="chat"))
        else:
            left_out.add("round-empty", place)
    return tuple(turns)
