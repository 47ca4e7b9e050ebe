"""A key that guards a whole server: programs send it as OpenAI's clients do, browsers ask their user for it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from sama_plugin.demo.openai.errors import BadParameterError, error_response

PROGRAMS = "/v1/"
"""Where a browser need not ask its user."""


class KeyGuard:
    """ASGI middleware: nothing is answered without the key.

    It comes as `Authorization: Bearer KEY`, or as the password of `Basic`, whatever the user's name. It is compared
    in a time that tells nothing, and never logged.

    Args:
        app: what is behind it.
        key: the key.
    """

    def __init__(self, app: ASGIApp, key: str):
        self.app = app
        self._digest = _digest(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or ask for the key."""
        if scope["type"] == "lifespan" or hmac.compare_digest(_digest(_sent_key(scope)), self._digest):
            await self.app(scope, receive, send)
            return
        response = error_response(
            BadParameterError(
                "This server wants its key: as Authorization: Bearer KEY, or as a password with any name.",
                code="invalid_api_key",
                status=401,
            )
        )
        if not scope["path"].startswith(PROGRAMS):
            response.headers["WWW-Authenticate"] = 'Basic realm="SAMA", charset="UTF-8"'
        await response(scope, receive, send)


def _sent_key(scope: Scope) -> str:
    """The key a request has; empty if none."""
    kind, _, value = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _digest(key: str) -> bytes:
    """Of one length for all keys."""
    return hashlib.sha256(key.encode()).digest()
