"""The body of `POST /v1/chat/completions` → checked values; what cannot be granted is refused by its name."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.openai.errors import BadParameterError
from sama_plugin.demo.openai.fields import (
    flag_of,
    list_of,
    number_of,
    object_of,
    read_json,
    text_of,
    whole_of,
)
from sama_plugin.demo.openai.messages import Chat, parse_messages
from sama_plugin.errors import PromptError
from sama_plugin.media.regions import check_region_name, read_region

READ = (
    *("messages", "model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "seed"),
    *("stream", "stream_options", "regions", "session"),
)
"""Parameters that decide the answer."""

WITHOUT_EFFECT = (
    *("user", "metadata", "safety_identifier", "service_tier", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
)
"""Parameters that say nothing about the answer."""

NOTHING_ASKED: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "store": (False,),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
    "web_search_options": (),
    "moderation": (),
}
"""Parameters that there is nothing for, with the values that ask for nothing; null never does."""

MOST_TOKENS = 2**20
"""Of an answer; the model's context ends it sooner."""


@dataclass(frozen=True)
class ChatRequest:
    """What a client asks for.

    Attributes:
        model: by its id.
        chat: the conversation and the question.
        regions: arguments of `media.regions.region_prompt` but the clip, each; masks are run lengths.
        session: to go on with, if one is named.
        decoding: `temperature`, `top_p`, `max_new_tokens` and `seed`, of which the server has its own where one is
            missing.
        is_stream: whether the answer comes in pieces.
        with_usage: whether a stream ends with the tokens it took.
    """

    model: str
    chat: Chat
    regions: tuple[dict[str, Any], ...]
    session: str | None
    decoding: dict[str, float]
    is_stream: bool
    with_usage: bool


def parse_request(body: bytes, limits: Limits) -> ChatRequest:
    """Read a body.

    Args:
        body: as it came.
        limits: of the server.

    Raises:
        BadParameterError: it cannot be answered; says where and why.
    """
    fields = {name: value for name, value in read_json(body).items() if value is not None}
    _refuse_unsupported(fields)
    chat = parse_messages(fields.get("messages"), limits)
    session = text_of(fields["session"], "session") if "session" in fields else None
    if chat.video is not None and chat.video.kind == "session":
        if session not in (None, chat.video.value):
            raise BadParameterError("session is another one than that of the video.", "session")
        session = str(chat.video.value)
    is_stream = "stream" in fields and flag_of(fields["stream"], "stream")
    return ChatRequest(
        model=text_of(fields.get("model"), "model"),
        chat=chat,
        regions=parse_regions(fields.get("regions", []), limits),
        session=session,
        decoding=_parse_decoding(fields),
        is_stream=is_stream,
        with_usage=_parse_stream_options(fields, is_stream),
    )


def parse_regions(value: Any, limits: Limits) -> tuple[dict[str, Any], ...]:
    """Read `regions`: objects, or texts of the command line's grammar.

    Raises:
        BadParameterError: one is of neither form, or a name comes twice.
    """
    regions: dict[str, dict[str, Any]] = {}
    for i, item in enumerate(list_of(value, "regions", limits.regions)):
        param = f"regions[{i}]"
        region = _read_text(item, param) if isinstance(item, str) else object_of(item, param)
        try:
            check_region_name(region.get("name", ""))
        except PromptError as error:
            raise BadParameterError(f"{param}: {error}", param) from error
        if region["name"] in regions:
            raise BadParameterError(f"{param}: region '{region['name']}' is there twice.", param)
        regions[region["name"]] = region
    return tuple(regions.values())


def _read_text(text: str, param: str) -> dict[str, Any]:
    try:
        region = read_region(text_of(text, param))
    except PromptError as error:
        raise BadParameterError(f"{param}: {error}", param) from error
    if "mask" in region:
        raise BadParameterError(
            f'{param}: this server opens no files; send a mask as {{"name", "frame", "mask": run lengths}}.',
            param,
        )
    return {name: value for name, value in region.items() if value is not None}


def _refuse_unsupported(fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name in NOTHING_ASKED:
            allowed = NOTHING_ASKED[name]
            if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
                only = " or ".join(json.dumps(one) for one in allowed if one)
                raise BadParameterError(
                    f"{name} can only be {only} here."
                    if only
                    else f"{name} is not supported here; leave it out.",
                    name,
                    "unsupported_parameter",
                )
        elif name not in (*READ, *WITHOUT_EFFECT):
            near = difflib.get_close_matches(name[:40], [*READ, *NOTHING_ASKED], n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; read are {', '.join(READ)}."
            raise BadParameterError(f"{name[:40]!r} is no parameter{hint}", name[:40], "unknown_parameter")


def _parse_decoding(fields: dict[str, Any]) -> dict[str, float]:
    decoding: dict[str, float] = {}
    given = [name for name in ("max_completion_tokens", "max_tokens") if name in fields]
    for name in given:
        decoding["max_new_tokens"] = whole_of(fields[name], name, 1, MOST_TOKENS)
    if len({fields[name] for name in given}) > 1:
        raise BadParameterError("max_tokens and max_completion_tokens differ; give one of them.", given[0])
    if "temperature" in fields:
        decoding["temperature"] = number_of(fields["temperature"], "temperature", 0, 2)
    if "top_p" in fields:
        decoding["top_p"] = number_of(fields["top_p"], "top_p", 0, 1)
        if not decoding["top_p"]:
            raise BadParameterError("top_p is 0, which leaves no token; temperature 0 is greedy.", "top_p")
    if "seed" in fields:
        decoding["seed"] = whole_of(fields["seed"], "seed", 0, 2**63 - 1)
    return decoding


def _parse_stream_options(fields: dict[str, Any], is_stream: bool) -> bool:
    options = object_of(fields.get("stream_options", {}), "stream_options")
    if options and not is_stream:
        raise BadParameterError("stream_options needs stream to be true.", "stream_options")
    for name in options:
        if name not in ("include_usage", "include_obfuscation"):
            raise BadParameterError(
                f"stream_options.{name[:40]} is not known, include_usage is.",
                "stream_options",
                "unknown_parameter",
            )
    usage = options.get("include_usage")
    return usage is not None and flag_of(usage, "stream_options.include_usage")
