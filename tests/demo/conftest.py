"""One server with the shipped checkpoint for all tests of the room, and visitors of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sama_plugin.demo.trial.own_server import OwnServer, own_server
from sama_plugin.demo.trial.visits import Visitor

OPTIONS = (
    "--max-sessions",
    "5",
    "--max-upload-bytes",
    "400000",
    "--max-frames",
    "600",
    "--max-grace-s",
    "1",
    "--max-regions",
    "12",
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    with own_server(OPTIONS, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def visitor(server: OwnServer, shapes_set: Path) -> Iterator[Visitor]:
    """Closes what it opened."""
    made = Visitor(server, sorted((shapes_set / "videos").glob("*.mp4"))[0])
    yield made
    made.leave()


@pytest.fixture
def session(visitor: Visitor) -> str:
    """Id of a session about the visitor's video."""
    return str(visitor.open().json()["id"])


@pytest.fixture(scope="module")
def shared_session(server: OwnServer, shapes_set: Path) -> Iterator[str]:
    """Id of a session that a module's tests leave as it is."""
    made = Visitor(server, sorted((shapes_set / "videos").glob("*.mp4"))[0])
    yield str(made.example().json()["id"])
    made.leave()
