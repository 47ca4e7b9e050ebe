"""Measurements in processes of their own, so that one's peak of memory is not another's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sama_plugin.errors import SamaError

MEGA, KILO = 1e6, 1024
SIGN = "sama: "
"""Before an error's words."""


def measure_apart(arguments: Sequence[str], what: str) -> dict[str, Any] | None:
    """Run a module that prints one JSON object as its last line.

    Args:
        arguments: the module's name, then its arguments; it ends with `report`.
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
        reason = (run.stderr.strip().splitlines() or ["it says nothing"])[-1].removeprefix(SIGN)
        raise SamaError(f"{what} failed: {reason}")
    made: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return made


def report(measure: Callable[[], Mapping[str, Any]]) -> None:
    """What `measure_apart` runs: measure in this process, print the object; or end with what is wrong."""
    try:
        made = measure()
    except SamaError as error:
        sys.exit(f"{SIGN}{error}")
    sys.stdout.write(json.dumps(made) + "\n")


def peak_mb() -> float:
    """Peak of the GPU's memory, or of this process's where there is none, so far."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / MEGA
    return peak_resident_mb()


def peak_resident_mb() -> float:
    """Of this program's resident memory; what `getrusage` says may be that of the process which started it."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * KILO / MEGA
