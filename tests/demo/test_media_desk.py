"""Who waits for whom at the desk; the processes are replaced by ones that do nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.demo import media_desk
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.media_desk import SIDE_PROCESSES, MediaDesk
from sama_plugin.demo.sessions import Session
from sama_plugin.demo.work_folder import WorkFolder
from sama_plugin.media.decode import VideoClip


class Idle:
    """Opens at once, exports never."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.clip = "the clip"

    async def __aenter__(self) -> Idle:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, operation: str, *_: Any) -> str:
        if operation == "export":
            await asyncio.Event().wait()
        return self.clip


def test_long_exports_hold_up_no_upload(
    tmp_path: Path, shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_desk, "Child", Idle)
    clip = VideoClip.open(shapes_set / "videos" / "00000.mp4")

    async def run() -> None:
        work = WorkFolder(tmp_path)
        desk = MediaDesk(Limits(), work)
        session = Session("one", clip, work.make_folder())
        exports = [asyncio.create_task(desk.export(session, "chat.py")) for _ in range(SIDE_PROCESSES + 1)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(desk.open(tmp_path / "video", "clip.mp4"), 5) == "the clip"
        for export in exports:
            export.cancel()
        await asyncio.gather(*exports, return_exceptions=True)
        work.remove()

    asyncio.run(run())
