"""A server with a key: who has it gets in, by the ways that programs and browsers have; nothing else is told."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import sama_plugin
from sama_plugin.demo.model_source import ModelSource
from sama_plugin.demo.server import build_app
from tests.demo.served import load_shipped

KEY = "s3cret-key"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """The server's routes; its model is not loaded, as none of them needs it."""
    app = build_app(
        ModelSource(load_shipped, (), Path(sama_plugin.shipped_checkpoint())), work=tmp_path, key=KEY
    )
    yield TestClient(app, base_url="http://localhost")
    app.state.pool.work.remove()


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "sent",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer wrong",
        b"Bearer s3cret-",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"\xff\xfe"),
        basic(KEY),
        basic(f"{KEY}:x"),
        KEY.encode(),
        b"Digest " + KEY.encode(),
        b"Bearer \xff",
    ],
)
def test_without_the_key_nothing_is_answered(
    client: TestClient, sent: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {} if sent is None else {b"Authorization": sent}
    with caplog.at_level(logging.DEBUG):
        for path in ("/v1/models", "/api/status", "/"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert ("www-authenticate" in answer.headers) is not path.startswith("/v1")
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("sent", [f"Bearer {KEY}", f"bearer  {KEY} "])
def test_a_program_sends_the_key(client: TestClient, sent: str) -> None:
    assert client.get("/v1/models", headers={b"Authorization": sent.encode()}).status_code == 200


def test_a_browser_sends_the_key_as_a_password(client: TestClient) -> None:
    for user in ("", "anybody"):
        assert (
            client.get("/api/status", headers={b"Authorization": basic(f"{user}:{KEY}")}).status_code == 200
        )
