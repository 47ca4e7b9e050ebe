from __future__ import annotations

import json
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.data.chat_format import image_part, text_part, token_counts
from sama_plugin.data.endpoint import Endpoint
from sama_plugin.data.reply_cache import ReplyCache
from sama_plugin.data.request_pace import RequestPace, backoff_s, retry_after_s
from sama_plugin.errors import DataError, EndpointError, HostError, ReplyError
from tests.data.chat_server import Misbehaviour, chat_server

KEY = "sk-secret-0123456789"
ASK = [{"role": "user", "content": "How like is it?"}]
SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 100}},
    "required": ["score"],
    "additionalProperties": False,
}


@pytest.fixture(autouse=True)
def quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_plugin.data.request_pace.FIRST_WAIT_S", 0.001)


def echo(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def score(_: dict[str, Any]) -> str:
    return '{"score": 87}'


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        (None, (0, 0)),
        ("many", (0, 0)),
        ([3, 4], (0, 0)),
        ({"prompt_tokens": "3", "completion_tokens": -1}, (0, 0)),
        ({"prompt_tokens": float("inf"), "completion_tokens": None}, (0, 0)),
    ],
)
def test_tokens_are_counted_where_a_server_says_numbers(usage: Any, tokens: tuple[int, int]) -> None:
    assert token_counts({"usage": usage}) == tokens


def test_text_comes_back_with_its_cost() -> None:
    with chat_server(echo) as server, Endpoint(server.url, "m", price_in=2.0, price_out=10.0) as endpoint:
        reply = endpoint.complete(ASK, temperature=0.3, max_tokens=7)
    assert reply.text == "How like is it?"
    assert reply.parsed is None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (100, 20)
    assert reply.usage.cost == pytest.approx(100 * 2e-6 + 20 * 10e-6)
    assert endpoint.spent == reply.usage
    assert server.requests == [{"model": "m", "messages": ASK, "temperature": 0.3, "max_tokens": 7}]


def test_a_schema_is_sent_and_the_reply_checked() -> None:
    with chat_server(score) as server, Endpoint(server.url, "m") as endpoint:
        assert endpoint.complete(ASK, SCORE).parsed == {"score": 87}
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == SCORE


@pytest.mark.parametrize("text", ['```json\n{"score": 87}\n```', ' {"score": 87}\n', '```\n{"score": 87}```'])
def test_a_fence_about_json_is_taken_off(text: str) -> None:
    with chat_server(lambda _: text) as server, Endpoint(server.url, "m") as endpoint:
        assert endpoint.complete(ASK, SCORE).parsed == {"score": 87}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("I think 87", "not JSON"),
        (r'{"score": 1, "\ud83d": 2}', "can't encode character"),
        ("[" * 100_000, "recursion depth"),
        ('{"score": 870}', "870"),
        ("{}", "required"),
        ('{"score": 1, "x": 2}', "x"),
    ],
)
def test_a_wrong_reply_says_what_is_wrong_and_is_not_kept(tmp_path: Path, text: str, fault: str) -> None:
    with chat_server(lambda _: text) as server, Endpoint(server.url, "m", cache=tmp_path) as endpoint:
        for _ in range(2):
            with pytest.raises(ReplyError, match=fault) as caught:
                endpoint.complete(ASK, SCORE)
            assert caught.value.text == text
            assert fault in caught.value.faults[0]
    assert len(server.requests) == 2
    assert endpoint.spent.requests == 2


def test_a_server_without_schemas_is_asked_in_words_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with chat_server(score, knows_schema=False) as server, Endpoint(server.url, "m") as endpoint:
        for k in range(2):
            assert endpoint.complete([{"role": "user", "content": f"{k}"}], SCORE).parsed == {"score": 87}
    assert [("response_format" in body) for body in server.requests] == [True, False, False]
    assert '"minimum": 0' in server.requests[1]["messages"][-1]["content"][-1]["text"]
    assert caplog.text.count("does not know JSON schemas") == 1


@pytest.mark.parametrize("deed", ["drop", "429", "429-after", "500", "503", "torn"])
def test_what_fails_in_passing_is_tried_again(deed: str) -> None:
    trouble = Misbehaviour(plan=[deed, deed])
    with chat_server(echo, trouble) as server, Endpoint(server.url, "m", tries=3) as endpoint:
        assert endpoint.complete(ASK).usage.retries == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("deed", "kind", "words", "requests"),
    [
        ("drop", "down", "cannot be reached.*Tried 2 times", 2),
        ("429", "limited", "429: slow down.*Tried 2 times", 2),
        ("500", "down", "HTTP 500", 2),
        ("torn", "down", "torn answer", 2),
        ("400", "refused", "HTTP 400.*check the URL, the model 'm'", 1),
        ("404", "refused", "HTTP 404", 1),
        ("403", "denied", "HTTP 403", 1),
    ],
)
def test_what_does_not_pass_is_told_by_kind(deed: str, kind: str, words: str, requests: int) -> None:
    trouble = Misbehaviour(plan=[deed] * 9)
    with (
        chat_server(echo, trouble) as server,
        Endpoint(server.url, "m", tries=2) as endpoint,
        pytest.raises(EndpointError, match=words) as caught,
    ):
        endpoint.complete(ASK)
    assert caught.value.kind == kind
    assert len(server.requests) == requests


def test_a_slow_server_is_given_up() -> None:
    trouble = Misbehaviour(plan=["slow"] * 2, slow_s=0.4)
    with (
        chat_server(echo, trouble) as server,
        Endpoint(server.url, "m", tries=2, timeout_s=0.1) as endpoint,
        pytest.raises(EndpointError, match=r"no answer within 0\.1 s") as caught,
    ):
        endpoint.complete(ASK)
    assert caught.value.kind == "slow"


def test_nobody_there_is_down() -> None:
    with Endpoint("http://127.0.0.1:9", "m", tries=1) as endpoint, pytest.raises(EndpointError) as caught:
        endpoint.complete(ASK)
    assert caught.value.kind == "down"


def test_a_wait_that_is_too_long_ends_the_request() -> None:
    trouble = Misbehaviour(plan=["429-after"])
    with (
        chat_server(echo, trouble) as server,
        Endpoint(server.url, "m", longest_wait_s=0.05) as endpoint,
        pytest.raises(EndpointError, match="asks to wait") as caught,
    ):
        endpoint.complete(ASK)
    assert caught.value.kind == "limited"


def test_closing_ends_what_waits() -> None:
    trouble = Misbehaviour(plan=["429-after"] * 9, retry_after_s=60)
    with chat_server(echo, trouble) as server, ThreadPoolExecutor(2) as pool:
        endpoint = Endpoint(server.url, "m")
        waiting = [pool.submit(endpoint.complete, ASK, max_tokens=k) for k in (1, 2)]
        while not server.done:
            time.sleep(0.01)
        endpoint.close()
        for future in waiting:
            with pytest.raises(EndpointError):
                future.result(timeout=5)


def test_the_same_request_is_paid_once(tmp_path: Path) -> None:
    with chat_server(score) as server:
        for _ in range(2):
            with Endpoint(server.url, "m", cache=tmp_path, price_in=1.0) as endpoint:
                reply = endpoint.complete(ASK, SCORE)
        for change in ({"temperature": 0.5}, {"max_tokens": 9}):
            with Endpoint(server.url, "m", cache=tmp_path) as endpoint:
                endpoint.complete(ASK, SCORE, **change)
    assert len(server.requests) == 3
    assert (reply.parsed, reply.usage.cached, reply.usage.requests) == ({"score": 87}, 1, 0)
    assert reply.usage.cost == pytest.approx(1e-4)


def test_threads_that_want_the_same_pay_once(tmp_path: Path) -> None:
    trouble = Misbehaviour({"slow": 1.0}, slow_s=0.1)
    with (
        chat_server(score, trouble) as server,
        Endpoint(server.url, "m", cache=tmp_path) as endpoint,
        ThreadPoolExecutor(4) as pool,
    ):
        replies = list(pool.map(lambda _: endpoint.complete(ASK, SCORE), range(4)))
    assert len(server.requests) == 1
    assert {reply.text for reply in replies} == {'{"score": 87}'}
    assert (endpoint.spent.requests, endpoint.spent.cached) == (1, 3)


@pytest.mark.parametrize("damage", ['{"text"', "[" * 100_000, '{"text": "x"}', '{"text": "x", "usage": 3}'])
def test_a_damaged_reply_is_named_and_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with chat_server(score) as server, Endpoint(server.url, "m", cache=tmp_path) as endpoint:
        endpoint.complete(ASK)
        (path,) = tmp_path.rglob("*.json")
        path.write_text(damage)
        assert endpoint.complete(ASK).text == '{"score": 87}'
    assert str(path) in caplog.text
    assert json.loads(path.read_text())["text"] == '{"score": 87}'


def test_the_key_is_sent_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    trouble = Misbehaviour(plan=["429", "drop"])
    with (
        chat_server(lambda _: f"your key is {KEY}", trouble, key=KEY) as server,
        Endpoint(server.url, "m", key_env="MY_KEY", cache=tmp_path) as endpoint,
    ):
        reply = endpoint.complete(ASK)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert kept
    assert KEY not in kept + caplog.text + reply.text + repr(endpoint.__dict__["spent"])


def test_a_key_that_is_refused_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with (
        chat_server(echo, key="another") as server,
        Endpoint(server.url, "m", key_env="MY_KEY") as endpoint,
        pytest.raises(EndpointError, match=r"does not accept the key in MY_KEY.*Bearer \*\*\*") as caught,
    ):
        endpoint.complete(ASK)
    assert caught.value.kind == "denied"
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "key_env", "words"),
    [
        ("localhost:8000", None, "expected a URL"),
        ("http://h/v1?key=abc", None, "put the key into an environment variable"),
        ("http://u:abc@h/v1", None, "put the key into an environment variable"),
        ("http://h/v1", "NO_SUCH_KEY", "NO_SUCH_KEY holds no key"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(url: str, key_env: str | None, words: str) -> None:
    with pytest.raises(HostError, match=words) as caught:
        Endpoint(url, "m", key_env=key_env)
    assert "abc" not in str(caught.value)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.__import__", _without("httpx"))
    with pytest.raises(HostError, match=r"httpx: pip install sama-plugin\[annotate\]"):
        Endpoint("http://h/v1", "m")


def _without(name: str) -> Any:
    real = __import__

    def missing(wanted: str, *args: Any, **kwargs: Any) -> Any:
        if wanted == name:
            raise ImportError(f"No module named {name}", name=name)
        return real(wanted, *args, **kwargs)

    return missing


def test_pictures_go_along() -> None:
    parts = [text_part("What is it?"), image_part(np.zeros((8, 8, 3), np.uint8))]
    with (
        chat_server(lambda body: body["messages"][0]["content"][1]["image_url"]["url"][:23]) as server,
        Endpoint(server.url, "m") as endpoint,
    ):
        assert endpoint.complete([{"role": "user", "content": parts}]).text == "data:image/jpeg;base64,"


def test_pace_spaces_requests_and_heeds_pauses() -> None:
    clock = [0.0]
    pace = RequestPace(60, now=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s))
    times = []
    for k in range(4):
        if k == 3:
            pace.pause(10.0)
        pace.wait_turn()
        times.append(clock[0])
    assert times == [0.0, 1.0, 2.0, 12.0]


def test_backoff_doubles_within_its_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sama_plugin.data.request_pace.FIRST_WAIT_S", 1.0)
    rng = random.Random(0)
    for attempt in range(12):
        whole = min(2.0**attempt, 60.0)
        assert whole / 2 <= backoff_s(attempt, rng) <= whole


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now_s=40.0) == seconds


def test_no_folder_keeps_nothing() -> None:
    cache = ReplyCache(None)
    cache.write("ab", {"text": "x"})
    assert cache.read("ab") is None


def test_a_reply_that_cannot_be_kept_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*what: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DataError, match="No space left on device; choose another cache"):
        ReplyCache(tmp_path).write("ab", {"text": "x", "usage": {}})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
