"""What `sama serve` says before it loads anything."""

from __future__ import annotations

import socket

import pytest

from sama_plugin.cli import serve
from sama_plugin.cli.main import main


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "--port", str(port), "--model", "/nowhere"]) == 2
    said = capsys.readouterr().err
    assert f"port {port}: Address already in use" in said
    assert said.count("\n") == 1


def test_a_missing_web_extra_is_said_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else object())
    assert main(["serve"]) == 2
    assert "needs uvicorn; install the web extra: pip install -e .[web]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "99999"], "expected 0 to 65535"),
        (["--host", "no-such-host.invalid"], "Cannot listen at no-such-host.invalid"),
        (["--max-sessions", "0"], "The limit sessions is 0, expected more than 0"),
        (["--max-idle-s", "nan"], "The limit idle_s is nan"),
        (["--temperature", "-1"], "temperature"),
        (["--port", "0", "--model", "/nowhere"], "Checkpoint folder /nowhere does not exist"),
    ],
)
def test_options_out_of_range_are_said_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    monkeypatch.setattr(serve, "load_parts", None)
    monkeypatch.setattr("sama_plugin.demo.server.build_app", None)
    assert main(["serve", *options]) == 2
    assert said in capsys.readouterr().err
