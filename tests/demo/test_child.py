"""A process that works for the server may fail, die and be ended; whoever waits is told."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.demo.child import Child
from sama_plugin.demo.child_loop import Task
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.errors import CheckpointError, PromptError


class Toy:
    """Counts, fails, dies or waits, as told."""

    num_threads = 2

    def __init__(self, start: int):
        if start < 0:
            raise CheckpointError("The start is negative.")
        self.start = start

    def facts(self) -> int:
        return self.start

    def do(self, task: Task, operation: str, arguments: tuple[Any, ...]) -> Any:
        if operation == "count":
            for number in range(*arguments):
                task.say(number)
        elif operation == "refuse":
            raise PromptError("Not so.")
        elif operation == "break":
            raise ZeroDivisionError
        elif operation == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif operation == "wait":
            while True:
                task.check()
                time.sleep(0.01)
        return self.start


def with_child(use: Callable[[Child], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def run() -> None:
        async with Child("toy", Toy, 7, **settings) as child:
            await use(child)

    asyncio.run(run())


def test_a_child_says_what_comes_and_what_came_of_it() -> None:
    async def use(child: Child) -> None:
        job = await child.job("count", 3)
        assert [number async for number in job] == [0, 1, 2]
        assert (job.result, child.facts) == (7, 7)

    with_child(use)


def test_errors_are_refusals_and_the_next_job_is_done() -> None:
    async def use(child: Child) -> None:
        with pytest.raises(RefusedError, match=r"Not so\.") as refused:
            await child.call("refuse")
        assert refused.value.code == "bad_request"
        with pytest.raises(RefusedError, match="ZeroDivisionError") as refused:
            await child.call("break")
        assert refused.value.code == "internal"
        assert await child.call("count", 1) == 7

    with_child(use)


def test_a_cancelled_job_ends_and_others_do_not() -> None:
    async def use(child: Child) -> None:
        one, other = await child.job("wait"), asyncio.create_task(child.call("wait"))
        one.cancel()
        with pytest.raises(RefusedError) as refused:
            async for _ in one:
                pass
        assert refused.value.code == "cancelled"
        await asyncio.sleep(0.1)
        assert not other.done()
        other.cancel()

    with_child(use)


def test_a_dead_child_is_told_to_all_who_wait_and_started_anew() -> None:
    async def use(child: Child) -> None:
        waiting = asyncio.create_task(child.call("wait"))
        for work in (child.call("die"), waiting):
            with pytest.raises(RefusedError, match="try again") as refused:
                await work
            assert refused.value.code == "worker_crashed"
        assert await child.call("count", 1) == 7
        assert child.generation == 2

    with_child(use, is_lasting=True)


def test_a_child_that_cannot_begin_says_why() -> None:
    async def run() -> None:
        child = Child("toy", Toy, -1)
        with pytest.raises(RefusedError, match="The start is negative"):
            await child.start()
        await child.stop()

    asyncio.run(run())


def test_a_stopped_child_is_gone_with_its_work() -> None:
    pids = []

    async def use(child: Child) -> None:
        pids.append(child.pid)
        await child.job("wait")

    with_child(use)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


class Once(Toy):
    """Serves once; those that follow cannot begin."""

    def __init__(self, mark: Path):
        if mark.exists():
            raise CheckpointError("The folder is gone.")
        mark.touch()
        super().__init__(7)


def test_a_child_that_cannot_begin_again_is_tried_only_when_it_is_needed(tmp_path: Path) -> None:
    async def run() -> None:
        num_threads = threading.active_count()
        async with Child("once", Once, tmp_path / "mark", is_lasting=True) as child:
            for operation in ("die", "count", "count"):
                with pytest.raises(RefusedError) as refused:
                    await child.call(operation, 1)
            assert "The folder is gone" in refused.value.message
            tried = child.generation
            await asyncio.sleep(2)
            assert child.generation == tried <= 4
        assert threading.active_count() <= num_threads + 1  # the one that waited for its end

    asyncio.run(run())


def test_a_stopped_child_takes_no_jobs() -> None:
    async def run() -> None:
        async with Child("toy", Toy, 7) as child:
            pass
        with pytest.raises(RefusedError, match="died"):
            await child.call("count", 1)

    asyncio.run(run())


class Slow(Toy):
    """Takes its time to begin."""

    def __init__(self, start: int):
        time.sleep(30)
        super().__init__(start)


def test_a_child_that_is_given_up_while_it_starts_is_gone() -> None:
    async def run() -> int:
        child = Child("slow", Slow, 1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(child.start(), 0.5)
        return child.pid

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(run()), 0)
