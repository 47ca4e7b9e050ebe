"""`sama serve`: the page, the routes and the OpenAI endpoint, on this machine."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sama_plugin
from sama_plugin.cli.command_parser import Lesson, add_command
from sama_plugin.cli.model_options import (
    add_model_options,
    add_session_options,
    load_model,
    model_folder,
    session_options,
)
from sama_plugin.cli.notes import note
from sama_plugin.errors import HostError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from sama_plugin.demo.limits import Limits

PACKAGES = ("fastapi", "gradio", "uvicorn")
LAST_PORT = 65535
PATIENCE_S = 3
"""That requests have to end when the server does."""

SHARE_HELP = (
    "make a public link to the page by Gradio's servers, which the traffic passes; downloads their tunnel program "
    "(frpc) if it is not there yet. Whoever has the link can use the server. Off by default"
)


LESSON = Lesson(
    summary="a page to point and ask in, and an OpenAI-compatible endpoint",
    purpose="Serve a web page to point at things in videos and ask about them, and an endpoint for OpenAI's clients.",
    details="Prints one line with the page's address when the model is loaded; Ctrl-C or SIGTERM ends it. Visitors see "
    "their own sessions only. The endpoint is at /v1, the page's own routes at /api.",
    writes="visitors' files, in a folder of its own in --work, which is removed when the server ends; what a killed "
    "one left, the next one removes",
    examples=(
        "sama serve",
        "sama serve --port 0 --max-sessions 4 --max-upload-bytes 50000000",
        "sama serve --host 0.0.0.0 --api-key-env SAMA_KEY",
    ),
)


def add_parser(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add the verb."""
    parser = add_command(verbs, common, "serve", LESSON)
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default: 127.0.0.1, this machine only; 0.0.0.0: all networks)",
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which the server may be called, such as my-server; addresses may always",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="where visitors' files lie while they are needed (default: the system's temporary folder)",
    )
    parser.add_argument("--share", action="store_true", help=SHARE_HELP)
    parser.add_argument(
        "--api-key-env",
        metavar="VAR",
        help="environment variable with a key, without which nothing is answered: the page asks for it as a password, "
        "clients send it as a bearer token",
    )
    add_model_options(parser)
    add_session_options(parser)
    _add_limits(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check everything that can be checked without a model, then serve until Ctrl-C or SIGTERM.

    Raises:
        HostError: the web extra is missing, the port is taken, or no public link can be made.
        SamaError: the model cannot be loaded, or an option is out of range.
    """
    check_packages()
    import asyncio

    limits = _read_limits(args)
    session_options(args)  # what can be said without the model is said at once
    with _listen(args.host, args.port) as listener:
        model_folder(args)
        from sama_plugin.data.endpoint import key_from
        from sama_plugin.demo.model_source import ModelSource
        from sama_plugin.demo.server import build_app

        key = None if args.api_key_env is None else key_from(args.api_key_env)
        hosts = {args.host.lower(), *(name.lower() for name in args.name)}
        source = ModelSource(load_parts, (args,), Path(args.model or sama_plugin.shipped_checkpoint()))
        app = build_app(source, limits=limits, work=args.work, hosts=hosts, key=key)
        url = _url_of(listener)

        def announce() -> None:
            if args.share:
                public = _share(listener)
                hosts.add(public.partition("://")[2])
                print(f"sama serve: public link {public} (whoever has it can use this server)", flush=True)
            note(f"sama serve: {url} (Ctrl-C ends)")

        asyncio.run(_serve(app, listener, announce, is_verbose=args.verbose))
    return 0


def load_parts(args: argparse.Namespace) -> tuple[tuple[Any, Any, Any], dict[str, Any]]:
    """The model that the options name, and how it is to answer; called in the process that is to have it.

    Returns:
        (tokenizer, model, image processor), and options of `VideoSession`.

    Raises:
        SamaError: as `load_model`, or an option out of range.
    """
    options = session_options(args)
    loaded = load_model(args)
    return (loaded.tokenizer, loaded.model, loaded.image_processor), options


def check_packages() -> None:
    """See that what serves is installed.

    Raises:
        HostError: it is not.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise HostError(
            f"sama serve needs {', '.join(missing)}; install the web extra: pip install -e .[web]"
        )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """An option for each limit."""
    from sama_plugin.demo.limits import Limits

    options = parser.add_argument_group("limits, for all visitors alike")
    meanings = Limits.meanings()
    for name, value in Limits().as_dict().items():
        options.add_argument(
            f"--max-{name.replace('_', '-')}",
            type=type(value),
            default=value,
            metavar="N",
            help=meanings[name],
        )


def _read_limits(args: argparse.Namespace) -> Limits:
    from sama_plugin.demo.limits import Limits

    return Limits(**{name: getattr(args, f"max_{name}") for name in Limits.meanings()})


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, before anything that takes long.

    Raises:
        HostError: it is taken, or is none.
    """
    if not 0 <= port <= LAST_PORT:
        raise HostError(f"--port is {port}, expected 0 to {LAST_PORT}.")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise HostError(
            f"Cannot listen at {host}, port {port}: {_reason(error)}; choose another --port (0: a free one)."
        ) from error


def _reason(error: OSError) -> str:
    """What went wrong, without Python's own addition of the address."""
    return str(error.strerror or error).partition(" (while ")[0]


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _share(listener: socket.socket) -> str:
    """A public link by Gradio's tunnel.

    Raises:
        HostError: there is none to be had.
    """
    from gradio.networking import setup_tunnel

    host, port = listener.getsockname()[:2]
    try:
        return str(setup_tunnel(host, port, secrets.token_urlsafe(32), None, None))
    except Exception as error:  # whatever a download and a foreign program can fail with
        raise HostError(
            f"No public link can be made ({type(error).__name__}: {error}); serve without --share."
        ) from error


async def _serve(
    app: FastAPI, listener: socket.socket, announce: Callable[[], None], *, is_verbose: bool
) -> None:
    """Load the model, say where the server is, serve until a signal comes, remove all files."""
    import asyncio

    import uvicorn

    class Server(uvicorn.Server):
        """Uvicorn's, without its handling of signals: it would end the process before the files are gone."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    server = Server(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=is_verbose,
            timeout_graceful_shutdown=PATIENCE_S,
        )
    )
    main = asyncio.current_task()
    assert main is not None, "it runs"

    def end() -> None:
        if server.started:
            server.should_exit = True
        else:
            main.cancel()

    with _signals(end), contextlib.suppress(asyncio.CancelledError):
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(announce)
            await server.serve(sockets=[listener])


@contextlib.contextmanager
def _signals(end: Callable[[], None]) -> Iterator[None]:
    """Call a function of the event loop's when Ctrl-C or SIGTERM comes."""
    import asyncio

    loop = asyncio.get_running_loop()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
