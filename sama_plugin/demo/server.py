"""One server with three faces on one `SessionPool`: the routes of `/api`, the OpenAI endpoint of `/v1`, the page.

    app = build_app(source, limits=Limits(), work=Path("/tmp"))
    uvicorn.run(app)

The app begins by loading the model, and ends by removing all files.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

import sama_plugin
from sama_plugin.demo.api_key import KeyGuard
from sama_plugin.demo.gate import Gate
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.model_source import ModelSource
from sama_plugin.demo.openai.routes import build_router as build_openai_router
from sama_plugin.demo.page import mount_page
from sama_plugin.demo.pool import SessionPool
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.responses import error_response
from sama_plugin.demo.routes import build_router
from sama_plugin.demo.work_folder import WorkFolder


def build_app(
    source: ModelSource,
    *,
    limits: Limits | None = None,
    work: Path | None = None,
    hosts: Collection[str] = (),
    key: str | None = None,
) -> FastAPI:
    """The server; `app.state.pool` is its `SessionPool`.

    Args:
        source: of the model.
        limits: on what visitors may have; the defaults if None.
        work: folder in which the server makes its own; the system's place for temporary files if None.
        hosts: names by which it may be called, beside `localhost` and addresses; may change while it runs.
        key: without which nothing is answered; None answers everybody.

    Raises:
        MediaError: files cannot be kept there.
    """
    limits = limits or Limits()
    pool = SessionPool(source, limits, WorkFolder(work))

    @contextlib.asynccontextmanager
    async def run_pool(_: FastAPI) -> AsyncIterator[None]:
        try:
            await pool.start()
            yield
        finally:
            await pool.stop()

    app = FastAPI(
        title="SAMA", version=sama_plugin.__version__, lifespan=run_pool, docs_url=None, redoc_url=None
    )
    app.state.pool = pool
    app.include_router(build_router(pool))
    app.include_router(build_openai_router(pool))
    app.add_exception_handler(RefusedError, _say_refusal)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_exception_handler(HTTPException, _say_http)
    app.add_exception_handler(ClientDisconnect, _say_gone)
    if key is not None:
        app.add_middleware(KeyGuard, key=key)
    app.add_middleware(Gate, limits=limits, hosts=hosts)
    return mount_page(app, source.folder, limits)


async def _say_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError), "registered for it"
    return error_response(error)


async def _say_invalid(_: Request, error: Exception) -> Response:
    """A path or query that is not of its form."""
    assert isinstance(error, RequestValidationError), "registered for it"
    faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
    return error_response(RefusedError("bad_request", f"The request is not of its form: {faults}."))


async def _say_http(_: Request, error: Exception) -> Response:
    """A path or method that nothing answers to."""
    assert isinstance(error, HTTPException), "registered for it"
    made = error_response(RefusedError("not_found", f"There is nothing here ({error.detail})."))
    made.status_code = error.status_code
    return made


async def _say_gone(_: Request, __: Exception) -> Response:
    """Who went away before the whole request was here; nobody reads this, and the log need not say it."""
    return error_response(RefusedError("bad_request", "The request did not come to its end."))
