"""Files that are no videos, or too much of one; and how long a server looks at them."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from starlette.requests import Request

from sama_plugin.demo.refusals import RefusedError
from sama_plugin.demo.routes import read_json
from sama_plugin.demo.trial.own_server import OwnServer
from sama_plugin.demo.trial.visits import Visitor
from sama_plugin.demo.uploads import save_upload
from tests.media.tiny_video import encode

SMALL = [np.full((16, 16, 3), 40, dtype=np.uint8)] * 2


def huge_gif(_: Path) -> bytes:
    """A few bytes that announce 12000 x 12000 pixels."""
    screen = struct.pack("<HHBBB", 12000, 12000, 0x80, 0, 0) + bytes(6)
    picture = b"," + struct.pack("<HHHHB", 0, 0, 12000, 12000, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + picture + b";"


def huge_frames(folder: Path) -> bytes:
    """A real video, of one colour, larger than allowed."""
    frames = [np.full((2304, 4112, 3), 90, dtype=np.uint8)]
    return encode(folder / "huge.mp4", frames, options={"preset": "ultrafast"}).read_bytes()


def hours(folder: Path) -> bytes:
    """Two frames, the second of them three hours later."""
    path = encode(folder / "hours.mp4", SMALL, pts=[0, 3 * 3600 * 24], time_base=Fraction(1, 24))
    return path.read_bytes()


def many_frames(folder: Path) -> bytes:
    """601 tiny frames."""
    return encode(folder / "many.mp4", SMALL * 300 + SMALL[:1]).read_bytes()


def playlist(_: Path) -> bytes:
    """What makes ffmpeg open other files."""
    return b"ffconcat version 1.0\nfile /etc/hostname\n"


def stream_list(_: Path) -> bytes:
    """The same in another form."""
    return b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"


def picture(folder: Path) -> bytes:
    """A picture is no video."""
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "p.png")
    return (folder / "p.png").read_bytes()


@pytest.mark.parametrize(
    ("make", "status", "code", "said"),
    [
        (lambda _: b"", 415, "not_a_video", "empty"),
        (lambda _: b"hello" * 99, 415, "not_a_video", "not a video"),
        (lambda _: bytes(5000), 415, "not_a_video", "video"),
        (playlist, 415, "not_a_video", "video"),
        (stream_list, 415, "not_a_video", "video"),
        (picture, 415, "not_a_video", "not a video"),
        (huge_gif, 413, "too_large", "at most 4096x2304"),
        (huge_frames, 413, "too_large", "at most 4096x2304"),
        (hours, 413, "too_large", "at most 7200 s"),
        (many_frames, 413, "too_large", "at most 600"),
    ],
)
def test_what_is_no_video_or_too_much_is_refused(
    server: OwnServer,
    visitor: Visitor,
    tmp_path: Path,
    make: Callable[[Path], bytes],
    status: int,
    code: str,
    said: str,
) -> None:
    response = visitor.open(make(tmp_path), name="../../<b>clip</b>.mp4")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert said in error["message"]
    assert str(server.work) not in error["message"]
    assert server.files() == []


def test_a_truncated_video_is_used_up_to_where_it_ends(visitor: Visitor, tmp_path: Path) -> None:
    frames = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), np.uint8) for k in range(30)]
    path = encode(tmp_path / "clip.mp4", frames, container_options={"movflags": "faststart"})
    whole = path.read_bytes()
    video = visitor.open(whole[: len(whole) * 2 // 3]).json()["video"]
    assert 0 < video["num_frames"] < 30
    assert "of 30 frames" in video["damage"] or "frames" in video["damage"]


def in_chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 10_000):
        yield bytes(10_000)


def test_an_upload_over_the_limit_is_refused_by_what_it_says_and_by_what_comes(
    server: OwnServer, visitor: Visitor
) -> None:
    headers = {"Content-Type": "application/octet-stream"}
    said = visitor.client.post("/api/sessions", content=bytes(400_001), headers=headers)
    came = visitor.client.post("/api/sessions", content=in_chunks(900_000), headers=headers)
    for response in (said, came):
        assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert server.files() == []


def test_a_form_of_another_page_is_no_upload(visitor: Visitor) -> None:
    files = {"file": ("clip.mp4", visitor.video.read_bytes())}
    assert visitor.client.post("/api/sessions", files=files).status_code == 422
    headers = {"Origin": "http://evil.example", "Content-Type": "application/octet-stream"}
    response = visitor.client.post("/api/sessions", content=b"x", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")


def test_a_server_called_by_a_foreign_name_says_nothing(server: OwnServer) -> None:
    for path in ("/api/status", "/"):
        response = httpx.get(server.url + path, headers={"Host": "evil.example"})
        assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")


def test_a_request_that_breaks_off_leaves_no_traceback_in_the_log(server: OwnServer, session: str) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST /api/sessions/{session}/ask HTTP/1.1\r\nHost: {address.netloc}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
        time.sleep(0.2)
    assert httpx.get(f"{server.url}/api/status").status_code == 200
    time.sleep(0.2)
    assert "Traceback" not in server.said()


def test_a_body_that_stalls_is_given_up() -> None:
    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(RefusedError, match="No byte of the request came"):
        asyncio.run(read_json(request, 0.01))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("size", [1, 2**20])
def test_a_full_disk_is_told(size: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(size)

    with pytest.raises(RefusedError, match="disk cannot take the file") as refused:
        asyncio.run(save_upload(chunks(), Path("/dev/full"), 2**30, 5.0))
    assert refused.value.status == 507
