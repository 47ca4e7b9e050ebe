"""The Dockerfile: linted, and true to the repository; it is built elsewhere."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import setuptools

from sama_plugin.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "scripts" / "Dockerfile"
HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))


def steps(instruction: str) -> list[str]:
    """Arguments of every such step, continued lines joined."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    return [
        line.split(maxsplit=1)[1] for line in text.splitlines() if line.lstrip().startswith(f"{instruction} ")
    ]


def only(instruction: str) -> str:
    (found,) = steps(instruction)
    return found


def test_linter_has_nothing_to_say() -> None:
    if HADOLINT is None:
        pytest.skip("hadolint is not installed: pip install -e .[dev]")
    done = subprocess.run(
        [HADOLINT, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_there_and_let_through() -> None:
    sources = [word for step in steps("COPY") if "--from" not in step for word in step.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignore = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert ignore[0] == "*", "nothing goes in unasked: no weights, no data, no secrets"
    assert {source.split("/")[0] for source in sources} == {
        name[1:] for name in ignore if name.startswith("!")
    }


def test_extras_and_ranges_are_those_of_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    runpy.run_path(str(ROOT / "setup.py"))
    installed = " ".join(steps("RUN"))
    extras = {extra for found in re.findall(r"\.\[(.+?)\]", installed) for extra in found.split(",")}
    assert extras == {"host", "web"} <= set(given["extras_require"])
    for requirement in re.findall(r'"((?:torch|torchvision|sam2)[<>=].+?)"', installed):
        assert requirement in given["install_requires"]


@pytest.mark.parametrize("given", ["", "https://torch.example/cpu"])
def test_torch_comes_from_the_package_index_unless_another_is_given(given: str, tmp_path: Path) -> None:
    assert "TORCH_INDEX=" in steps("ARG")
    (install,) = (step for step in steps("RUN") if "torchvision" in step)
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nprintf "%s\\n" "$PIP_INDEX_URL" "$@"\n')
    pip.chmod(0o755)
    settings = {"TORCH_INDEX": given, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    shown = subprocess.run(["sh", "-c", install], env=settings, capture_output=True, text=True, check=True)
    expected = [given, "install", "--no-cache-dir", "torch>=2.5.1", "torchvision>=0.20.1"]
    assert shown.stdout.splitlines() == expected


def test_it_serves_as_a_user_without_rights_where_it_says() -> None:
    words = json.loads(only("ENTRYPOINT"))
    assert words[:2] == ["sama", "serve"]
    args = build_parser().parse_args(words[1:])
    assert (args.host, str(args.port)) == ("0.0.0.0", only("EXPOSE"))
    user = only("USER")
    assert user.isdigit()
    assert user != "0"
    assert DOCKERFILE.read_text(encoding="utf-8").index("USER ") < DOCKERFILE.read_text(
        encoding="utf-8"
    ).index("ENTRYPOINT")


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that gives this status for /api/status alone; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/status" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (401, True), (503, False), (404, False)])
def test_healthcheck_asks_the_server(status: int, is_healthy: bool) -> None:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    port = only("EXPOSE")
    assert command[2].count(port) == 1
    with answering(status) as own_port:
        code = command[2].replace(port, str(own_port))
        done = subprocess.run([sys.executable, *command[1:2], code], capture_output=True, check=False)
    assert (done.returncode == 0) is is_healthy


def test_healthcheck_fails_where_nobody_listens() -> None:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    with answering(200) as port:
        pass
    code = command[2].replace(only("EXPOSE"), str(port))
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode != 0
