"""What every request has to pass before a route sees it: from where it comes, what it carries, where it wants to.

- Its `Host` is a name of this server, or an address: a foreign page whose name was pointed at this machine gets
  nothing.
- What changes something comes from our own page, or from no page, and is JSON or a file's bytes: forms of foreign pages
  are neither.
- Bodies that are no uploads are bounded, whether or not they say how long they are.
- It is for a path of ours, or one that the page needs of Gradio's: its ways to files, uploads and other servers are
  closed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.openai import errors as openai_errors
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.responses import error_response
from sama_plugin.demo.uploads import too_large

LOCAL_NAME = "localhost"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
JSON, BYTES, FORM = "application/json", "application/octet-stream", "multipart/form-data"
OPENAI = "/v1/"
BODIES = {
    "/api/sessions": ((JSON, BYTES), "upload_bytes"),
    f"{OPENAI}files": ((FORM,), "upload_bytes"),
    f"{OPENAI}chat/completions": ((JSON,), "chat_bytes"),
}
"""Path → kinds of body, and the limit on their length, where they differ from `USUAL_BODY`."""

USUAL_BODY = ((JSON,), "body_bytes")

OPEN = re.compile(
    r"/|/(api|v1|assets|static|svelte|pwa_icon)/.*|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon)/?|"
    r"/gradio_api/(info|heartbeat/[^/]+|startup-events)/?"
)
"""Our own paths, and what the page needs of Gradio's: not its uploads, files, proxies, queue and logins."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""Gradio's page has scripts of its own in it, and makes functions of strings; nothing comes from elsewhere."""

HEADERS = {
    "Content-Security-Policy": POLICY,
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
        hosts: names of this server beside the local ones and addresses; may change.
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Collection[str]):
        self.app = app
        self.limits = limits
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers, send = Headers(scope=scope), _with_headers(send)
        try:
            self._check(scope, headers)
            bounded = self._bounded(receive, scope)
            await self.app(scope, bounded, send)
        except RefusedError as refusal:
            respond = openai_errors.error_response if scope["path"].startswith(OPENAI) else error_response
            await respond(refusal)(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = _host_name(headers.get("host", ""))
        if host != LOCAL_NAME and host not in self.hosts and not _is_address(host):
            raise RefusedError(
                "forbidden",
                f"This server is not called {host[:80]!r}; open it by its address, or start it with "
                "--name NAME.",
            )
        if not OPEN.fullmatch(scope["path"]):
            raise RefusedError("not_found", "There is nothing here.")
        if scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        if origin is not None and _place(origin) != headers.get("host"):
            raise RefusedError("forbidden", "This request comes from another site's page.")
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        kinds, limit = BODIES.get(scope["path"], USUAL_BODY)
        length = headers.get("content-length", "0")
        if (length != "0" or "transfer-encoding" in headers) and kind not in kinds:
            raise RefusedError("bad_request", f"The body is {kind[:40]!r}, expected {' or '.join(kinds)}.")
        most = getattr(self.limits, limit)
        if length.isdecimal() and int(length) > most:
            raise too_large(most)

    def _bounded(self, receive: Receive, scope: Scope) -> Receive:
        """`receive`, which refuses a body that turns out too long."""
        most = left = getattr(self.limits, BODIES.get(scope["path"], USUAL_BODY)[1])

        async def receive_bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise too_large(most)
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


def _place(origin: str) -> str:
    """Host and port in an `Origin` header; empty if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    """Whether it is an IP address, which no name server can point elsewhere."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
