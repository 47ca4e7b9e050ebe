"""What the tiny preset's own training loops share: learning-rate schedule, and a state that survives a kill."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import Any

import torch

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
WARMUP_SHARE = 0.05


def cosine_rate(step: int, num_steps: int) -> float:
    """Factor on the peak rate: linear warm-up over 5 % of the steps, then a cosine to 0."""
    warmup = max(1, int(num_steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))


def save_state(out: Path, step: int, *parts: Any) -> None:
    """Write the states of modules, optimizer and schedule, whole or not at all.

    Args:
        out: folder of the run.
        step: steps done.
        *parts: objects with `state_dict`, in the order `resume` gets them.
    """
    temporary = out / f".{STATE_FILE}.tmp"
    torch.save({"step": step, "parts": [part.state_dict() for part in parts]}, temporary)
    os.replace(temporary, out / STATE_FILE)


def resume(out: Path, *parts: Any) -> int:
    """Load what `save_state` wrote, if anything; gives the steps done."""
    file = out / STATE_FILE
    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True)
    for part, values in zip(parts, state["parts"], strict=True):
        part.load_state_dict(values)
    logger.info("Resuming %s at step %d", out, state["step"])
    return int(state["step"])
