"""Answers in OpenAI's form: a `chat.completion`, or its chunks; what OpenAI has no words for lies under `sama`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

CHUNK = "chat.completion.chunk"
DONE = "data: [DONE]\n\n"
SAMA_FIELDS = ("raw", "objects", "timing_s", "counters")


class Completion:
    """The answer to one request.

    Args:
        model: its id.
        session: that answers.

    Attributes:
        id: of the answer.
    """

    def __init__(self, model: str, session: str):
        self.id = f"chatcmpl-{secrets.token_hex(12)}"
        self._model, self._session = model, session
        self._created = int(time.time())

    def whole(self, turn: Mapping[str, Any]) -> dict[str, Any]:
        """The answer in one piece.

        Args:
            turn: from `documents.turn_document`.
        """
        message = {"role": "assistant", "content": turn["text"], "refusal": None, "sama": self._sama(turn)}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(turn)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage(turn)}

    def first(self) -> str:
        """The chunk that says who speaks."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def text(self, text: str) -> str:
        """A chunk with more text."""
        return self._chunk({"content": text})

    def masks(self, masks: Mapping[str, Any]) -> str:
        """A chunk with the masks of one frame: `frame`, and `rles` by object."""
        return self._chunk({"sama": {"masks": masks}})

    def last(self, turn: Mapping[str, Any], *, with_usage: bool) -> str:
        """The chunks that end the answer: session, raw text and objects; why it ends; what it took, if wanted."""
        chunks = [self._chunk({"sama": self._sama(turn)}), self._chunk({}, finish_reason(turn))]
        if with_usage:
            chunks.append(server_sent({**self._head(CHUNK), "choices": [], "usage": usage(turn)}))
        return "".join(chunks) + DONE

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return server_sent({**self._head(CHUNK), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._model}

    def _sama(self, turn: Mapping[str, Any]) -> dict[str, Any]:
        return {"session": self._session, **{name: turn[name] for name in SAMA_FIELDS}}


def finish_reason(turn: Mapping[str, Any]) -> str:
    """Why an answer ended."""
    return "length" if turn["is_cut"] else "stop"


def usage(turn: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer took, in tokens; those of the conversation that were read before are the cached ones."""
    counters = turn["counters"]
    read = counters["prefix_tokens_reused"] + counters["prefix_tokens_computed"]
    return {
        "prompt_tokens": read,
        "completion_tokens": turn["num_tokens"],
        "total_tokens": read + turn["num_tokens"],
        "prompt_tokens_details": {"cached_tokens": counters["prefix_tokens_reused"]},
    }


def server_sent(document: Mapping[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(document, allow_nan=False, separators=(',', ':'))}\n\n"
