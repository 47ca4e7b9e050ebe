"""The real server, in a thread, for the tests of its faces."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI


class Served(NamedTuple):
    """A server that runs.

    Attributes:
        url: of it.
        app: behind it.
    """

    url: str
    app: FastAPI


def load_shipped() -> tuple[tuple[Any, Any, Any], dict[str, Any]]:
    """The shipped checkpoint, for the process that is to have it, and how its sessions are."""
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.host.loading import load_sama_model

    return load_sama_model(str(sama_plugin.shipped_checkpoint()), device_map="cpu")[:3], {}


@contextlib.contextmanager
def serve(app: FastAPI) -> Iterator[Served]:
    """Serve an app at a free port until the block is left."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended before it had begun"
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}", app)
    finally:
        server.should_exit = True
        thread.join()
