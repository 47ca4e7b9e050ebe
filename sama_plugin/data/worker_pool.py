"""One function over many items, in order, in several processes that share what was loaded before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from sama_plugin.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

_function: Callable[[Any], Any]
"""Of this worker process."""


def map_parallel(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Results in the order of the items.

    Args:
        function: is inherited by the processes, with all that it holds; it may be a method of something large.
        items: sent to the processes one by one.
        workers: processes; 1 stays in this one.

    Raises:
        DataError: `workers` is below 1, or a process was killed.
    """
    if workers < 1:
        raise DataError(f"workers is {workers}, expected 1 or more.")
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("fork")  # pages are shared, and nothing is pickled
    try:
        with ProcessPoolExecutor(workers, context, initializer=_inherit, initargs=(function,)) as pool:
            # A worker that is interrupted before it is set up would say so; see `_inherit`.
            held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                results = pool.map(_call, items)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
            yield from results
    except BrokenProcessPool as error:
        raise DataError(
            "A worker process was killed, perhaps for lack of memory; run again with fewer workers."
        ) from error


def _inherit(function: Callable[[Any], Any]) -> None:
    """Set up a worker process: it ends at once when it is interrupted, or when its parent is gone."""
    global _function
    _function = function
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in a job that a script put aside
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the parent says what is to be said
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "runs in worker processes only"
    parent.join()
    os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)
