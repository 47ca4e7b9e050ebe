"""A benchmark's dialogues on several processes of one machine: each opens the benchmark and loads the model once.

The processes are spawned, so that CUDA works in them; they end with the one that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.queues import SimpleQueue
from typing import Any, Generic, TypeVar

from sama_plugin.errors import DataError, HostError, SamaError

TaskT = TypeVar("TaskT")
MadeT = TypeVar("MadeT")
StateT = TypeVar("StateT")

_worker: Any = None
"""Of a worker process: what its `open_worker` gave, or the error it ended with."""


class WorkerPool(Generic[StateT]):
    """Processes that share out tasks; to be used in a `with`.

    Args:
        count: processes; with 1 the work is done in this one.
        open_worker: called once in each process with its number, 0 to count - 1; gives what the tasks work with. It and
            the tasks' functions have to be importable, as they are sent by name.
    """

    def __init__(self, count: int, open_worker: Callable[[int], StateT]) -> None:
        if count < 1:
            raise DataError(f"--processes is {count}, expected 1 or more.")
        self.count = count
        self.open_worker = open_worker
        self._own: StateT | None = None
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> WorkerPool[StateT]:
        if self.count > 1:
            context = multiprocessing.get_context("spawn")
            numbers = context.SimpleQueue()
            for number in range(self.count):
                numbers.put(number)
            self._pool = ProcessPoolExecutor(
                self.count, context, initializer=_start, initargs=(self.open_worker, numbers)
            )
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self, work: Callable[[StateT, TaskT], MadeT], tasks: Iterable[TaskT]
    ) -> Iterator[tuple[TaskT, MadeT]]:
        """Do all tasks; gives each with what came of it, as soon as it is done.

        Raises:
            HostError: a process died, as one does that runs out of memory.
        """
        if self._pool is None:
            for task in tasks:
                if self._own is None:
                    self._own = self.open_worker(0)
                yield task, work(self._own, task)
            return
        waiting = iter(tasks)
        running: dict[Future[MadeT], TaskT] = {}
        try:
            while True:
                for task in islice(waiting, 2 * self.count - len(running)):
                    running[self._pool.submit(_work, work, task)] = task
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        except BrokenProcessPool as error:
            raise HostError(
                f"One of the {self.count} processes died; is there memory for so many models? What is finished is "
                "kept: run the same again with fewer --processes."
            ) from error
        finally:
            for future in running:
                future.cancel()


def _start(open_worker: Callable[[int], Any], numbers: SimpleQueue[int]) -> None:
    """Begin a worker process."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says so and ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _worker = open_worker(numbers.get())
    except SamaError as error:
        _worker = error


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to end, and they would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(KeyboardInterrupt):
            parent.join()
        os._exit(1)


def _work(work: Callable[[Any, Any], Any], task: Any) -> Any:
    if isinstance(_worker, SamaError):
        raise _worker
    return work(_worker, task)
