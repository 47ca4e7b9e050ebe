"""A chat model behind any OpenAI-compatible URL: text and images in, text or checked JSON out.

A request that fails in passing (no connection, 408, 429, 5xx, a torn answer) is made again, later each time, as the
server's `Retry-After` says where it says so. Replies are kept on disk by everything that decides them. The key comes
from an environment variable and goes into one header only: never into logs, errors, kept replies or reports.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sama_plugin.data.chat_format import (
    is_about_schema,
    parse_reply,
    read_answer,
    request_body,
    server_words,
    token_counts,
)
from sama_plugin.data.reply_cache import ReplyCache
from sama_plugin.data.request_pace import RequestPace, backoff_s, retry_after_s
from sama_plugin.errors import EndpointError, HostError, ReplyError

logger = logging.getLogger(__name__)

PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
"""HTTP codes after which the same request may well be answered."""

DENIED = {401, 403}


@dataclass(frozen=True)
class Usage:
    """What replies took.

    Attributes:
        requests: answered by the model.
        cached: taken from disk; their tokens are not counted again.
        retries: attempts that failed and were made again.
        input_tokens, output_tokens: as the server counts them.
        cost: by the prices given, in their currency.
    """

    requests: int = 0
    cached: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


@dataclass(frozen=True)
class Reply:
    """What the model said.

    Attributes:
        text: as it came.
        parsed: the JSON in it, of the schema; None if no schema was asked for.
        usage: of this reply; for a kept one, what it took when it was made, with `cached` 1.
    """

    text: str
    parsed: Any = None
    usage: Usage = field(default_factory=Usage)


class Endpoint:
    """A model that answers `complete` from any number of threads.

    Args:
        url: up to and without `/chat/completions`, such as `http://localhost:8000/v1`.
        model: its name there.
        key_env: environment variable that holds the key; None sends none.
        cache: folder of kept replies; None keeps none.
        price_in, price_out: of a million tokens.
        per_minute: most requests a minute; None sets no limit.
        tries: attempts at a request, 1 or more.
        timeout_s: for a whole answer.
        longest_wait_s: a server that asks to wait longer ends the request.

    Attributes:
        spent: of this object's replies so far.

    Raises:
        HostError: httpx or jsonschema is not installed, the variable is not set, or the URL is none.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_env: str | None = None,
        cache: Path | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
        per_minute: float | None = None,
        tries: int = 6,
        timeout_s: float = 120.0,
        longest_wait_s: float = 300.0,
    ) -> None:
        self.url, self.model = _checked_url(url), model
        self._key = None if key_env is None else key_from(key_env)
        self._key_env = key_env
        self._cache = ReplyCache(cache)
        self._prices = (price_in / 1e6, price_out / 1e6)
        self._closed = threading.Event()
        self._pace = RequestPace(per_minute, sleep=self._closed.wait)
        self._tries, self._timeout_s, self._longest_wait_s = tries, timeout_s, longest_wait_s
        self._rng = random.Random()
        self._lock = threading.Lock()
        self._knows_schema = True
        self.spent = Usage()
        self._client = _open_client(self._key, timeout_s)

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connections and end every request that waits for another attempt."""
        self._closed.set()
        self._client.close()

    def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        schema: Mapping[str, Any] | None = None,
        *,
        temperature: float = 0.0,
        max_tokens: int = 1024,
    ) -> Reply:
        """Ask the model, or take the kept reply to the same request.

        Args:
            messages: `{"role", "content"}`; content is text, or a list of
                `chat_format.text_part` and `image_part`.
            schema: JSON schema of the reply; None takes any text. A reply that breaks it is not kept.
            temperature: 0 for the likeliest reply.
            max_tokens: of the reply.

        Raises:
            EndpointError: no answer; its `kind` says why.
            ReplyError: an answer that is not JSON of the schema, or was cut off at `max_tokens`.
            DataError: the cache cannot be written.
        """
        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        digest = ReplyCache.digest({"url": self.url, "schema": schema, **request})
        with self._cache.only_one(digest):
            kept = self._cache.read(digest)
            if kept is not None:
                usage = Usage(**{**kept["usage"], "cached": 1, "requests": 0, "retries": 0})
                self._count(Usage(cached=1))
                return Reply(kept["text"], parse_reply(kept["text"], schema), usage)
            text, usage = self._ask(request, schema)
            self._count(usage)
            try:
                parsed = parse_reply(text, schema)
            except ReplyError as error:
                error.usage = usage
                raise
            self._cache.write(digest, {"model": self.model, "text": text, "usage": asdict(usage)})
        return Reply(text, parsed, usage)

    def _count(self, usage: Usage) -> None:
        with self._lock:
            self.spent += usage

    def _ask(self, request: dict[str, Any], schema: Mapping[str, Any] | None) -> tuple[str, Usage]:
        """Make a request until it is answered; text and usage of the answer."""
        problem = EndpointError(f"{self.url} was not asked.")
        attempt = 0
        while attempt < self._tries:
            in_words = not self._knows_schema
            self._pace.wait_turn()
            if self._closed.is_set():
                raise EndpointError(f"{problem} It was closed meanwhile.", problem.kind)
            try:
                status, headers, body = self._post(request_body(request, schema, in_words=in_words))
            except EndpointError as error:
                problem = error
                wait_s = backoff_s(attempt, self._rng)
            else:
                if status == 200 and (answer := read_answer(body)) is not None:
                    return self._checked(answer, attempt)
                if schema is not None and not in_words and is_about_schema(status, body):
                    self._give_up_schema(status, body)
                    continue
                problem, wait_s = self._judge(status, headers, body, attempt)
            attempt += 1
            if attempt < self._tries:
                logger.info("%s Again in %.1f s.", problem, wait_s)
                self._closed.wait(wait_s)
        raise EndpointError(f"{problem} Tried {self._tries} times.", problem.kind)

    def _post(self, body: dict[str, Any]) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one attempt, within the time allowed for all of it."""
        import httpx

        limit_s = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as answer:
                content = b""
                for piece in answer.iter_bytes():
                    content += piece
                    if time.monotonic() > limit_s:
                        raise httpx.ReadTimeout("the answer never ends")
                return answer.status_code, answer.headers, content
        except httpx.TimeoutException as error:
            raise EndpointError(
                f"{self.url} gave no answer within {self._timeout_s:g} s ({self._clean(str(error))}).", "slow"
            ) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            said = self._clean(str(error)) or type(error).__name__
            raise EndpointError(f"{self.url} cannot be reached: {said}.", "down") from None
        except RuntimeError:
            if not self._client.is_closed:
                raise
            raise EndpointError(f"{self.url} was given up meanwhile.", "down") from None

    def _judge(
        self, status: int, headers: Mapping[str, str], body: bytes, attempt: int
    ) -> tuple[EndpointError, float]:
        """What a failed attempt means, and how long to wait; raises where waiting does not help."""
        said = self._clean(server_words(body))
        if status in DENIED:
            key = f"the key in {self._key_env}" if self._key_env else "requests without a key"
            raise EndpointError(f"{self.url} does not accept {key} (HTTP {status}: {said}).", "denied")
        if status != 200 and status not in PASSING:
            raise EndpointError(
                f"{self.url} refuses the request (HTTP {status}: {said}); check the URL, the model "
                f"'{self.model}' and whether it takes images.",
                "refused",
            )
        kind = "limited" if status == 429 else "down"
        what = "gave a torn answer" if status == 200 else f"answered HTTP {status}: {said}"
        problem = EndpointError(f"{self.url} {what}.", kind)
        asked_s = retry_after_s(headers.get("retry-after"))
        if asked_s is None:
            return problem, backoff_s(attempt, self._rng)
        if asked_s > self._longest_wait_s:
            raise EndpointError(
                f"{self.url} asks to wait {asked_s:.0f} s, longer than {self._longest_wait_s:.0f} s: {said}.",
                kind,
            )
        self._pace.pause(asked_s)
        return problem, asked_s

    def _checked(self, answer: dict[str, Any], attempt: int) -> tuple[str, Usage]:
        """Text and usage of a whole answer; one that was cut off is paid for all the same."""
        choice = answer["choices"][0]
        tokens_in, tokens_out = token_counts(answer)
        cost = tokens_in * self._prices[0] + tokens_out * self._prices[1]
        usage = Usage(1, 0, attempt, tokens_in, tokens_out, cost)
        text = self._clean(choice["message"]["content"])
        if choice.get("finish_reason") == "length":
            self._count(usage)
            faults = ("It was cut off: be briefer.",)
            raise ReplyError("The reply was cut off at its token limit.", text, faults, usage)
        return text, usage

    def _give_up_schema(self, status: int, body: bytes) -> None:
        with self._lock:
            if self._knows_schema:
                logger.warning(
                    "%s does not know JSON schemas (HTTP %d: %s); from here the form is asked for in words.",
                    self.url,
                    status,
                    self._clean(server_words(body)),
                )
            self._knows_schema = False

    def _clean(self, text: str) -> str:
        """A server's words without the key, should it repeat it."""
        return text.replace(self._key, "***") if self._key else text


def _open_client(key: str | None, timeout_s: float) -> Any:
    try:
        import httpx
        import jsonschema  # noqa: F401 - missing ones are told before anything is paid for
    except ImportError as error:
        raise HostError(
            f"Asking a model behind a URL needs {error.name}: pip install sama-plugin[annotate]"
        ) from error
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        headers=headers, timeout=httpx.Timeout(timeout_s), limits=httpx.Limits(max_connections=None)
    )


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise HostError(f"The endpoint is {url!r}, expected a URL such as http://localhost:8000/v1.")
    if parts.query or parts.username or parts.password:
        raise HostError(
            f"The endpoint's URL ({parts.scheme}://{parts.hostname}...) holds a query or a password; "
            "put the key into an environment variable and name that."
        )
    return url.rstrip("/").removesuffix("/chat/completions")


def key_from(key_env: str) -> str:
    """The key that an environment variable holds.

    Raises:
        HostError: it holds none.
    """
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise HostError(f"The environment variable {key_env} holds no key; export it, or name another.")
    if not key.isascii() or not key.isprintable():
        raise HostError(f"The environment variable {key_env} holds characters that no key has.")
    return key
