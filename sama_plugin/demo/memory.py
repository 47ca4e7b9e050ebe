"""Memory that is not used any more goes back to the system when a session ends; Python alone would keep it."""

from __future__ import annotations

import ctypes
import gc
import sys


def trim_memory() -> None:
    """Collect, and give back what the C library keeps; the latter on Linux with glibc only."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
