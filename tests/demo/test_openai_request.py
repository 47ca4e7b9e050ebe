"""What a chat request may be: checked values, or a refusal that says where and why. No server, no model."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.openai.errors import BadParameterError, error_document
from sama_plugin.demo.openai.messages import Reply, Round, Video
from sama_plugin.demo.openai.request import ChatRequest, parse_request
from sama_plugin.demo.refusals import RefusedError

BYTES = b"\x00video\xff"
DATA = f"data:video/mp4;base64,{base64.b64encode(BYTES).decode()}"
CLIP = {"type": "video_url", "video_url": {"url": DATA}}
QUESTION = {"role": "user", "content": [CLIP, {"type": "text", "text": "What?"}]}
ANSWER = {"role": "assistant", "content": "A disc."}
NEXT = {"role": "user", "content": "And <obj1>?"}
LIMITS = Limits(turns=3, regions=2, question_chars=20)


def parse(**changes: Any) -> ChatRequest:
    body = {"model": "m", "messages": [QUESTION], **changes}
    return parse_request(json.dumps(body).encode(), LIMITS)


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def test_a_request_becomes_values() -> None:
    sama = {"session": "s", "raw": "A disc.", "objects": []}
    request = parse(
        messages=[
            {"role": "system", "content": " "},
            QUESTION,
            {**ANSWER, "sama": sama, "refusal": None, "tool_calls": None},
            NEXT,
        ],
        max_completion_tokens=7,
        temperature=1,
        top_p=0.5,
        seed=3,
        stream=True,
        stream_options={"include_usage": True},
        n=1,
        user="me",
        stop=None,
        tools=[],
        response_format={"type": "text"},
        regions=["r1=box@3.5s:1,2,3,4", {"name": "r2", "frame": 2, "point": [5, 6]}],
    )
    assert request.chat.video == Video("data", BYTES)
    assert request.chat.rounds == (Round("What?", Reply("A disc.", sama)),)
    assert request.chat.question == "And <obj1>?"
    assert request.decoding == {"max_new_tokens": 7, "temperature": 1.0, "top_p": 0.5, "seed": 3}
    assert (request.is_stream, request.with_usage, request.session) == (True, True, None)
    assert request.regions == (
        {"name": "r1", "time_s": 3.5, "box": [1.0, 2.0, 3.0, 4.0]},
        {"name": "r2", "frame": 2, "point": [5, 6]},
    )


@pytest.mark.parametrize(
    ("part", "video"),
    [
        (CLIP, Video("data", BYTES)),
        ({"type": "file", "file": {"file_id": "file-1"}}, Video("file", "file-1")),
        ({"type": "file", "file": {"file_data": DATA, "filename": "a.mp4"}}, Video("data", BYTES)),
        (
            {
                "type": "image_url",
                "image_url": {"url": DATA.replace("video/mp4", "image/PNG"), "detail": "low"},
            },
            Video("data", BYTES, ".png"),
        ),
        ({"type": "video_url", "video_url": {"url": "sama:abc"}}, Video("session", "abc")),
    ],
)
def test_a_video_comes_in_many_ways(part: dict[str, Any], video: Video) -> None:
    request = parse(messages=[user(part, {"type": "text", "text": "a"}, {"type": "text", "text": "b"})])
    assert request.chat.video == video
    assert request.chat.question == "a\nb"
    assert request.session == (video.value if video.kind == "session" else None)


def test_the_same_video_may_be_shown_again() -> None:
    assert parse(messages=[QUESTION, ANSWER, QUESTION]).chat.video == Video("data", BYTES)


@pytest.mark.parametrize(
    ("changes", "param", "words"),
    [
        ({"messages": None}, "messages", "messages is null, expected a list"),
        ({"messages": {}}, "messages", "messages is an object, expected a list"),
        ({"messages": []}, "messages", "has no question"),
        ({"messages": ["hi"]}, "messages[0]", r"messages\[0\] is text, expected an object"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "role is null, expected text"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "content is null, expected a list"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role", "calls no tools"),
        (
            {"messages": [{"role": "system", "content": "Be kind."}, QUESTION]},
            "messages[0].content",
            "fixed system",
        ),
        ({"messages": [QUESTION, QUESTION]}, "messages[1]", "alternate"),
        ({"messages": [ANSWER, QUESTION]}, "messages[0]", "alternate"),
        ({"messages": [QUESTION, ANSWER]}, "messages", "the assistant's; expected the user's"),
        ({"messages": [QUESTION, ANSWER] * 4}, "messages", "has 8 items, expected at most 7"),
        ({"messages": [QUESTION, {**ANSWER, "tool_calls": [{}]}, NEXT]}, "messages[1]", "no tools"),
        ({"messages": [QUESTION, {**ANSWER, "content": "[SEG]"}, NEXT]}, "messages[1].content", "reserved"),
        (
            {"messages": [QUESTION, {**ANSWER, "sama": 1}, NEXT]},
            "messages[1].sama",
            "is a number, expected an object",
        ),
        ({"messages": [user({"text": "a"})]}, "messages[0].content[0].type", "type is null"),
        ({"messages": [user({"type": "input_audio"})]}, "messages[0].content[0].type", "has text, video_url"),
        ({"messages": [user({"type": "text", "text": 1})]}, "messages[0].content[0].text", "is a number"),
        ({"messages": [user(CLIP)]}, "messages[0].content", "question is empty"),
        (
            {"messages": [user({"type": "text", "text": "a" * 21})]},
            "messages[0].content",
            "21 characters, at most 20",
        ),
        (
            {"messages": [user({"type": "text", "text": "<vp>"})]},
            "messages[0].content",
            "reserved for the model",
        ),
        (
            {"messages": [user({"type": "text", "text": "\ud800"})]},
            "messages[0].content[0].text",
            "half a character",
        ),
        (
            {"messages": [user({"type": "video_url", "video_url": DATA})]},
            "messages[0].content[0].video_url",
            "an object",
        ),
        (
            {"messages": [user({"type": "video_url", "video_url": {"url": "http://169.254.169.254/"}})]},
            "messages[0].content[0].video_url.url",
            "fetches nothing from elsewhere",
        ),
        (
            {"messages": [user({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}})]},
            "messages[0].content[0].video_url.url",
            "fetches nothing",
        ),
        (
            {"messages": [user({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,A*A="}})]},
            "messages[0].content[0].video_url.url",
            "no whole base64",
        ),
        (
            {
                "messages": [
                    user(CLIP, {"type": "file", "file": {"file_id": "x"}}, {"type": "text", "text": "a"})
                ]
            },
            "messages[0].content[1].file",
            "another video",
        ),
        ({"model": None}, "model", "model is null"),
        ({"stream": 1}, "stream", "is a number, expected true or false"),
        ({"stream_options": {}, "stream": True}, None, None),
        ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
        ({"stream_options": {"usage": True}, "stream": True}, "stream_options", "include_usage is"),
        ({"max_tokens": 0}, "max_tokens", "is 0, expected 1 to"),
        ({"max_tokens": True}, "max_tokens", "true or false, expected a whole number"),
        ({"max_tokens": 1.5}, "max_tokens", "a number, expected a whole number"),
        ({"max_tokens": 2, "max_completion_tokens": 3}, "max_completion_tokens", "differ"),
        ({"temperature": 3}, "temperature", "is 3, expected 0 to 2"),
        ({"temperature": "hot"}, "temperature", "is text, expected a number"),
        ({"top_p": 0}, "top_p", "leaves no token"),
        ({"seed": -1}, "seed", "is -1, expected 0 to"),
        ({"n": 2}, "n", "n can only be 1 here"),
        ({"n": True}, "n", "n can only be 1 here"),
        ({"stop": ["."]}, "stop", "stop is not supported here; leave it out"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", 'can only be {"type": "text"}'),
        ({"logprobs": True}, "logprobs", "not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"reginos": []}, "reginos", "did you mean regions"),
        ({"regions": "r1"}, "regions", "is text, expected a list"),
        ({"regions": ["r1=box:1,1,2,2"] * 3}, "regions", "has 3 items, expected at most 2"),
        ({"regions": ["r1=box:1,1,2,2"] * 2}, "regions[1]", "'r1' is there twice"),
        ({"regions": ["r1"]}, "regions[0]", "malformed"),
        ({"regions": ["r1=mask@0:/etc/passwd"]}, "regions[0]", "opens no files"),
        ({"regions": [{"box": [1, 1, 2, 2]}]}, "regions[0]", "name '' cannot be used"),
        ({"regions": [{"name": "obj1", "box": [1, 1, 2, 2]}]}, "regions[0]", "reserved"),
        ({"session": 1}, "session", "is a number, expected text"),
        (
            {"session": "a", "messages": [user({"type": "video_url", "video_url": {"url": "sama:b"}}, "x")]},
            "messages[0].content[1]",
            "is text, expected an object",
        ),
    ],
)
def test_what_cannot_be_granted_is_told_by_its_place(
    changes: dict[str, Any], param: str | None, words: str | None
) -> None:
    if words is None:
        parse(**changes)
        return
    with pytest.raises(BadParameterError, match=words) as caught:
        parse(**changes)
    assert caught.value.param == param
    status, document = error_document(caught.value)
    assert status == 400
    assert document["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "body is a list, expected an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"temperature": NaN}', "NaN is no JSON number"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(BadParameterError, match=words):
        parse_request(body, LIMITS)


def test_a_session_and_another_in_the_video_are_refused() -> None:
    part = {"type": "video_url", "video_url": {"url": "sama:b"}}
    with pytest.raises(BadParameterError, match="another one"):
        parse(session="a", messages=[user(part, {"type": "text", "text": "a"})])


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("bad_request", 400, "invalid_request_error"),
        ("not_a_video", 400, "invalid_request_error"),
        ("no_session", 404, "invalid_request_error"),
        ("too_large", 413, "invalid_request_error"),
        ("too_many_requests", 429, "rate_limit_error"),
        ("worker_crashed", 503, "server_error"),
    ],
)
def test_refusals_have_statuses_that_clients_know(code: str, status: int, kind: str) -> None:
    got, document = error_document(RefusedError(code, "Words."))
    assert got == status
    assert document == {"error": {"message": "Words.", "type": kind, "param": None, "code": code}}
