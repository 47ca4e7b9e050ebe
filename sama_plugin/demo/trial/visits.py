"""Visitors of a server, well-behaved and not: what `soak` sends, one after another and side by side."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from sama_plugin.demo.trial.own_server import OwnServer
from sama_plugin.errors import DataError

TIMEOUT_S = 120.0
BOX = [20, 20, 80, 80]
QUESTIONS = ("Describe the video with masks.", "What does <obj1> do?")
KINDS = ("overlay.mp4", "strip.png", "answer.json", "coco.json", "masks.zip", "chat.py")


class VisitError(DataError):
    """A server that did not do what a visitor may expect."""


class Visitor:
    """Talks to a server as a page does.

    Args:
        server: the server.
        video: a file to upload.
    """

    def __init__(self, server: OwnServer, video: Path):
        self.server = server
        self.video = video
        self.client = httpx.Client(base_url=server.url, timeout=TIMEOUT_S)
        self._sessions: list[str] = []

    def open(self, content: bytes | None = None, name: str = "clip.mp4") -> httpx.Response:
        """Upload a file; the video if none is given."""
        body = self.video.read_bytes() if content is None else content
        headers = {"Content-Type": "application/octet-stream"}
        return self._kept(
            self.client.post("/api/sessions", params={"name": name}, content=body, headers=headers)
        )

    def example(self) -> httpx.Response:
        """Open a clip that the server has."""
        return self._kept(self.client.post("/api/sessions", json={"example": "shapes-1"}))

    def ask(self, session: str, question: str) -> Iterator[tuple[str, Any]]:
        """Ask; gives kind and data of each event. Left early, the connection is cut."""
        path = f"/api/sessions/{session}/ask"
        with self.client.stream("POST", path, json={"question": question}) as response:
            if response.status_code != 200:
                raise VisitError(f"A question was answered with status {response.status_code}.")
            kind = ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data":
                    yield kind, json.loads(value)

    def answer(self, session: str, question: str) -> dict[str, Any]:
        """Ask; gives the turn.

        Raises:
            VisitError: the answer ended otherwise.
        """
        for kind, data in self.ask(session, question):
            if kind == "done":
                turn: dict[str, Any] = data
                return turn
            if kind == "error":
                raise VisitError(f"A question was not answered: {data['code']}, {data['message']}")
        raise VisitError("An answer broke off without a word.")

    def close(self, session: str) -> None:
        """End a session."""
        self.client.delete(f"/api/sessions/{session}")

    def leave(self) -> None:
        """End all sessions that are still open."""
        for session in self._sessions:
            self.close(session)
        self.client.close()

    def _kept(self, response: httpx.Response) -> httpx.Response:
        if response.status_code == 201:
            self._sessions.append(response.json()["id"])
        return response


class Fault(NamedTuple):
    """A kind of visit.

    Attributes:
        name: what goes wrong in it.
        visit: makes the visit.
    """

    name: str
    visit: Callable[[Visitor], None]


def visit_well(visitor: Visitor) -> None:
    """Look, point, ask, ask again, go back, take an export, leave."""
    session = _opened(visitor.open())
    _expect(visitor.client.get(f"/api/sessions/{session}/frames/3.jpg"), 200)
    _expect(visitor.client.post(f"/api/sessions/{session}/regions", json={"frame": 3, "box": BOX}), 201)
    for question in QUESTIONS:
        visitor.answer(session, question)
    _expect(visitor.client.post(f"/api/sessions/{session}/rewind", json={"turns": 1}), 200)
    _expect(visitor.client.get(f"/api/sessions/{session}/export/coco.json"), 200)
    visitor.close(session)


def kill_model(visitor: Visitor) -> None:
    """The model's process is killed in the midst of an answer; the conversation goes on all the same."""
    session = _opened(visitor.open())
    visitor.answer(session, QUESTIONS[0])
    is_killed = False  # text that was on its way comes all the same
    for kind, data in visitor.ask(session, QUESTIONS[0]):
        if kind == "text" and not is_killed:
            is_killed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(visitor.server.model_pid(), signal.SIGKILL)
        elif kind == "error" and data["code"] != "worker_crashed":
            raise VisitError(f"A killed model is said to be {data['code']}.")
    visitor.answer(session, QUESTIONS[1])
    visitor.close(session)


def send_no_video(visitor: Visitor) -> None:
    """Files that are none, or half."""
    _expect(visitor.open(b"this is no video " * 100), 415)
    _expect(visitor.open(b""), 415)
    _expect(visitor.open(visitor.video.read_bytes()[:300]), 415)
    _expect(visitor.open(name="../../<b>x</b>.mp4", content=b"\0" * 5000), 415)


def abort_upload(visitor: Visitor) -> None:
    """The connection ends in the midst of a file."""
    netloc = urlsplit(visitor.server.url)
    with socket.create_connection((netloc.hostname, netloc.port)) as connection:
        head = (
            f"POST /api/sessions?name=x.mp4 HTTP/1.1\r\nHost: {netloc.netloc}\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
        )
        connection.sendall(head.encode() + visitor.video.read_bytes()[:2000])


def abort_answer(visitor: Visitor) -> None:
    """The tab is closed in the midst of an answer, which then does not count."""
    session = _opened(visitor.open())
    for kind, _ in visitor.ask(session, QUESTIONS[0]):
        if kind == "text":
            break
    turns = visitor.client.get(f"/api/sessions/{session}").json()["turns"]
    if turns:
        raise VisitError("An answer that nobody waited for counts.")
    _expect(visitor.client.post(f"/api/sessions/{session}/close"), 204)


def leave_tab(visitor: Visitor) -> None:
    """A tab that is never closed, and never used again."""
    session = _opened(visitor.open())
    visitor.answer(session, QUESTIONS[0])


def abort_export(visitor: Visitor) -> None:
    """An export that nobody waits for."""
    session = _opened(visitor.open())
    visitor.answer(session, QUESTIONS[0])
    with contextlib.suppress(httpx.ReadTimeout):
        visitor.client.get(f"/api/sessions/{session}/export/{KINDS[0]}", timeout=0.3)
    visitor.close(session)


def draw_thousand_regions(visitor: Visitor) -> None:
    """As many regions as there may be, and then more."""
    document = visitor.open().json()
    session, video = document["id"], document["video"]
    whole = {"size": [video["height"], video["width"]], "counts": [0, video["height"] * video["width"]]}
    refused = 0
    for _ in range(1000):
        response = visitor.client.post(f"/api/sessions/{session}/regions", json={"mask": whole})
        refused += response.status_code == 422
    most = visitor.client.get("/api/status").json()["limits"]["regions"]
    if refused != 1000 - most:
        raise VisitError(f"{refused} of 1000 regions were refused, expected all but {most}.")
    visitor.close(session)


FAULTS = (
    Fault("none", visit_well),
    Fault("no video", send_no_video),
    Fault("upload aborted", abort_upload),
    Fault("answer aborted", abort_answer),
    Fault("model killed", kill_model),
    Fault("tab never closed", leave_tab),
    Fault("export aborted", abort_export),
    Fault("thousand regions", draw_thousand_regions),
)
"""Kinds of visits, in turn."""


def _opened(response: httpx.Response) -> str:
    """Id of the session that a visitor was given."""
    _expect(response, 201)
    return str(response.json()["id"])


def _expect(response: httpx.Response, status: int) -> None:
    if response.status_code != status:
        raise VisitError(
            f"{response.request.method} {response.request.url.path} was answered with status "
            f"{response.status_code}, expected {status}: {response.text[:200]}"
        )
