"""Responses of both faces, and work for a client that may go away meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from sama_plugin.demo.refusals import RefusedError

ValueT = TypeVar("ValueT")


class EventStream(StreamingResponse):
    """Server-sent events, whose source is closed as soon as nobody listens any more, and with it the answer.

    Args:
        events: an asynchronous generator of their text.
    """

    def __init__(self, events: AsyncIterable[str]):
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)

    async def stream_response(self, send: Send) -> None:
        """Send what comes."""
        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]
            await super().stream_response(send)


def json_response(document: Any, status: int = 200) -> Response:
    """Plain values as a response; in ASCII, since a message may repeat half a character of a request."""
    return Response(json.dumps(document, allow_nan=False), status, media_type="application/json")


def error_response(refusal: RefusedError) -> Response:
    """A refusal as a response of `/api`."""
    return json_response({"error": refusal.as_dict()}, refusal.status)


async def unless_gone(request: Request, work: Coroutine[Any, Any, ValueT]) -> ValueT:
    """Do something for a client, unless it goes away meanwhile.

    Args:
        request: of the client, its body read.
        work: given up if the client goes.

    Raises:
        RefusedError: it did.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait([task, watcher], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusedError("cancelled", "The client went away, so this was given up.")
        return task.result()
    finally:
        for one in (task, watcher):
            one.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
