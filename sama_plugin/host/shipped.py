"""Where the checkpoint that ships inside the package lies; touches neither torch nor the host."""

from __future__ import annotations

from pathlib import Path

from sama_plugin.errors import CheckpointError

SHIPPED_NAME = "llava-sama-qwen-tiny"
"""Folder name; holds `llava` and `qwen`, which host code that goes by names looks for."""


def shipped_path() -> Path:
    """Folder of the shipped checkpoint, whether or not it is there."""
    return Path(__file__).resolve().parent.parent / "checkpoints" / SHIPPED_NAME


def shipped_checkpoint() -> str:
    """Folder of the checkpoint that ships with the package, ready for `load_pretrained_model`.

    Raises:
        CheckpointError: the folder or its config.json is not in this installation.
    """
    path = shipped_path()
    if not (path / "config.json").is_file():
        raise CheckpointError(
            f"The shipped checkpoint is missing: {path / 'config.json'} does not exist; reinstall "
            "the package from a complete checkout (`pip install -e .`)."
        )
    return str(path)
