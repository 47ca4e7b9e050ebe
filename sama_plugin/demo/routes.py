"""`/api/...`: sessions, regions, questions and exports over HTTP; JSON, and server-sent events for answers.

An error is `{"error": {"code", "message"}}` with a status of `refusals.STATUSES`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from sama_plugin.demo.answer_events import Event
from sama_plugin.demo.exports import EXPORTS
from sama_plugin.demo.pool import SessionPool
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.region_requests import check_keys
from sama_plugin.demo.responses import EventStream, unless_gone
from sama_plugin.demo.uploads import without_stall

FOREVER = "private, max-age=31536000, immutable"
"""A frame of a session's video never changes."""

CHUNK_BYTES = 2**20
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def build_router(pool: SessionPool) -> APIRouter:
    """The routes of a pool."""
    router = APIRouter(prefix="/api")
    _add_session_routes(router, pool)
    _add_region_routes(router, pool)
    _add_answer_routes(router, pool)

    @router.api_route("/{rest:path}", methods=list(METHODS))
    async def refuse(rest: str) -> None:
        raise RefusedError("not_found", f"There is nothing at /api/{rest[:80]}.")

    return router


def _add_session_routes(router: APIRouter, pool: SessionPool) -> None:
    @router.get("/status")
    async def status() -> dict[str, Any]:
        return pool.status()

    @router.post("/sessions", status_code=201)
    async def create(request: Request, name: str = "") -> dict[str, Any]:
        if is_json(request):
            body = await read_json(request, pool.limits.stall_s)
            check_keys(body, ("example",))
            return (await pool.create_from_example(str(body.get("example")))).document()
        return (await pool.create(request.stream(), name)).document()

    @router.get("/sessions/{session_id}")
    async def show(session_id: str) -> dict[str, Any]:
        return pool.get(session_id).document()

    @router.delete("/sessions/{session_id}", status_code=204)
    async def close(session_id: str) -> None:
        await pool.close(pool.get(session_id))

    @router.post("/sessions/{session_id}/close", status_code=204)
    async def leave(session_id: str) -> None:
        pool.leave(pool.get(session_id))

    @router.get("/sessions/{session_id}/frames/{frame}.jpg")
    async def frame(session_id: str, frame: int, width: int | None = None) -> Response:
        if width is not None and width < 1:
            raise RefusedError("bad_request", f"The width is {width}, expected 1 or more pixels.")
        picture = await pool.media.frame(pool.get(session_id), frame, width)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": FOREVER})


def _add_region_routes(router: APIRouter, pool: SessionPool) -> None:
    @router.post("/sessions/{session_id}/regions", status_code=201)
    async def point(session_id: str, request: Request) -> dict[str, Any]:
        session = pool.get(session_id)
        return (await pool.put_region(session, await read_json(request, pool.limits.stall_s))).document()

    @router.put("/sessions/{session_id}/regions/{name}")
    async def point_anew(session_id: str, name: str, request: Request) -> dict[str, Any]:
        session = pool.get(session_id)
        return (
            await pool.put_region(session, await read_json(request, pool.limits.stall_s), name)
        ).document()

    @router.patch("/sessions/{session_id}/regions/{name}")
    async def change(session_id: str, name: str, request: Request) -> dict[str, Any]:
        session, body = pool.get(session_id), await read_json(request, pool.limits.stall_s)
        check_keys(body, ("name", "colour"))
        return (await pool.change_region(session, name, body)).document()

    @router.delete("/sessions/{session_id}/regions/{name}", status_code=204)
    async def remove(session_id: str, name: str) -> None:
        await pool.remove_region(pool.get(session_id), name)


def _add_answer_routes(router: APIRouter, pool: SessionPool) -> None:
    @router.post("/sessions/{session_id}/ask")
    async def ask(session_id: str, request: Request) -> EventStream:
        session, body = pool.get(session_id), await read_json(request, pool.limits.stall_s)
        check_keys(body, ("question",))
        events = pool.ask(session, body.get("question"))
        first = await anext(events)  # what is refused at once has a status of its own
        return EventStream(_as_lines(first, events))

    @router.post("/sessions/{session_id}/cancel", status_code=204)
    async def cancel(session_id: str) -> None:
        pool.get(session_id).cancel()

    @router.post("/sessions/{session_id}/rewind")
    async def rewind(session_id: str, request: Request) -> dict[str, Any]:
        session, body = pool.get(session_id), await read_json(request, pool.limits.stall_s)
        check_keys(body, ("turns",))
        await pool.rewind(session, body.get("turns"))
        return session.document()

    @router.get("/sessions/{session_id}/export/{kind}")
    async def export(session_id: str, kind: str, request: Request) -> StreamingResponse:
        path = await unless_gone(request, pool.media.export(pool.get(session_id), kind))
        return StreamingResponse(
            _read_and_remove(path),
            media_type=EXPORTS[kind][0],
            headers={
                "Content-Length": str(path.stat().st_size),
                "Content-Disposition": f'attachment; filename="{kind}"',
                "Cache-Control": "no-store",
            },
        )


def is_json(request: Request) -> bool:
    """Whether a request says that its body is JSON."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"


async def read_json(request: Request, stall_s: float) -> dict[str, Any]:
    """The body of a request.

    Args:
        request: whose.
        stall_s: without a byte, after which it is given up, seconds.

    Raises:
        RefusedError: it is no JSON object, or stalls.
    """
    chunks = [chunk async for chunk in without_stall(request.stream(), stall_s)]
    try:
        body = json.loads(b"".join(chunks))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RefusedError("bad_request", "The body of the request is no JSON object.")
    return body


async def _as_lines(first: Event, events: AsyncGenerator[Event, None]) -> AsyncIterator[str]:
    """Events as a stream of `text/event-stream`; a refusal in their midst is one too."""
    try:
        yield _as_line(first)
        async for event in events:
            yield _as_line(event)
    except RefusedError as refusal:
        yield _as_line(Event("error", refusal.as_dict()))
    finally:
        await events.aclose()


def _as_line(event: Event) -> str:
    return f"event: {event.kind}\ndata: {json.dumps(event.data)}\n\n"


async def _read_and_remove(path: Path) -> AsyncIterator[bytes]:
    """The bytes of a file, which is gone then."""
    try:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
    finally:
        path.unlink(missing_ok=True)
