from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sama_plugin.config import SAM2_PRESETS, Sam2Config
from sama_plugin.data.mixture import read_mixture
from sama_plugin.errors import SamaError
from sama_plugin.grounding.sam2_model import WEIGHTS_NAME, build_sam2, save_sam2
from sama_plugin.training import sam2_pretrain, tiny
from sama_plugin.training.ablations import CLIPS
from tests.conftest import load_checkpoint

OPTIONS = argparse.Namespace(scale=1.0, seed=0, workers=1)
LAUNCH = Path(__file__).resolve().parents[2] / "scripts" / "launch.sh"
STAGE = tiny.Stage("words", "start", "tiny_frames.yaml", steps=100, batch=7, rate=1e-3, masks=(0.0, 0.0))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that stages ran; nothing is run."""
    seen: list[list[str]] = []

    def run(command: list[str], check: bool, env: dict[str, str]) -> Any:
        assert env["CUDA_VISIBLE_DEVICES"] == "2"
        seen.append(command)
        return subprocess.CompletedProcess(command, 3 if "--fail" in command else 0)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(subprocess, "run", run)
    return seen


def flags_of(command: list[str]) -> dict[str, str]:
    rest = command[3:]
    return {name.removeprefix("--"): value for name, value in zip(rest[0::2], rest[1::2], strict=False)}


def test_stage_is_one_run_of_the_trainer(commands: list[list[str]], tmp_path: Path) -> None:
    tiny.run_stage(
        STAGE,
        tmp_path,
        tmp_path / "data",
        argparse.Namespace(scale=0.5, seed=9, workers=3),
        ["--bf16", "True"],
    )
    (command,) = commands
    assert command[1:3] == ["-m", "sama_plugin.training.train"]
    assert command[-2:] == ["--bf16", "True"]  # after ours, so that the user's flag wins
    flags = flags_of(command)
    assert flags["model_name_or_path"] == str(tmp_path / "qwen-start")
    assert flags["output_dir"] == str(tmp_path / "qwen-words")
    assert flags["video_folder"] == str(tmp_path / "data")
    assert (flags["max_steps"], flags["per_device_train_batch_size"], flags["seed"]) == ("50", "7", "9")
    for name in ("mask_bce_weight", "mask_dice_weight", "mask_iou_weight", "presence_weight"):
        assert float(flags[name]) == 0


def test_stage_with_masks_keeps_the_scores_weights(commands: list[list[str]], tmp_path: Path) -> None:
    stage = tiny.Stage("clips", "a", "tiny_clips.yaml", 1, 1, 1e-3, (5.0, 2.0))
    tiny.run_stage(stage, tmp_path, tmp_path, OPTIONS, [])
    flags = flags_of(commands[0])
    assert (float(flags["mask_bce_weight"]), float(flags["mask_dice_weight"])) == (5, 2)
    assert "presence_weight" not in flags


def test_finished_stage_is_not_run_again(commands: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "qwen-words").mkdir()
    tiny.run_stage(STAGE, tmp_path, tmp_path, OPTIONS, [])
    assert len(commands) == 1
    (tmp_path / "qwen-words" / "config.json").write_text("{}")
    tiny.run_stage(STAGE, tmp_path, tmp_path, OPTIONS, [])
    assert len(commands) == 1


def test_failed_stage_says_how_to_go_on(commands: list[list[str]], tmp_path: Path) -> None:
    with pytest.raises(SamaError, match=r"Stage words failed; .*Run the same command again to go on from"):
        tiny.run_stage(STAGE, tmp_path, tmp_path, OPTIONS, ["--fail", "1"])


def test_sam2_learns_on_small_frames_first_and_goes_on_on_larger_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = []

    def pretrain(out: Path, config: Sam2Config, *, start: Path | None = None, **settings: Any) -> None:
        rate = settings.get("learning_rate")
        runs.append((out.name, config.image_size, start and start.name, settings["num_steps"], rate))
        out.mkdir()
        (out / WEIGHTS_NAME).touch()

    monkeypatch.setattr(sam2_pretrain, "pretrain_sam2", pretrain)
    for _ in range(2):  # the second time there is nothing to do
        tiny.sam2_stage(tmp_path, 10, 0.5, 0, 1)
        larger = ("sam2", 192, "sam2-small", tiny.SAM2_LARGE_STEPS // 2, tiny.SAM2_LARGE_RATE)
        assert runs == [("sam2-small", 128, None, 5, None), larger]


def test_data_of_all_stages_can_be_read() -> None:
    def splits(name: str) -> set[str]:
        return {source.video_root for source in read_mixture(tiny.DATA_CONFIGS / name)}

    for name in (tiny.WORDS.data, CLIPS.data, "tiny_context.yaml"):
        assert splits(name) == {"train"}
    for clips, frames in (tiny.TALK_DATA, tiny.JOINT_DATA):
        assert splits(clips) == {"train", "unnamed"}
        assert splits(frames) == set(tiny.TRAINING_SPLITS)


def test_start_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    tiny.make_start(tmp_path / "first", seed=4)
    torch.manual_seed(77)
    tiny.make_start(tmp_path / "second", seed=4)
    for file in (
        "model.safetensors",
        "sam2/model.safetensors",
        "vision_tower/model.safetensors",
        "tokenizer.json",
    ):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_joined_checkpoint_has_the_trained_sam2_twice(tiny_checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    sam2 = build_sam2(SAM2_PRESETS["tiny"])
    save_sam2(sam2, tmp_path / "sam2")
    tiny.join_sam2(tiny_checkpoint, tmp_path / "sam2", tmp_path / "joined")
    model = load_checkpoint(tmp_path / "joined").model
    own = model.sam2_head.sam2.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in sam2.state_dict().items())
    decoder = model.projector.seg_decoder.state_dict()
    assert all(
        torch.equal(tensor, decoder[key]) for key, tensor in sam2.sam_mask_decoder.state_dict().items()
    )


def test_final_checkpoint_is_half_as_large_and_loads_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    tiny.write_final(tiny_checkpoint, tmp_path / "final")
    stored = load_file(tmp_path / "final" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    model = load_checkpoint(tmp_path / "final").model
    before = load_file(tiny_checkpoint / "model.safetensors")
    assert model.dtype == torch.float32
    for name, tensor in before.items():
        assert torch.equal(stored[name], tensor.half()), name


KEPT_MEMORY = """
import os
from pathlib import Path
import torch
from sama_plugin.training.tiny import hand_back_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

start = resident()
features = [torch.ones(2**18) for _ in range(300)]
last = torch.ones(2**10)
del features
print(resident() - start)
hand_back_memory()
print(resident() - start)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept by glibc")
def test_memory_that_a_stage_freed_is_handed_back() -> None:
    script = 'source "$1"; sama_keep_memory; exec "$2" -c "$3"'
    command = ["bash", "-c", script, "bash", str(LAUNCH), sys.executable, KEPT_MEMORY]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, left = map(int, run.stdout.split())
    assert kept > 250  # MiB
    assert left < 50


def test_loop_hands_memory_back_before_it_starts(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(tiny, "hand_back_memory", lambda: order.append("handed back"))
    for _ in range(2):  # the second time it is done
        tiny.run_loop("talk", tiny_checkpoint, tmp_path, lambda *_: order.append("trained"))
    assert order == ["handed back", "trained"]
