"""A model that answers what `sama annotate` asks, rightly: for the test server."""

from __future__ import annotations

import json
import re
from typing import Any

LISTED = re.compile(r"^(<obj\d+>): ", re.MULTILINE)


def answer(body: dict[str, Any]) -> str:
    """The reply to a request, of the schema that it asks for."""
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    words = prompt_of(body)
    if "description" in wanted:
        name = re.search(r"called (obj\d+)", words)
        assert name is not None
        return json.dumps({"description": f"A thing of kind {'x' * len(name[1])} that rests on the table."})
    if "rounds" in wanted:
        return json.dumps({"rounds": rounds_about(list(dict.fromkeys(LISTED.findall(words))))})
    rounds = [int(n) for n in re.findall(r"^Round (\d+)$", words, re.MULTILINE)]
    return json.dumps({"verdicts": [{"round": n, "is_right": True, "reason": "seen"} for n in rounds]})


def prompt_of(body: dict[str, Any]) -> str:
    """The text of the first question, without pictures."""
    return body["messages"][1]["content"][-1]["text"]


def rounds_about(tags: list[str]) -> list[dict[str, Any]]:
    """Three rounds about some objects."""
    first, last = tags[0], tags[-1]
    return [
        _round(f"What does {first} do?", "It rests on the table.", "referring"),
        _round("Segment it.", f"<p> The resting thing </p> {first}.", "multi_turn", needs_history=True),
        _round("Find the last one.", f"<p> The last thing </p> {last}.", "grounding"),
    ]


def _round(question: str, text: str, task: str, *, needs_history: bool = False) -> dict[str, Any]:
    return {"question": question, "answer": text, "task": task, "needs_history": needs_history}
