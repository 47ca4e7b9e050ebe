"""What goes to and comes from a chat model behind an OpenAI-compatible URL: parts of messages, bodies, checked JSON."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.errors import ReplyError

JPEG_QUALITY = 85
FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
SHOWN = 200
"""Characters of a server's words in a message."""


def text_part(text: str) -> dict[str, Any]:
    """Text as a part of a message."""
    return {"type": "text", "text": text}


def image_part(picture: np.ndarray) -> dict[str, Any]:
    """A picture as a part of a message: (H, W, 3) uint8 RGB, sent as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def request_body(
    request: dict[str, Any], schema: Mapping[str, Any] | None, *, in_words: bool
) -> dict[str, Any]:
    """A request as it is sent; its schema as `response_format`, or in words for a server that does not know that."""
    if schema is None:
        return request
    if in_words:
        words = text_part(f"Answer with JSON only, of this JSON schema:\n{json.dumps(schema)}")
        *earlier, last = request["messages"]
        content = last["content"]
        parts = [text_part(content)] if isinstance(content, str) else list(content)
        return {**request, "messages": [*earlier, {**last, "content": [*parts, words]}]}
    form = {"name": "reply", "strict": True, "schema": schema}
    return {**request, "response_format": {"type": "json_schema", "json_schema": form}}


def is_about_schema(status: int, body: bytes) -> bool:
    """Whether a server refused a request because of its schema."""
    return status in (400, 404, 415, 422, 501) and bool(re.search(rb"response_format|json_?schema", body))


def read_answer(body: bytes) -> dict[str, Any] | None:
    """The server's answer; None if it is torn or holds no text."""
    try:
        answer = json.loads(body)
        text = answer["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return answer if isinstance(text, str) else None


def token_counts(answer: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written, as the server counts them; 0 where it says no number."""
    usage = answer.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    found = [counts.get(f"{side}_tokens") for side in ("prompt", "completion")]
    tokens_in, tokens_out = (count if isinstance(count, int) and count >= 0 else 0 for count in found)
    return tokens_in, tokens_out


def server_words(body: bytes) -> str:
    """What a server says is wrong, shortened."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)["error"]
        text = str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def parse_reply(text: str, schema: Mapping[str, Any] | None) -> Any:
    """The JSON in a reply, checked against the schema; a code fence about it is taken off.

    Raises:
        ReplyError: not JSON, or not of the schema.
    """
    if schema is None:
        return None
    import jsonschema

    fenced = FENCE.match(text)
    try:
        value = json.loads(fenced[1] if fenced else text)
        json.dumps(value, ensure_ascii=False).encode()  # no file can have half a character
    except (ValueError, RecursionError) as error:
        raise ReplyError(f"The reply is not JSON: {error}.", text, (f"It is not JSON: {error}.",)) from error
    validator = jsonschema.validators.validator_for(schema)(schema)
    faults = tuple(
        f"At {'/'.join(map(str, fault.absolute_path)) or 'the top'}: {fault.message[:SHOWN]}."
        for fault in validator.iter_errors(value)
    )
    if faults:
        raise ReplyError(f"The reply breaks its schema: {faults[0]}", text, faults)
    return value
