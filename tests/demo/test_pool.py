"""Sessions that are closed, left, or asked for and given up, while the model is at work for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sama_plugin
from sama_plugin.demo.answer_events import Event
from sama_plugin.demo.child import Child
from sama_plugin.demo.child_loop import Task
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.model_source import ModelSource
from sama_plugin.demo.pool import SessionPool
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.sessions import Session
from sama_plugin.demo.work_folder import WorkFolder
from sama_plugin.errors import PromptError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_mask
from tests.demo.served import load_shipped

STEP_S = 0.4
BOX = {"box": [1, 1, 9, 9]}


class SlowModel:
    """Takes its time for every step, and answers without end; it says which regions it has of which sessions."""

    num_threads = 4

    def __init__(self) -> None:
        self.regions: dict[str, list[str]] = {}

    def facts(self) -> dict[str, Any]:
        return {}

    def do(self, task: Task, operation: str, arguments: tuple[Any, ...]) -> Any:
        if operation == "look":
            return self.regions
        time.sleep(STEP_S)
        name, *rest = arguments
        if operation == "open":
            self.regions[name] = []
        elif operation == "close":
            self.regions.pop(name, None)
        elif operation == "add_region":
            if rest[0].name in self.regions[name]:
                raise PromptError("It is there already.")
            self.regions[name].append(rest[0].name)
            return encode_mask(np.ones((16, 16), dtype=bool))
        elif operation == "remove_region":
            self.regions[name].remove(rest[0])
        elif operation == "ask":
            while True:
                task.say(Event("text", {"text": "and "}))
                time.sleep(0.02)
                task.check()
        return None


@pytest.fixture
def run(tmp_path: Path, tiny_clip: VideoClip) -> Callable[..., None]:
    """Does something with a pool whose model is slow, and a session of it."""

    def run_with(use: Callable[[SessionPool, Session], Awaitable[None]]) -> None:
        async def main() -> None:
            source = ModelSource(load_shipped, (), Path(sama_plugin.shipped_checkpoint()))
            pool = SessionPool(source, Limits(grace_s=STEP_S), WorkFolder(tmp_path))
            pool.model = Child("model", SlowModel, is_lasting=True)
            try:
                await pool.model.start()
                await use(pool, pool._add(tiny_clip, pool.work.make_folder()))
            finally:
                await pool.stop()

        asyncio.run(main())

    return run_with


@pytest.fixture
def tiny_clip(tmp_path: Path) -> VideoClip:
    from PIL import Image

    (tmp_path / "frames").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "frames" / "0.png")
    return VideoClip.open(tmp_path / "frames", folder_fps=10)


def test_a_session_closed_while_it_is_opened_leaves_nothing_in_the_model(run: Callable[..., None]) -> None:
    async def use(pool: SessionPool, session: Session) -> None:
        drawing = asyncio.create_task(pool.put_region(session, BOX))
        asking = asyncio.create_task(anext(pool.ask(session, "What?")))
        await asyncio.sleep(STEP_S / 2)
        await pool.close(session)
        assert await pool.model.call("look") == {}
        await asyncio.gather(drawing, asking, return_exceptions=True)
        with pytest.raises(RefusedError, match="no such session"):
            await pool.put_region(session, BOX)
        assert await pool.model.call("look") == {}

    run(use)


def test_a_page_that_goes_away_in_mid_answer_closes_its_session(run: Callable[..., None]) -> None:
    async def use(pool: SessionPool, session: Session) -> None:
        answer = pool.ask(session, "What?")
        while (await anext(answer)).kind != "text":
            pass
        pool.leave(session)
        await asyncio.sleep(STEP_S / 4)
        await answer.aclose()
        await asyncio.sleep(3 * STEP_S)
        assert pool.sessions == {}

    run(use)


def test_a_region_that_nobody_waits_for_any_more_is_drawn_whole_or_not_at_all(
    run: Callable[..., None],
) -> None:
    async def use(pool: SessionPool, session: Session) -> None:
        for change in (pool.put_region(session, BOX), pool.remove_region(session, "r1")):
            task = asyncio.create_task(change)
            await asyncio.sleep(STEP_S / 4)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert list(session.regions) == (await pool.model.call("look"))[session.id]
        assert (await pool.put_region(session, BOX)).prompt.name == "r1"

    run(use)


def test_a_change_that_is_refused_changes_nothing(run: Callable[..., None]) -> None:
    async def use(pool: SessionPool, session: Session) -> None:
        colour = (await pool.put_region(session, BOX)).colour
        with pytest.raises(RefusedError, match="cannot be used"):
            await pool.change_region(session, "r1", {"name": "<b>", "colour": "#123456"})
        assert session.regions["r1"].colour == colour

    run(use)
