"""What of an answer counts as its caption and as its phrases, for each variant of the text metrics."""

from __future__ import annotations

import re

from sama_plugin.constants import PHRASE_END, PHRASE_START
from sama_plugin.evaluation.metrics.text_match import MARK
from sama_plugin.prompting.answer_parsing import parse_answer

OFFICIAL_MARKS = (PHRASE_START, PHRASE_END, "[SEG]", "<|im_end|>", "<s>", "<|end|>")
OFFICIAL_MAX_WORDS = 300
OFFICIAL_MAX_CHARACTERS = 2000


def caption_of(answer: str) -> str:
    """The words of an answer: no special token of any kind, spaces tidied; may be empty.

    Args:
        answer: as generated.
    """
    return parse_answer(MARK.sub(" ", answer)).text


def official_caption_of(answer: str) -> str:
    """The words of an answer as the SAMA release scores them: six marks out, cut to 300 words and 2,000 characters.

    Args:
        answer: as generated.

    Source: official `remove_special_tokens`, `truncate_caption` and `eval_caption_quality`. Differs: no.
    """
    marks = "|".join(map(re.escape, OFFICIAL_MARKS))
    words = re.sub(marks, "", answer).split()
    return " ".join(words[:OFFICIAL_MAX_WORDS])[:OFFICIAL_MAX_CHARACTERS]


def official_phrases_of(answer: str) -> list[str]:
    """Phrases as the SAMA release finds them, in lower case, whether or not a `[SEG]` follows them.

    Args:
        answer: as generated.

    Source: official `extract_groundings`. Differs: no.
    """
    between = f"{re.escape(PHRASE_START)}(.*?){re.escape(PHRASE_END)}"
    return [phrase.strip().lower() for phrase in re.findall(between, answer, re.DOTALL)]
