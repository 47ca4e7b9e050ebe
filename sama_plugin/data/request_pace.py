"""When a request may go out: so many a minute over all threads, and none while the server asked for a pause."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable

FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 60.0


class RequestPace:
    """Spaces requests evenly.

    Args:
        per_minute: requests a minute; None sets no limit.
        now: seconds of a clock that never goes back.
        sleep: waits some seconds; a true value ends the waiting.
    """

    def __init__(
        self,
        per_minute: float | None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._now, self._sleep = now, sleep
        self._lock = threading.Lock()
        self._next_s = now()

    def wait_turn(self) -> None:
        """Return when the next request may go out."""
        with self._lock:
            turn_s = max(self._next_s, self._now())
            self._next_s = turn_s + self._gap_s
        while (wait_s := turn_s - self._now()) > 0 and not self._sleep(wait_s):
            pass

    def pause(self, seconds: float) -> None:
        """Let nothing new go out for some time."""
        with self._lock:
            self._next_s = max(self._next_s, self._now() + seconds)


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds to wait after a failed attempt: doubling, with jitter from half to all of it.

    Args:
        attempt: 0 for the first.
        rng: of the jitter, so that threads do not come back all at once.
    """
    whole = min(FIRST_WAIT_S * 2.0**attempt, LONGEST_BACKOFF_S)
    return whole * (0.5 + 0.5 * rng.random())


def retry_after_s(header: str | None, now_s: float | None = None) -> float | None:
    """Seconds a `Retry-After` header asks to wait: a number or a date; None without a usable one.

    Args:
        header: its text.
        now_s: seconds since the epoch; the clock's if None.
    """
    if not header:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(date.timestamp() - (time.time() if now_s is None else now_s), 0.0)
