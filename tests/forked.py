"""A function in a copy of the test's process, which has everything imported, so that it can be killed."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm


def fork(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Start it."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(function, arguments))
    process.start()
    return process


def _run(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call with a lock of its own for bars: where one is killed that holds the shared one, all others wait forever."""
    tqdm.set_lock(threading.RLock())
    function(*arguments)
