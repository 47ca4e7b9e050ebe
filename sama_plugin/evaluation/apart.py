"""Measurements in processes of their own, so that one's peak of memory is not another's."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from sama_plugin.errors import SamaError

MEGA, KILO = 1e6, 1024


def measure_apart(arguments: Sequence[str], what: str) -> dict[str, Any] | None:
    """Run a module that prints one JSON object as its last line.

    Args:
        arguments: the module's name, then its arguments.
        what: is measured; for the error.

    Returns:
        The object; None where the process was killed, as one is that runs out of memory.

    Raises:
        SamaError: it failed.
    """
    run = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    if run.returncode < 0:
        return None
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or ["it says nothing"])[-1].removeprefix("sama: ")
        raise SamaError(f"{what} failed: {reason}")
    made: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return made


def peak_mb() -> float:
    """Peak of the GPU's memory, or of this process's where there is none, so far."""
    import torch  # here, so that sides without it stay light

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MEGA
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KILO / MEGA
