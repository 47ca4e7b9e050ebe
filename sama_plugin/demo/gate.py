"""What every request has to pass before a route sees it: from where it comes, what it carries, where it wants to.

- Its `Host` is a name of this server: a foreign page whose name was pointed at this machine gets nothing.
- What changes something comes from our own page, or from no page, and is JSON or a file's bytes: forms of foreign pages
  are neither.
- Bodies that are no uploads are bounded, whether or not they say how long they are.
- Gradio's own ways to files, uploads and other servers are closed; ours are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sama_plugin.demo import openai_errors
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.routes import error_response

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
BODY_KINDS = ("application/json", "application/octet-stream")
FORM = "multipart/form-data"
UPLOAD_PATH = "/api/sessions"
OPENAI = "/v1/"
FILES_PATH, CHAT_PATH = f"{OPENAI}files", f"{OPENAI}chat/completions"
CLOSE_PATH = re.compile(r"/api/sessions/[^/]+/close")
"""A page that goes away says so by a beacon, which cannot name its kind of body."""

GRADIO_CLOSED = re.compile(
    r"/(gradio_api/)?(upload|upload_progress|file|file=.*|proxy=.*|stream|component_server|custom_component|"
    r"deep_link|process_recording|monitoring|login|logout|vibe-.*|dev|download)(/.*)?"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware; see the module.

    Args:
        app: what is behind it.
        limits: of bodies.
        hosts: names of this server beside the local ones; `*` is any.
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Collection[str]):
        self.app = app
        self.limits = limits
        self.hosts = {*LOCAL_NAMES, *hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
            bounded = self._bounded(receive, scope)
            await self.app(scope, bounded, _with_headers(send))
        except RefusedError as refusal:
            respond = openai_errors.error_response if scope["path"].startswith(OPENAI) else error_response
            await respond(refusal)(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = _host_name(headers.get("host", ""))
        if host not in self.hosts and "*" not in self.hosts:
            raise RefusedError(
                "forbidden",
                f"This server is not called {host[:80]!r}; open it as {', '.join(LOCAL_NAMES[:2])}, or start it with "
                "--host NAME.",
            )
        if GRADIO_CLOSED.fullmatch(scope["path"]):
            raise RefusedError("not_found", "There is nothing here.")
        if scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            raise RefusedError("forbidden", "This request comes from another site's page.")
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        kinds = (FORM,) if scope["path"] == FILES_PATH else BODY_KINDS
        if has_body and kind not in kinds and not CLOSE_PATH.fullmatch(scope["path"]):
            raise RefusedError("bad_request", f"The body is {kind[:40]!r}, expected {' or '.join(kinds)}.")

    def _bounded(self, receive: Receive, scope: Scope) -> Receive:
        """`receive`, which refuses a body that is too long; uploads have a limit of their own."""
        kind = Headers(scope=scope).get("content-type", "")
        is_upload = scope["path"] == UPLOAD_PATH and not kind.startswith("application/json")
        if is_upload or scope["path"] == FILES_PATH:
            return receive
        most = left = self.limits.chat_bytes if scope["path"] == CHAT_PATH else self.limits.body_bytes

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise RefusedError(
                    "too_large",
                    f"The request is longer than {most} bytes, which is the most; upload a video first.",
                )
            return message

        return receive_bounded


def _with_headers(send: Send) -> Send:
    """`send`, which adds what browsers are to heed."""

    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_more


def _host_name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
