"""A process that works for the server, seen from the server: it may die without taking the server along.

The model lives in one, whatever reads a visitor's file in others. Jobs are sent over a pipe; what comes back is
handed to whoever waits. A process that dies is told to all who waited (`worker_crashed`), and started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import multiprocessing
import queue
import threading
from collections.abc import AsyncIterator, Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from sama_plugin.demo.child_loop import CANCEL, DONE, FAILED, READY, SAID, SELF, Service, run_service
from sama_plugin.demo.refusals import RefusedError

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""That a process has to end by itself."""


class Job:
    """Something a process is doing.

    Attributes:
        result: what came of it, once it is read to its end.
    """

    def __init__(self, send: Callable[[str], None]):
        self.result: Any = None
        self._send = send
        self._messages: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """What the process says, until the job is done.

        Raises:
            RefusedError: it failed, or the process died.
        """
        while True:
            kind, value = await self._messages.get()
            if kind == FAILED:
                raise value
            if kind == DONE:
                self.result = value
                return
            yield value

    def cancel(self) -> None:
        """Tell the process that nobody waits any more."""
        self._send(CANCEL)

    def put(self, kind: str, value: Any) -> None:
        """Hand on a message; for `Child`."""
        self._messages.put_nowait((kind, value))


class Child:
    """A process and its pipe; use it in one event loop, as `async with`, or by `start` and `stop`.

    Args:
        name: of the process, for messages.
        build: makes the service in the process; a function of a module.
        arguments: of `build`, sent to the process.
        is_lasting: start it anew when it dies.

    Attributes:
        generation: how often it was started; what it was told before is forgotten with each.
        facts: what the service said of itself when it was ready.
    """

    def __init__(
        self, name: str, build: Callable[..., Service], *arguments: Any, is_lasting: bool = False
    ) -> None:
        self.name = name
        self.generation = 0
        self.facts: Any = None
        self._target = (build, arguments)
        self._is_lasting = is_lasting
        self._is_stopping = False
        self._numbers = itertools.count(SELF + 1)
        self._jobs: dict[int, Job] = {}
        self._process: Any = None
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ready: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Child:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return int(self._process.pid)

    async def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            RefusedError: it could not begin its service.
        """
        try:
            await self.until_ready()
        except BaseException:  # also given up meanwhile
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it, with whatever it does."""
        self._is_stopping = True
        if self._process is None:
            return
        self._outbox.put(None)
        process = self._process
        process.terminate()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.to_thread(process.join, PATIENCE_S)
        if process.is_alive():
            process.kill()
            process.join()

    async def job(self, operation: str, *arguments: Any) -> Job:
        """Give it something to do; iterate what comes back.

        Raises:
            RefusedError: the process died and could not be started anew.
        """
        await self.until_ready()
        number = next(self._numbers)
        outbox = self._outbox
        job = self._jobs[number] = Job(lambda what: outbox.put((number, what, ())))
        outbox.put((number, operation, arguments))
        return job

    async def call(self, operation: str, *arguments: Any) -> Any:
        """Give it something to do, and wait for the result; given up, the job is cancelled.

        Raises:
            RefusedError: it failed, or the process died.
        """
        job = await self.job(operation, *arguments)
        try:
            async for _ in job:
                pass
        except asyncio.CancelledError:
            job.cancel()
            raise
        return job.result

    async def until_ready(self) -> None:
        """Wait for a process that starts, and begin anew with one that died without having served.

        Raises:
            RefusedError: it cannot begin its service.
        """
        if self._is_stopping:
            raise _crash_of(self.name)
        if self._ready is None:
            self._launch()
        assert self._ready is not None, "launched"
        await asyncio.shield(self._ready)

    def _launch(self) -> None:
        """Start the process and the two threads at its pipe."""
        loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=run_service, args=(theirs, *self._target), name=self.name, daemon=True
        )
        self._process.start()
        theirs.close()
        self.generation += 1
        self._ready = loop.create_future()
        self._outbox = queue.SimpleQueue()
        for work in (_read, _write):
            threading.Thread(
                target=work, args=(ours, self._outbox, loop, self._take), name=self.name, daemon=True
            ).start()

    def _take(self, outbox: queue.SimpleQueue[Any], message: tuple[int, str, Any] | None) -> None:
        """Hand a message on to whoever waits for it; None is the end of the process."""
        if message is None:
            outbox.put(None)  # its writer ends too
        if outbox is not self._outbox:
            return
        if message is None:
            self._bury()
            return
        number, kind, value = message
        if number != SELF:
            job = self._jobs.get(number) if kind == SAID else self._jobs.pop(number, None)
            if job is not None:
                job.put(kind, value)
        elif self._ready is not None and not self._ready.done():
            if kind == READY:
                self.facts = value
                self._ready.set_result(None)
            else:
                self._fail_start(value)

    def _bury(self) -> None:
        """Tell all who wait that the process is no more; start it anew if it is to last and has served."""
        refusal = _crash_of(self.name)
        for job in self._jobs.values():
            job.put(FAILED, refusal)
        self._jobs.clear()
        if self._ready is None:
            return  # it has said why it cannot begin
        if not self._ready.done():
            self._fail_start(refusal)
        elif not self._is_stopping:
            logger.warning("The process '%s' died.", self.name)
            self._ready = None
            if self._is_lasting:
                self._launch()

    def _fail_start(self, refusal: RefusedError) -> None:
        """Tell those who wait for a start that it failed; the next who needs it tries again."""
        assert self._ready is not None, "asked for while it starts"
        self._ready.set_exception(refusal)
        self._ready.exception()  # read, so that nobody waiting is no fault
        self._ready = None


def _crash_of(name: str) -> RefusedError:
    return RefusedError(
        "worker_crashed",
        f"The process '{name}' died while it worked on this, out of memory perhaps; what it had not finished is "
        "lost, the rest of the conversation is not. A new one starts: try again in a moment.",
    )


def _read(connection: Connection, outbox: Any, loop: asyncio.AbstractEventLoop, take: Any) -> None:
    """Hand messages to the event loop until the pipe ends."""
    message: Any = ()
    while message is not None:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(take, outbox, message)


def _write(connection: Connection, outbox: Any, loop: asyncio.AbstractEventLoop, take: Any) -> None:
    """Send what is to be sent, until None; the reader tells of a pipe that is broken."""
    with contextlib.suppress(OSError):
        while (message := outbox.get()) is not None:
            connection.send(message)
