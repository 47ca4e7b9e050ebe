"""Uploads of `/v1/files`: bounded, read as a form and as nothing else, gone when idle. No model is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

import sama_plugin
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.model_source import ModelSource
from sama_plugin.demo.openai.files import FileShelf
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.server import build_app
from sama_plugin.demo.work_folder import WorkFolder
from tests.demo.served import load_shipped

FORM = "multipart/form-data; boundary=b"


def form_of(content: bytes, name: str = "clip.mp4", purpose: str = "vision") -> bytes:
    return (
        (
            f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        ).encode()
        + content
        + b"\r\n--b--\r\n"
    )


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    source = ModelSource(load_shipped, (), Path(sama_plugin.shipped_checkpoint()))
    app = build_app(source, limits=Limits(upload_bytes=1000, files=2), work=tmp_path)
    yield TestClient(app, base_url="http://localhost", headers={"Content-Type": FORM})
    app.state.pool.work.remove()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("video*"))


def test_no_name_of_a_client_reaches_the_disk(client: TestClient, tmp_path: Path) -> None:
    names = [
        client.post("/v1/files", content=form_of(b"x", name)).json()["filename"]
        for name in ("../../etc/passwd.PNG", "/a\\b/<b>.mp4")
    ]
    assert names == ["passwd.PNG", "<b>.mp4"]
    assert kept(tmp_path) == ["video", "video.png"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (form_of(b"x" * 1001), 413, "larger than"),
        (form_of(b""), 400, "empty"),
        (form_of(b"x", purpose="fine-tune"), 400, "purpose is 'fine-tune', expected user_data"),
        (form_of(b"x").replace(b"purpose", b"reason"), 400, "'reason' is no field"),
        (form_of(b"x").replace(b'name="file"; filename="clip.mp4"', b'name="file"'), 400, "has no file"),
        (form_of(b"x")[:-10], 400, "cannot be read|no file"),
        (b"--b\r\n" + b"A" * 900, 400, "no file"),
    ],
)
def test_what_is_no_upload_is_refused_and_leaves_nothing(
    client: TestClient, tmp_path: Path, body: bytes, status: int, words: str
) -> None:
    for content in (body, iter([body[:20], body[20:]])):  # the second does not say how long it is
        answer = client.post("/v1/files", content=content)
        assert answer.status_code == status
        assert any(part in answer.json()["error"]["message"] for part in words.split("|"))
    assert kept(tmp_path) == []


def test_an_idle_file_goes_by_itself(tmp_path: Path) -> None:
    body = form_of(b"x")

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def upload() -> None:
        work = WorkFolder(tmp_path)
        shelf = FileShelf(work, Limits(idle_s=0.05))
        headers = [(b"content-type", FORM.encode())]
        stored = await shelf.add(Request({"type": "http", "headers": headers}, receive))
        assert stored.path.read_bytes() == b"x"
        await asyncio.sleep(0.3)
        assert not stored.path.exists()
        with pytest.raises(RefusedError, match="no such file"):
            shelf.get(stored.id)
        work.remove()

    asyncio.run(upload())
