"""Requests that try to read files which are not theirs: ways out of a folder, in every spelling, at every door."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

TIMEOUT_S = 30.0
DEPTH = 12
"""Folders to go up: enough to reach the root from anywhere."""

UPS = {
    "plain": "../",
    "encoded dots": "%2e%2e/",
    "encoded slash": "..%2f",
    "encoded": "%2e%2e%2f",
    "encoded twice": "%252e%252e%252f",
    "backslash": "..\\",
    "encoded backslash": "..%5c",
    "overlong dots": "%c0%ae%c0%ae/",
    "wide dots": "%EF%BC%8E%EF%BC%8E/",
    "one-dot leader": "%E2%80%A4%E2%80%A4/",
    "doubled": "....//",
    "parameter": "..;/",
    "null byte": "%00../",
}
"""Spelling → one step out of a folder."""

DOORS = (
    "/",
    "/static/",
    "/static/sama/",
    "/assets/",
    "/svelte/",
    "/api/",
    "/api/sessions/",
    "/api/sessions/{session}/frames/",
    "/api/sessions/{session}/export/",
    "/v1/files/",
    "/v1/files/{session}/content/",
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/file=",
)
WHOLE = (
    "/gradio_api/file={canary}",
    "/file={canary}",
    "/file={encoded}",
    "/gradio_api/proxy=file://{canary}",
    "/proxy=file://{canary}",
    "/gradio_api/upload?upload_id={encoded}",
    "/gradio_api/stream/{encoded}",
    "/gradio_api/custom_component/{encoded}/client/component/index.js",
    "/gradio_api/deep_link?session_hash={encoded}",
    "/static{canary}",
    "/static/{canary}",
    "/static/sama/{canary}",
    "/static/{encoded}",
    "/static/sama/{encoded}",
    "/assets/{encoded}",
    "/api/sessions/{session}/export/{encoded}",
    "/api/sessions/{session}/export/chat.py%00{encoded}",
    "/api/sessions/{session}/frames/{encoded}",
    "/v1/files/{encoded}",
    "/v1/files/{encoded}/content",
    "//{canary}",
    "/{encoded}",
    "file://{canary}",
    "http://127.0.0.1:1{canary}",
    "/.sama-serve",
    "/..%00/{canary}",
)
"""Paths that name a file outright; `canary` is one, `encoded` the same with its slashes encoded."""

BODIES = (
    ("/api/sessions", {"example": "{canary}"}),
    ("/api/sessions", {"example": "../{canary}"}),
    ("/api/sessions/{session}/regions", {"mask": "{canary}"}),
    ("/api/sessions/{session}/regions", {"mask": {"size": [1, 1], "counts": "{canary}"}}),
    ("/api/sessions/{session}/regions", {"name": "{canary}", "box": [0, 0, 9, 9]}),
    ("/api/sessions/{session}/ask", {"question": "What is <{canary}>?"}),
    ("/gradio_api/queue/join", {"data": ["{canary}"], "fn_index": 0}),
    ("/gradio_api/run/predict", {"data": [{"path": "{canary}"}]}),
    (
        "/v1/chat/completions",
        {
            "model": "{model}",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "video_url", "video_url": {"url": "file://{canary}"}},
                        {"type": "text", "text": "What is this?"},
                    ],
                }
            ],
        },
    ),
)


class Probe(NamedTuple):
    """A request.

    Attributes:
        method: GET or POST.
        path: exactly as it is sent.
        body: of a POST; JSON.
    """

    method: str
    path: str
    body: str | None = None


class Breach(NamedTuple):
    """A probe that should not have been answered so.

    Attributes:
        probe: what was sent.
        fault: `read a file outside`, `status 500`, `no answer`.
    """

    probe: Probe
    fault: str


def make_probes(canary: Path, session: str, model: str) -> list[Probe]:
    """All probes.

    Args:
        canary: a file that nobody may get, absolute.
        session: id of an open session.
        model: name of the server's model.
    """
    names = {
        "canary": quote(str(canary)),
        "encoded": quote(str(canary), safe=""),
        "session": session,
        "model": model,
    }
    probes = [Probe("GET", path) for path in _climbing_paths(canary, session)]
    probes += [Probe("GET", path.format(**names)) for path in WHOLE]
    for path, body in BODIES:
        text = json.dumps(body)
        for key, value in names.items():
            text = text.replace("{" + key + "}", value)
        probes.append(Probe("POST", path.format(**names), text))
    return probes


def run_probes(url: str, probes: Sequence[Probe], secrets: Sequence[bytes]) -> list[Breach]:
    """Send probes.

    Args:
        url: of the server.
        probes: from `make_probes`.
        secrets: what lies in files outside; no answer may hold any.

    Returns:
        Those that got what they should not, or made the server fail.
    """
    breaches = []
    for probe in probes:
        fault = _send(url, probe, secrets)
        if fault:
            breaches.append(Breach(probe, fault))
    return breaches


def _climbing_paths(canary: Path, session: str) -> Iterator[str]:
    """Every door with every spelling."""
    for door in DOORS:
        for up in UPS.values():
            slash = "\\" if up.endswith("\\") else up[up.rindex("%") :] if up[-3] == "%" else "/"
            yield (
                door.format(session=session) + up * DEPTH + quote(str(canary).lstrip("/")).replace("/", slash)
            )


def _send(url: str, probe: Probe, secrets: Sequence[bytes]) -> str:
    """What is wrong with the answer; empty if nothing is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json"} if probe.body is not None else {}
    try:
        connection.request(probe.method, probe.path, probe.body, headers)
        response = connection.getresponse()
        said = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()
    if any(secret in said for secret in secrets):
        return "read a file outside"
    return f"status {response.status}" if response.status >= 500 else ""
