"""Java on the PATH, hidden or replaced; and one real run of METEOR, which takes long to start, for all tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCORE = """
import json, sys
from sama_plugin.evaluation.metrics.caption_scores import CaptionPair, score_captions
from tests.evaluation.metrics import official_case
videos = official_case.ANSWERS | official_case.many_answers()
scores = score_captions({v: [CaptionPair(*pair) for pair in pairs] for v, pairs in videos.items()}, "official")
json.dump({"videos": scores.videos, "absent": scores.absent, "tokenizer": scores.tokenizer}, sys.stdout)
"""


@pytest.fixture
def hide_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture
def hide_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pycocoevalcap")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pycocoevalcap", None)


@pytest.fixture
def replace_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a Python program in Java's place; it finds the folder it lies in as `HERE`."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(code: str) -> Path:
        path = folder / "java"
        path.write_text(
            f"#!{sys.executable} -S\nimport os, sys, time\nHERE = {str(folder)!r}\n"
            f"open(HERE + '/pid', 'w').write(str(os.getpid()))\n{code}\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return put


@pytest.fixture(scope="session")
def scored_twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """What two processes at once make of some 500 answers, and the folder they worked in."""
    if shutil.which("java") is None:
        pytest.skip("Java is missing: apt install default-jre-headless")
    folder = tmp_path_factory.mktemp("scored")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCORE],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    made = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], made
    return [json.loads(out) for out, _ in made], folder
