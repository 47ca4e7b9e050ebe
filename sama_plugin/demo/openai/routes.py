"""`/v1/...`: the server as an OpenAI-compatible endpoint, for clients that exist; see `docs/openai.md`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from sama_plugin.demo.answer_events import Event
from sama_plugin.demo.openai.errors import BadParameterError, error_document, error_response
from sama_plugin.demo.openai.files import FileShelf
from sama_plugin.demo.openai.history import KeptChats
from sama_plugin.demo.openai.reply import Completion, server_sent
from sama_plugin.demo.openai.request import ChatRequest, parse_request
from sama_plugin.demo.pool import SessionPool
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.responses import EventStream, json_response, unless_gone
from sama_plugin.demo.uploads import without_stall
from sama_plugin.errors import SamaError

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
PARSED_AT_ONCE = 2
"""Requests, which may be long, and longer while they are taken apart."""


class OpenAiRoute(APIRoute):
    """A route whose errors have OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with a border about it."""
        handle = super().get_route_handler()

        async def handle_errors(request: Request) -> Response:
            try:
                return await handle(request)
            except SamaError as error:
                return error_response(error)

        return handle_errors


def build_router(pool: SessionPool) -> APIRouter:
    """The endpoint of a pool; its last route answers whatever else is asked under `/v1`."""
    router = APIRouter(prefix="/v1", route_class=OpenAiRoute)
    files = FileShelf(pool.work, pool.limits)
    _add_model_routes(router, pool)
    _add_file_routes(router, files)
    _add_chat_route(router, pool, KeptChats(pool, files))

    @router.api_route("/{rest:path}", methods=METHODS)
    async def unknown(request: Request) -> Response:
        raise RefusedError(
            "not_found",
            f"There is no {request.method} {request.url.path[:80]} here; there are /v1/models, /v1/files and POST "
            "/v1/chat/completions.",
        )

    return router


def _add_model_routes(router: APIRouter, pool: SessionPool) -> None:
    model = {"id": pool.name, "object": "model", "created": int(time.time()), "owned_by": "sama"}

    @router.get("/models")
    async def models() -> Response:
        return json_response({"object": "list", "data": [model]})

    @router.get("/models/{name:path}")
    async def show(name: str) -> Response:
        _check_model(name, pool)
        return json_response(model)


def _add_file_routes(router: APIRouter, files: FileShelf) -> None:
    @router.post("/files")
    async def upload(request: Request) -> Response:
        return json_response((await files.add(request)).document())

    @router.get("/files/{name}")
    async def show(name: str) -> Response:
        return json_response(files.get(name).document())

    @router.delete("/files/{name}")
    async def remove(name: str) -> Response:
        files.remove(name)
        return json_response({"id": name, "object": "file", "deleted": True})


def _add_chat_route(router: APIRouter, pool: SessionPool, chats: KeptChats) -> None:
    parsing = asyncio.Semaphore(PARSED_AT_ONCE)

    @router.post("/chat/completions")
    async def complete(request: Request) -> Response:
        chunks = [chunk async for chunk in without_stall(request.stream(), pool.limits.stall_s)]
        async with parsing:
            asked = await asyncio.to_thread(parse_request, b"".join(chunks), pool.limits)
        chunks.clear()
        _check_model(asked.model, pool)
        answer = _answer(pool, chats, asked, _owner(request))
        begun = await unless_gone(request, _begin(answer))
        completion = Completion(pool.name, begun[0].data["id"])
        if not asked.is_stream:
            turn = await unless_gone(request, _read_turn(begun, answer))
            return json_response(completion.whole(turn))
        return EventStream(_chunks(completion, begun, answer, with_usage=asked.with_usage))


async def _answer(
    pool: SessionPool, chats: KeptChats, asked: ChatRequest, owner: str
) -> AsyncGenerator[Event, None]:
    """The session that answers, then what happens to the question; left early, it is cancelled."""
    async with chats.prepare(asked, owner) as session:
        yield Event("session", {"id": session.id})
        async with contextlib.aclosing(pool.ask(session, asked.chat.question, asked.decoding)) as events:
            async for event in events:
                yield event


async def _begin(answer: AsyncGenerator[Event, None]) -> list[Event]:
    """Wait until there is something to tell, so that a question that cannot be answered has a status of its own."""
    events: list[Event] = []
    async for event in answer:
        events.append(event)
        is_waiting = event.kind == "queue" and event.data["position"]
        if is_waiting or event.kind not in ("session", "queue"):
            break
    return events


async def _read_turn(begun: list[Event], answer: AsyncGenerator[Event, None]) -> dict[str, Any]:
    """The whole answer."""
    last = begun[-1]
    async for event in answer:
        last = event
    return last.data


async def _chunks(
    completion: Completion, begun: list[Event], answer: AsyncGenerator[Event, None], *, with_usage: bool
) -> AsyncGenerator[str, None]:
    """The answer as it comes; an error in its midst is a chunk too."""
    try:
        yield completion.first()
        for event in begun:
            yield _chunk(completion, event, with_usage=with_usage)
        async for event in answer:
            yield _chunk(completion, event, with_usage=with_usage)
    except SamaError as error:
        yield server_sent(error_document(error)[1])
    finally:
        await answer.aclose()


def _chunk(completion: Completion, event: Event, *, with_usage: bool) -> str:
    """What a client is told of an event; what OpenAI has no chunk for is a comment, which clients pass over."""
    if event.kind == "text":
        return completion.text(event.data["text"])
    if event.kind == "masks":
        return completion.masks(event.data)
    if event.kind == "done":
        return completion.last(event.data, with_usage=with_usage)
    return f": {event.kind} {json.dumps(event.data)}\n\n"


def _check_model(name: str, pool: SessionPool) -> None:
    if name != pool.name:
        raise BadParameterError(
            f"There is no model {name[:80]!r} here; there is {pool.name!r}.", "model", "model_not_found", 404
        )


def _owner(request: Request) -> str:
    """Who asks, as far as can be told: by key and address, neither of which is kept."""
    address = request.client.host if request.client is not None else ""
    said = f"{address} {request.headers.get('authorization', '')}"
    return hashlib.sha256(said.encode()).hexdigest()
