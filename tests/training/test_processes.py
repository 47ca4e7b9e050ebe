"""The same step however it is cut: micro-batches, processes, ZeRO."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: .}]"
STEPS, BATCH = 3, 4

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
WAYS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "one process": ((), {"per_device_train_batch_size": BATCH}),
    "micro-batches": ((), {"per_device_train_batch_size": 1, "gradient_accumulation_steps": BATCH}),
    "two processes": (TWO, {"per_device_train_batch_size": BATCH // 2}),
    "ZeRO-2": (TWO, {"per_device_train_batch_size": BATCH // 2, "deepspeed": ROOT / "scripts/zero2.json"}),
    "ZeRO-3": (TWO, {"per_device_train_batch_size": BATCH // 2, "deepspeed": ROOT / "scripts/zero3.json"}),
}


def train(way: str, start: Path, shapes_set: Path, out: Path) -> list[dict[str, float]]:
    """The logged lines of a run."""
    launcher, flags = WAYS[way]
    mixture = out.parent / "mixture.yaml"
    mixture.write_text(MIXTURE)
    flags = {
        "model_name_or_path": start,
        "data_path": mixture,
        "video_folder": shapes_set,
        "output_dir": out,
        "max_steps": STEPS,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "model_max_length": 2048,
        "report_to": "none",
        "gradient_checkpointing": False,
        "use_cpu": True,
    } | flags
    command = [sys.executable, *launcher, "-m", "sama_plugin.training.train"]
    command += [part for key, value in flags.items() for part in (f"--{key}", str(value))]
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr[-4000:]
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [line for line in history if "loss" in line]


@pytest.fixture(scope="module")
def start(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint under a name that the host's script knows as a Qwen model."""
    folder = tmp_path_factory.mktemp("runs") / "qwen-start"
    folder.symlink_to(tiny_checkpoint)
    return folder


@pytest.fixture(scope="module")
def lines_of_one(
    start: Path, shapes_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, float]]:
    return train("one process", start, shapes_set, tmp_path_factory.mktemp("one") / "qwen-out")


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way != "one process"])
def test_losses_are_those_of_one_process(
    way: str, start: Path, shapes_set: Path, tmp_path: Path, lines_of_one: list[dict[str, float]]
) -> None:
    lines = train(way, start, shapes_set, tmp_path / "qwen-out")
    assert len(lines) == len(lines_of_one) == STEPS
    assert len({line["loss"] for line in lines}) == STEPS
    for line, wanted in zip(lines, lines_of_one, strict=True):
        for name in ("loss", "loss_lm", "loss_mask_bce", "loss_mask_dice", "loss_mask_iou", "loss_presence"):
            assert line[name] == pytest.approx(wanted[name], abs=1e-4), name
        assert line["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)
