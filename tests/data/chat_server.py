"""A local OpenAI-compatible server that answers by a script and misbehaves by a plan or by chance."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answerer = Callable[[dict[str, Any]], str]
"""Request body → text of the reply."""


@dataclass
class Misbehaviour:
    """Chances, by name: `drop`, `429`, `429-after`, `500`, `slow`, `torn`, `broken`, `wrong`, `twice`.

    `broken` tears the JSON of the reply, `torn` that of the answer around it; `wrong` names objects that do not exist,
    `twice` says each round twice. `plan` comes first, one per request; then the dice.
    """

    chances: Mapping[str, float] = field(default_factory=dict)
    plan: list[str] = field(default_factory=list)
    seed: int = 0
    slow_s: float = 0.05
    retry_after_s: float = 0.1

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._lock = threading.Lock()

    def next(self) -> str:
        with self._lock:
            if self.plan:
                return self.plan.pop(0)
            dice = self._rng.random()
            for name, chance in self.chances.items():
                if dice < chance:
                    return name
                dice -= chance
            return "well"


@dataclass
class ChatServer:
    """What a test sees of the running server."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


@contextmanager
def chat_server(
    answer: Answerer,
    misbehaviour: Misbehaviour | None = None,
    *,
    key: str | None = None,
    knows_schema: bool = True,
) -> Iterator[ChatServer]:
    """Run a server on a free port of this machine."""
    trouble = misbehaviour or Misbehaviour()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            data = self.rfile.read(size)
            if len(data) < size:
                return None  # the client was killed
            body = json.loads(data)
            server.requests.append(body)
            server.headers.append(dict(self.headers))
            if key is not None and self.headers.get("Authorization") != f"Bearer {key}":
                said = self.headers.get("Authorization", "")
                return self.say(401, {"error": {"message": f"Incorrect key: {said}"}})
            if not knows_schema and "response_format" in body:
                return self.say(400, {"error": {"message": "unknown field response_format"}})
            deed = trouble.next()
            server.done.append(deed)
            return self.misbehave(deed, body)

        def misbehave(self, deed: str, body: dict[str, Any]) -> None:
            if deed == "drop":
                self.connection.close()
            elif deed in ("429", "429-after"):
                self.say(
                    429,
                    {"error": {"message": "slow down"}},
                    {"Retry-After": str(trouble.retry_after_s)} if "-" in deed else {},
                )
            elif deed.isdigit():
                self.say(int(deed), {"error": {"message": f"code {deed}"}})
            elif deed == "torn":
                self.send_bytes(200, b'{"choices": [{"mess')
            else:
                if deed == "slow":
                    time.sleep(trouble.slow_s)
                self.say(200, completion(spoil(answer(body), deed)))

        def say(self, code: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
            self.send_bytes(code, json.dumps(value).encode(), headers)

        def send_bytes(self, code: int, data: bytes, headers: Mapping[str, str] | None = None) -> None:
            try:
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                pass  # the client was killed

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server = ChatServer(f"http://127.0.0.1:{httpd.server_port}/v1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def completion(text: str) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20},
    }


def spoil(text: str, deed: str) -> str:
    """The reply as a model in a bad mood gives it."""
    if deed == "broken":
        return text[: len(text) // 2]
    if deed == "wrong":
        return text.replace("<obj", "<obj9")
    if deed == "twice":
        value = json.loads(text)
        if "rounds" in value:
            value["rounds"] = [r for r in value["rounds"] for _ in range(2)]
        return json.dumps(value)
    return text
