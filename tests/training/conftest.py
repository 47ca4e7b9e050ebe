from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def start(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint under a name that the host's script knows as a Qwen model."""
    folder = tmp_path_factory.mktemp("runs") / "qwen-start"
    folder.symlink_to(tiny_checkpoint)
    return folder
