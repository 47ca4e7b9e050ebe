"""Region placeholders of the chat interface: `<r1>` in a question ↔ the `<mask>` of data files."""

from __future__ import annotations

import re
from collections.abc import Collection

from sama_plugin.constants import DATA_REGION, SPECIAL_TOKENS
from sama_plugin.errors import PromptError

PLACEHOLDER = re.compile(r"<([A-Za-z][A-Za-z0-9_]*)>")


def resolve_placeholders(question: str, known: Collection[str]) -> tuple[str, list[str]]:
    """Replace each `<name>` by `<mask>` and give the names in order.

    Args:
        question: the user's words.
        known: names of regions and of objects of earlier answers.

    Returns:
        The question in data form, and the name of each `<mask>`.

    Raises:
        PromptError: a name that is not known.
    """
    names = PLACEHOLDER.findall(question)
    for name in names:
        if name not in known:
            have = ", ".join(f"<{k}>" for k in known) or "none yet"
            raise PromptError(
                f"The question means <{name}>, which was never defined; defined are: {have}. "
                "Define a region first, or use the id of an object of an earlier answer."
            )
    return PLACEHOLDER.sub(DATA_REGION, question), names


def check_question(question: str, reserved: Collection[str]) -> None:
    """Refuse a question that is empty or spells tokens the model alone may write.

    Args:
        question: the user's words.
        reserved: the tokenizer's special tokens; SAMA's own are added.

    Raises:
        PromptError: nothing asked, no text, or a reserved token inside.
    """
    if not isinstance(question, str):
        raise PromptError(f"The question is {question!r}, expected text.")
    if not question.strip():
        raise PromptError("The question is empty; ask something.")
    if any("\ud800" <= letter <= "\udfff" for letter in question):
        raise PromptError("The question holds bytes that are no UTF-8 text; write it in UTF-8.")
    for token in (*SPECIAL_TOKENS, *reserved):
        if token in question:
            raise PromptError(
                f"The question contains {token!r}, which is reserved for the model; leave it out."
            )
