"""What passes the gate, and what the answer to it has to say."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from sama_plugin.demo.gate import Gate
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.responses import error_response

JSON = {"content-type": "application/json"}


def ask(method: str, path: str, **settings: Any) -> httpx.Response:
    """Send a request through the gate to an app that answers everything with the length of its body."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def take(path: str, request: Request) -> int:
        return len(await request.body())

    app.add_exception_handler(RefusedError, lambda _, error: error_response(error))  # type: ignore[arg-type]
    gate = Gate(app, Limits(body_bytes=100, upload_bytes=200, chat_bytes=150), {"my-server"})

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(gate), base_url="http://localhost:7860"
        ) as client:
            return await client.request(method, path, **settings)

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("localhost:7860", True),
        ("127.0.0.1:7860", True),
        ("192.168.1.20", True),
        ("[::1]:7860", True),
        ("my-server:7860", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_only_names_of_the_server_and_addresses_pass(host: str, passes: bool) -> None:
    response = ask("GET", "/api/status", headers={"host": host})
    assert response.status_code == (200 if passes else 403)


@pytest.mark.parametrize(
    ("origin", "passes"),
    [
        ("http://localhost:7860", True),
        ("http://localhost:7861", False),
        ("https://evil.example", False),
        ("null", False),
        ("http://[::1", False),
    ],
)
def test_what_changes_something_comes_from_the_own_page(origin: str, passes: bool) -> None:
    headers = {"origin": origin, **JSON}
    response = ask("POST", "/api/sessions/x/ask", content=b"{}", headers=headers)
    assert response.status_code == (200 if passes else 403)
    assert ask("GET", "/api/status", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "kind", "passes"),
    [
        ("/api/sessions", "application/octet-stream", True),
        ("/api/sessions", "application/json; charset=utf-8", True),
        ("/api/sessions", "multipart/form-data", False),
        ("/api/sessions", "text/plain", False),
        ("/api/sessions/x/ask", "application/octet-stream", False),
        ("/api/sessions/x/ask", "application/x-www-form-urlencoded", False),
        ("/api/sessions/x/ask", "", False),
        ("/v1/files", "multipart/form-data; boundary=x", True),
    ],
)
def test_bodies_are_of_the_kind_a_foreign_form_cannot_send(path: str, kind: str, passes: bool) -> None:
    response = ask("POST", path, content=b"12", headers={"content-type": kind})
    assert response.status_code == (200 if passes else 422)


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/api/sessions/x/regions", "application/json", 100),
        ("/api/sessions", "application/octet-stream", 200),
        ("/v1/chat/completions", "application/json", 150),
    ],
)
def test_bodies_are_bounded_whether_or_not_they_say_how_long_they_are(
    path: str, kind: str, most: int
) -> None:
    async def chunks(size: int) -> Any:
        for _ in range(size):
            yield b"x"

    headers = {"content-type": kind}
    assert ask("POST", path, content=b"x" * most, headers=headers).json() == most
    assert ask("POST", path, content=b"x" * (most + 1), headers=headers).status_code == 413
    assert ask("POST", path, content=chunks(most), headers=headers).json() == most
    assert ask("POST", path, content=chunks(most + 1), headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("/", True),
        ("/config", True),
        ("/static/sama/page.js", True),
        ("/assets/index.js", True),
        ("/gradio_api/heartbeat/abc", True),
        ("/gradio_api/upload", False),
        ("/gradio_api/file=/etc/passwd", False),
        ("/gradio_api/file/etc/passwd", False),
        ("/gradio_api/proxy=http://evil.example", False),
        ("/gradio_api/queue/join", False),
        ("/file=/etc/passwd", False),
        ("/proxy=x", False),
        ("/login", False),
        ("/monitoring/summary", False),
    ],
)
def test_gradios_own_ways_to_files_are_closed(path: str, passes: bool) -> None:
    assert ask("GET", path).status_code == (200 if passes else 404)


def test_every_answer_tells_browsers_what_to_heed() -> None:
    headers = ask("GET", "/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in headers["content-security-policy"]
