"""The trainer as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOURCE = "{json_path: records.json, mask_path: mask_dict.json, video_root: .}"
MIXTURE = f"datasets: [{SOURCE}]"


def begin_training(
    start: Path,
    shapes_set: Path,
    out: Path,
    *,
    launcher: Sequence[str] = (),
    mixture: str = MIXTURE,
    **flags: Any,
) -> subprocess.Popen[str]:
    """Start a run on the small world, by a launcher's module where one is given; it is not waited for."""
    out.parent.mkdir(parents=True, exist_ok=True)
    data = out.parent / "mixture.yaml"
    data.write_text(mixture)
    flags = {
        "model_name_or_path": start,
        "data_path": data,
        "video_folder": shapes_set,
        "output_dir": out,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_steps": 2,
        "model_max_length": 2048,
        "report_to": "none",
        "gradient_checkpointing": False,
        "use_cpu": True,
    } | flags
    command = [sys.executable, *launcher, "-m", "sama_plugin.training.train"]
    command += [part for key, value in flags.items() for part in (f"--{key}", str(value))]
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    )


def train(start: Path, shapes_set: Path, out: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    process = begin_training(start, shapes_set, out, **settings)
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
