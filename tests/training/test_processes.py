"""The same step however it is cut: micro-batches, processes, ZeRO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import load_checkpoint
from tests.data.sources.made_corpora import make_llava
from tests.training.training_runs import SOURCE, train

ROOT = Path(__file__).resolve().parents[2]
STEPS, BATCH = 3, 4

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
HALVES = {"launcher": TWO, "per_device_train_batch_size": BATCH // 2}
WAYS: dict[str, dict[str, Any]] = {
    "one process": {"per_device_train_batch_size": BATCH},
    "micro-batches": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": BATCH},
    "two processes": HALVES,
    "ZeRO-2": HALVES | {"deepspeed": ROOT / "scripts/zero2.json"},
    "ZeRO-3": HALVES | {"deepspeed": ROOT / "scripts/zero3.json"},
    "ZeRO-3 with offload": HALVES | {"deepspeed": ROOT / "scripts/zero3_offload.json"},
}


def logged_lines(
    way: str, start: Path, shapes_set: Path, out: Path, **settings: Any
) -> list[dict[str, float]]:
    """The losses of a run; its end is a checkpoint that loads."""
    run = train(start, shapes_set, out, max_steps=STEPS, save_strategy="no", **WAYS[way], **settings)
    assert run.returncode == 0, run.stderr[-4000:]
    load_checkpoint(out)
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [line for line in history if "loss" in line]


@pytest.fixture(scope="module")
def lines_of_one(
    start: Path, shapes_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, float]]:
    return logged_lines("one process", start, shapes_set, tmp_path_factory.mktemp("one") / "qwen-out")


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way != "one process"])
def test_losses_are_those_of_one_process(
    way: str, start: Path, shapes_set: Path, tmp_path: Path, lines_of_one: list[dict[str, float]]
) -> None:
    compare(logged_lines(way, start, shapes_set, tmp_path / "qwen-out"), lines_of_one)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["two processes", "ZeRO-2", "ZeRO-3"])
def test_processes_that_have_only_text_keep_step(
    way: str, start: Path, shapes_set: Path, tmp_path: Path
) -> None:
    """Four of twelve examples are text alone, four a picture: a process has videos where the other has none."""
    chat = make_llava(tmp_path)
    entry = f"{{form: llava, json_path: {chat.records}, video_root: {chat.video_root}, repeat: 4}}"
    settings = {"mixture": f"datasets: [{SOURCE}, {entry}]", "balance_tasks": False}
    alone, together = (
        logged_lines(one, start, shapes_set, tmp_path / name / "qwen-out", **settings)
        for one, name in (("one process", "alone"), (way, "together"))
    )
    compare(together, alone)


def compare(lines: list[dict[str, float]], wanted_lines: list[dict[str, float]]) -> None:
    """Both are the same three steps."""
    assert len(lines) == len(wanted_lines) == STEPS
    assert len({line["loss"] for line in lines}) == STEPS
    for line, wanted in zip(lines, wanted_lines, strict=True):
        for name in ("loss", "loss_lm", "loss_mask_bce", "loss_mask_dice", "loss_mask_iou", "loss_presence"):
            assert line[name] == pytest.approx(wanted[name], abs=1e-4), name
        assert line["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)
