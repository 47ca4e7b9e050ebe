"""The inside of a process that works for the server: takes jobs from a pipe, says what comes of them.

Messages in: `(job, operation, arguments)`, `(job, CANCEL, ())`. Messages out: `(job, kind, value)` with a kind of
`KINDS`; job 0 is the process itself. Both ends are this program's own, so the pipe's pickles are too.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Protocol

from tqdm import tqdm

from sama_plugin.demo.refusals import RefusedError, refusal_of
from sama_plugin.errors import CancelledError, SamaError

logger = logging.getLogger(__name__)

SELF = 0
CANCEL = "cancel"
KINDS = READY, SAID, DONE, FAILED = "ready", "said", "done", "failed"


class Task:
    """A job as the process sees it.

    Attributes:
        say: tell the server something before the job is done.
    """

    def __init__(self, say: Callable[[Any], None]):
        self.say = say
        self._is_cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the job to end; from any thread."""
        self._is_cancelled.set()

    def check(self) -> None:
        """See that the job is still wanted.

        Raises:
            CancelledError: it is not.
        """
        if self._is_cancelled.is_set():
            raise CancelledError("The answer was cancelled, so this turn does not count.")


class Service(Protocol):
    """What a process does."""

    num_threads: int
    """That do jobs side by side."""

    def facts(self) -> Any:
        """What the server is told when the process is ready."""

    def do(self, task: Task, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Do a job; gives what the server waits for."""


def run_service(connection: Connection, build: Callable[..., Service], arguments: tuple[Any, ...]) -> None:
    """Do jobs until the server closes the pipe, or is no more; then end at once.

    Args:
        connection: this process's end of the pipe.
        build: makes the service.
        arguments: of `build`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the server ends this one
    tqdm.set_lock(threading.RLock())  # its own, between processes, would outlive one that is killed
    say = _sender(connection)
    try:
        service = build(*arguments)
    except SamaError as error:
        say(SELF, FAILED, refusal_of(error))
        return
    say(SELF, READY, service.facts())
    tasks: dict[int, Task] = {}
    with ThreadPoolExecutor(service.num_threads) as threads:
        while True:
            try:
                job, operation, values = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # a job may be at work, for nobody
            if operation != CANCEL:
                task = tasks[job] = Task(partial(say, job, SAID))
                threads.submit(_do, service, task, operation, values, _teller(job, say, tasks))
            elif job in tasks:
                tasks[job].cancel()


def _sender(connection: Connection) -> Callable[[int, str, Any], None]:
    """Sends a message; from any thread."""
    lock = threading.Lock()

    def say(job: int, kind: str, value: Any) -> None:
        with lock:
            connection.send((job, kind, value))

    return say


def _teller(
    job: int, say: Callable[[int, str, Any], None], tasks: dict[int, Task]
) -> Callable[[str, Any], None]:
    """Says how a job ended, which is then forgotten."""

    def tell(kind: str, value: Any) -> None:
        tasks.pop(job, None)
        say(job, kind, value)

    return tell


def _do(
    service: Service, task: Task, operation: str, values: tuple[Any, ...], tell: Callable[[str, Any], None]
) -> None:
    """Do a job; whatever goes wrong in it is an answer too."""
    try:
        task.check()
        made = service.do(task, operation, values)
    except SamaError as error:
        tell(FAILED, refusal_of(error))
    except Exception as error:  # the border of the process: the next job must be done
        logger.error("'%s' failed", operation, exc_info=error)
        message = f"The server could not do this ({type(error).__name__}); its log says more. Try again."
        tell(FAILED, RefusedError("internal", message))
    else:
        tell(DONE, made)
