"""Messages of a chat, the whole history each time → a video, finished rounds, and the question to be answered."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sama_plugin.constants import SPECIAL_TOKENS
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.openai.errors import BadParameterError
from sama_plugin.demo.openai.fields import list_of, object_of, text_of
from sama_plugin.errors import PromptError
from sama_plugin.prompting.placeholders import check_question

SESSION_SCHEME = "sama:"
DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.=+-]+)*;base64,", re.ASCII | re.IGNORECASE)
PICTURES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp"}
"""What a clip of one frame may be; its name says so to the decoder."""

MOST_PARTS = 64
"""Of a message."""

VIDEO_PARTS = "text, video_url, image_url and file"


@dataclass(frozen=True)
class Video:
    """What a chat is about, as a client names it.

    Attributes:
        kind: `session` one that is there, `file` an upload, `data` bytes in the request.
        value: the session, the file's id, or the bytes.
        suffix: of a file with these bytes, where it matters.
    """

    kind: Literal["session", "file", "data"]
    value: str | bytes
    suffix: str = ""


@dataclass(frozen=True)
class Reply:
    """What the model said, as a client tells it.

    Attributes:
        text: clean.
        sama: the extension of the message, if the client sent it back: `session`, `raw`, `objects`.
    """

    text: str
    sama: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Round:
    """A question and its answer."""

    question: str
    reply: Reply


@dataclass(frozen=True)
class Chat:
    """A conversation as a client tells it.

    Attributes:
        video: None where no message has one.
        rounds: that are finished.
        question: to be answered.
    """

    video: Video | None
    rounds: tuple[Round, ...]
    question: str


def parse_messages(value: Any, limits: Limits) -> Chat:
    """Read `messages`.

    Raises:
        BadParameterError: they are not of OpenAI's form, or ask for what there is not.
    """
    messages = list_of(value, "messages", 2 * limits.turns + 1)
    said = [(param := f"messages[{i}]", _parse_message(one, param, limits)) for i, one in enumerate(messages)]
    turns = [(param, content) for param, content in said if content is not None]
    if not turns:
        raise BadParameterError("messages has no question; send a message of role user.", "messages")
    for place, (param, content) in enumerate(turns):
        if isinstance(content, Reply) == (place % 2 == 0):
            raise BadParameterError(
                f"{param} is of the same role as the one before, or the first is of the assistant; messages alternate: "
                "user, assistant, ..., user.",
                param,
            )
    if len(turns) % 2 == 0:
        raise BadParameterError(
            "The last message is the assistant's; expected the user's question.", "messages"
        )
    asked = [content for _, content in turns if isinstance(content, _Asked)]
    replies = [content for _, content in turns if isinstance(content, Reply)]
    rounds = tuple(Round(one.text, reply) for one, reply in zip(asked, replies, strict=False))
    return Chat(_one_video(asked), rounds, asked[-1].text)


def parse_video_url(url: str, param: str) -> Video:
    """Read the URL of a video or picture.

    Raises:
        BadParameterError: it is neither a data URL nor a session.
    """
    if url.startswith(SESSION_SCHEME):
        return Video("session", url.removeprefix(SESSION_SCHEME))
    match = DATA_URL.match(url)
    if match is None:
        raise BadParameterError(
            f"{param} is {url[:40]!r}...; this server fetches nothing from elsewhere. Send the bytes as "
            "data:video/mp4;base64,..., upload them by POST /v1/files, or name a session as sama:ID.",
            param,
        )
    return Video("data", _decode(url[match.end() :], param), PICTURES.get((match["type"] or "").lower(), ""))


@dataclass(frozen=True)
class _Asked:
    """What the user said, with the videos that were shown."""

    text: str
    videos: tuple[tuple[str, Video], ...]


def _parse_message(value: Any, param: str, limits: Limits) -> _Asked | Reply | None:
    """A message; None of a system message, which has nothing to say."""
    message = object_of(value, param)
    role = text_of(message.get("role"), f"{param}.role")
    if role == "user":
        return _parse_user(message.get("content"), f"{param}.content", limits)
    if role == "assistant":
        return _parse_assistant(message, param)
    if role in ("system", "developer"):
        _check_system(message.get("content"), f"{param}.content")
        return None
    raise BadParameterError(
        f"{param}.role is {role[:40]!r}, expected user or assistant; this model calls no tools.",
        f"{param}.role",
    )


def _check_system(content: Any, param: str) -> None:
    if _joined_text(content, param).strip():
        raise BadParameterError(
            f"{param}: the model was trained with one fixed system message, which its template has already; another "
            "one would not be followed. Leave it out, or say it in the question.",
            param,
            "unsupported_value",
        )


def _parse_user(content: Any, param: str, limits: Limits) -> _Asked:
    parts = _parts(content, param)
    videos: list[tuple[str, Video]] = []
    texts: list[str] = []
    for place, (kind, part) in parts:
        if kind == "text":
            texts.append(text_of(part.get("text"), f"{place}.text"))
        elif kind in ("video_url", "image_url"):
            address = object_of(part.get(kind), f"{place}.{kind}")
            where = f"{place}.{kind}.url"
            videos.append((where, parse_video_url(text_of(address.get("url"), where), where)))
        elif kind == "file":
            videos.append((f"{place}.file", _parse_file(part.get("file"), f"{place}.file")))
        else:
            raise BadParameterError(
                f"{place}.type is {kind[:40]!r}; a message here has {VIDEO_PARTS}.", f"{place}.type"
            )
    question = "\n".join(texts)
    if len(question) > limits.question_chars:
        raise BadParameterError(
            f"{param} has {len(question)} characters, at most {limits.question_chars} are taken.", param
        )
    try:
        check_question(question, ())
    except PromptError as error:
        raise BadParameterError(f"{param}: {error}", param) from error
    return _Asked(question, tuple(videos))


def _parse_file(value: Any, param: str) -> Video:
    """An upload, or its bytes as a data URL."""
    file = object_of(value, param)
    if file.get("file_id") is not None:
        return Video("file", text_of(file["file_id"], f"{param}.file_id"))
    return parse_video_url(text_of(file.get("file_data"), f"{param}.file_data"), f"{param}.file_data")


def _parse_assistant(message: dict[str, Any], param: str) -> Reply:
    for name in ("tool_calls", "function_call", "audio"):
        if message.get(name):
            raise BadParameterError(f"{param}.{name}: this model calls no tools and speaks no audio.", param)
    text = _joined_text(message.get("content"), f"{param}.content")
    for token in SPECIAL_TOKENS:
        if token in text:
            raise BadParameterError(
                f"{param}.content contains {token!r}, which is reserved for the model; send the content as it came, "
                "and the message's sama with it.",
                f"{param}.content",
            )
    sama = message.get("sama")
    return Reply(text, None if sama is None else object_of(sama, f"{param}.sama"))


def _joined_text(content: Any, param: str) -> str:
    """Text, or parts that are all text."""
    if content is None:
        return ""
    texts = []
    for place, (kind, part) in _parts(content, param):
        if kind != "text":
            raise BadParameterError(f"{place}.type is {kind[:40]!r}, expected text.", f"{place}.type")
        texts.append(text_of(part.get("text"), f"{place}.text"))
    return "\n".join(texts)


def _parts(content: Any, param: str) -> list[tuple[str, tuple[str, dict[str, Any]]]]:
    """Place, kind and body of each part; plain text is one."""
    if isinstance(content, str):
        return [(param, ("text", {"text": content}))]
    parts = []
    for i, value in enumerate(list_of(content, param, MOST_PARTS)):
        part = object_of(value, f"{param}[{i}]")
        parts.append((f"{param}[{i}]", (text_of(part.get("type"), f"{param}[{i}].type"), part)))
    return parts


def _one_video(asked: list[_Asked]) -> Video | None:
    """The video of a chat; it may be shown again in every message."""
    shown = [found for one in asked for found in one.videos]
    for param, video in shown[1:]:
        if video != shown[0][1]:
            raise BadParameterError(
                f"{param} is another video than {shown[0][0]}; a conversation is about one. Begin another one.",
                param,
            )
    return shown[0][1] if shown else None


def _decode(text: str, param: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadParameterError(f"{param} is no whole base64 ({error}).", param) from error
