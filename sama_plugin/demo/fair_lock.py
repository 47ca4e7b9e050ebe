"""A lock that threads get in the order in which they asked, so that long work which lets go now and then is joined."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator


class FairLock:
    """One thread at a time, first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_held = False

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for those who came before, then have it."""
        mine = threading.Event()
        with self._lock:
            if self._is_held:
                self._waiting.append(mine)
            else:
                self._is_held = True
                mine.set()
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._is_held = False
