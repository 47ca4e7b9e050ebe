"""Whose turn it is: questions are answered one after the other, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from sama_plugin.demo.child import Job
from sama_plugin.demo.refusals import RefusedError


class Ticket:
    """A question's place in the line; leave it with the `with` block."""

    def __init__(self, line: WaitingLine):
        self._line = line
        self._job: Job | None = None
        self._moved = asyncio.Event()
        self._is_cancelled = False

    def __enter__(self) -> Ticket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.leave(self)

    async def positions(self) -> AsyncIterator[int]:
        """How many are before it, whenever that changes; ends after 0.

        Raises:
            RefusedError: it was cancelled.
        """
        while True:
            self._moved.clear()
            self.check()
            position = self._line.position(self)
            yield position
            if not position:
                return
            await self._moved.wait()

    def cancel(self) -> None:
        """Give the question up, whether it waits or is answered."""
        self._is_cancelled = True
        self.wake()
        if self._job is not None:
            self._job.cancel()

    def assign(self, job: Job) -> None:
        """Say which job answers the question, now that it is its turn."""
        self._job = job
        if self._is_cancelled:
            job.cancel()

    def check(self) -> None:
        """See that the question is still to be answered.

        Raises:
            RefusedError: it was cancelled.
        """
        if self._is_cancelled:
            raise RefusedError("cancelled", "The answer was cancelled, so this turn does not count.")

    def wake(self) -> None:
        """Look again how many are before."""
        self._moved.set()


class WaitingLine:
    """First come, first served.

    Args:
        length: questions that are answered or wait.
    """

    def __init__(self, length: int):
        self._length = length
        self._tickets: list[Ticket] = []

    def __len__(self) -> int:
        return len(self._tickets)

    def join(self) -> Ticket:
        """Stand at the end.

        Raises:
            RefusedError: the line is full.
        """
        if len(self._tickets) >= self._length:
            raise RefusedError(
                "too_many_requests",
                f"{len(self._tickets)} questions are waiting, which is the most; try again in a moment.",
            )
        ticket = Ticket(self)
        self._tickets.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Let the next one come up."""
        self._tickets.remove(ticket)
        for other in self._tickets:
            other.wake()

    def position(self, ticket: Ticket) -> int:
        """How many are before."""
        return self._tickets.index(ticket)
