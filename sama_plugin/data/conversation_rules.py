"""The rules that the rounds of a conversation have to keep; part of `record_rules`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.defects import Defect
from sama_plugin.data.record_form import modern_tokens, num_rounds

ROLES = ("human", "gpt")
ROWS = ("obj_masks", "groundtruth")
"""Fields with an entry per round."""

PHRASE_MARK = re.compile(f"{re.escape(PHRASE_START)}|{re.escape(PHRASE_END)}")


def conversation_defects(record: Mapping[str, Any]) -> Iterator[Defect]:
    """Defects of every round, then those of the conversation as a whole; the record's own form is right."""
    for index in range(num_rounds(record)):
        yield from _round_defects(record, index)
    messages = record.get("conversation") or []
    if len(messages) % 2:
        message = f"it has {len(messages)} messages, the last has no answer"
        yield Defect("odd-tail", message, round=num_rounds(record))
    allowed = (len(messages) + 1) // 2
    for name in ROWS:
        if messages and len(rows := record.get(name) or []) > allowed:
            yield Defect("rows-spare", f"'{name}' has {len(rows)} entries for {allowed} rounds")


def is_id(value: Any) -> bool:
    """Whether something can be the id of a mask."""
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def _round_defects(record: Mapping[str, Any], index: int) -> Iterator[Defect]:
    pair = record["conversation"][2 * index : 2 * index + 2]
    if faults := list(_message_faults(record, index, pair)):
        yield Defect("round-form", "; ".join(faults), round=index)
        return
    roles = tuple(message["from"] for message in pair)
    if roles != ROLES:
        is_known = all(role in ROLES for role in roles)
        code = "turns-not-alternating" if is_known else "role-unknown"
        message = f"it is from {roles[0]!r} and {roles[1]!r}, expected 'human' and 'gpt'"
        yield Defect(code, message, round=index)
    question, answer = pair[0]["value"], modern_tokens(pair[1]["value"])
    regions, targets = record["obj_masks"][index], record["groundtruth"][index]
    for code, fault in _text_faults(question, answer, len(regions), sum(1 for ids in targets if ids)):
        yield Defect(code, fault, round=index)


def _text_faults(question: str, answer: str, num_regions: int, num_targets: int) -> Iterator[tuple[str, str]]:
    """Code and message of what is wrong with the texts of a round and their numbers of marks."""
    if not question.strip():
        yield "question-empty", "its question has no text"
    if not answer.strip():
        yield "answer-empty", "its answer has no text"
    if (marks := question.count(DATA_REGION)) != num_regions:
        yield "region-count", f"its question has {marks} {DATA_REGION} but {num_regions} ids of regions"
    if (segs := answer.count(SEG_TOKEN)) != num_targets:
        yield (
            "seg-count",
            f"its answer has {segs} {SEG_TOKEN} but {num_targets} entries of groundtruth with ids",
        )
    if fault := _phrase_fault(answer):
        yield "phrase-brackets", fault


def _message_faults(record: Mapping[str, Any], index: int, pair: list[Any]) -> Iterator[str]:
    for message in pair:
        if not isinstance(message, dict) or not all(
            isinstance(message.get(key), str) for key in ("from", "value")
        ):
            yield f"a message is {message!r:.60}, expected 'from' and 'value'"
    for name in ROWS:
        rows = record.get(name) or []
        if index >= len(rows):
            yield f"'{name}' has {len(rows)} entries, none for this round"
        elif not _is_row(rows[index], nested=name == "groundtruth"):
            yield f"'{name}' has {rows[index]!r:.60}, expected a list of {'lists of ' * (name == 'groundtruth')}ids"
    if details := record.get("turns"):
        detail = details[index] if index < len(details) else None
        if not isinstance(detail, dict) or not _is_detail(detail):
            yield f"'turns' has {detail!r:.60} for it, expected an object with 'task', 'kind' and 'span', if any"


def _is_row(row: Any, *, nested: bool) -> bool:
    if not isinstance(row, list):
        return False
    return all(_is_row(ids, nested=False) if nested else is_id(ids) for ids in row)


def _is_detail(detail: Mapping[str, Any]) -> bool:
    """Whether task and kind, if there, are text, and the span two frames."""
    span = detail.get("span") or [0, 0]
    is_span = isinstance(span, list) and len(span) == 2 and all(isinstance(k, int) for k in span)
    return is_span and all(isinstance(detail.get(name, ""), str) for name in ("task", "kind"))


def _phrase_fault(answer: str) -> str:
    """What is wrong with the brackets of phrases; empty if nothing is."""
    marks = PHRASE_MARK.findall(answer)
    if marks != [PHRASE_START, PHRASE_END] * (len(marks) // 2):
        return f"its answer has {' '.join(marks)} in this order, expected pairs of {PHRASE_START} and {PHRASE_END}"
    if any(not phrase.strip() for phrase in PHRASE_MARK.split(answer)[1::2]):
        return f"its answer has nothing between {PHRASE_START} and {PHRASE_END}"
    return ""
