from __future__ import annotations

import dataclasses
import functools
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from sama_plugin.cli.main import main as cli
from sama_plugin.errors import DataError, MediaError, own_words
from sama_plugin.inference.session import VideoSession
from sama_plugin.training.train import MixedDataset, check_flags
from tests.conftest import LoadedCheckpoint, load_checkpoint
from tests.data.made_samples import make_dataset, search
from tests.training import training_runs
from tests.training.training_runs import SOURCE

MIXTURE = f"datasets: [{SOURCE}, {SOURCE[:-1]}, frames: single, kinds: [name]}}]"
ALL = 8
"""Examples of a step: all there is, so that a `[SEG]` is among it."""

KILLS = int(os.environ.get("SAMA_TEST_KILLS", "3"))
"""Runs that are killed; one of each kind by default."""


train = functools.partial(training_runs.train, mixture=MIXTURE, per_device_train_batch_size=ALL)
begin_training = functools.partial(training_runs.begin_training, mixture=MIXTURE)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    parts = {"": folder, "tower.": folder / "vision_tower", "sam2.": folder / "sam2"}
    return {
        prefix + key: value
        for prefix, part in parts.items()
        for key, value in load_file(part / "model.safetensors").items()
    }


def changed_parts(start: Path, end: Path) -> set[str]:
    """Which parts of a checkpoint training changed."""
    before, after = weights_of(start), weights_of(end)
    assert before.keys() == after.keys()
    names = {"tower.": "tower", "sam2.": "sam2", "model.mm_projector.seg_decoder": "seg_decoder"}
    names |= {"model.mm_projector": "projector", "model.": "llm"}
    return {
        next(name for prefix, name in names.items() if key.startswith(prefix))
        for key in before
        if not torch.equal(before[key], after[key])
    }


def test_every_source_of_a_mixture_hears_of_the_epoch(loaded: LoadedCheckpoint, shapes_set: Path) -> None:
    sources = [make_dataset(loaded, [search(shapes_set)]) for _ in range(2)]
    MixedDataset(sources, ["grounding", "grounding"]).set_epoch(3)
    assert [source.epoch for source in sources] == [3, 3]


def test_broken_samples_are_passed_over_and_named_until_there_are_too_many(
    loaded: LoadedCheckpoint, shapes_set: Path, tmp_path: Path
) -> None:
    good = search(shapes_set)
    broken = [dataclasses.replace(good, sample_id=f"cut {i}", video_path=f"{i}.mp4") for i in range(2)]
    source = make_dataset(loaded, [broken[0], good, broken[1]])
    report = tmp_path / "out" / "broken.jsonl"
    mixed = MixedDataset([source], ["grounding"] * 3, report=report, max_broken=1)
    for _ in range(2):
        assert mixed[0].sample_id == mixed[1].sample_id == "search"
    (line,) = report.read_text().splitlines()
    assert json.loads(line)["sample"] == "cut 0"
    assert "0.mp4" in json.loads(line)["error"]
    with pytest.raises(DataError, match=r"2 samples .* --max_broken_samples is 1; .*broken\.jsonl .*1\.mp4"):
        _ = mixed[2]
    with pytest.raises(MediaError, match=r"0\.mp4"):
        _ = MixedDataset([source], ["grounding"] * 3)[0]
    none_left = MixedDataset([make_dataset(loaded, broken)], ["grounding"] * 2, report=report, max_broken=9)
    with pytest.raises(DataError, match="No sample of the mixture can be read"):
        _ = none_left[0]


class Cut(Dataset[int]):
    """Every item is an error of ours."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise DataError("Sample 'a': cut off.")


def test_error_in_a_loader_s_worker_is_told_in_its_own_words() -> None:
    with pytest.raises(DataError, match="Original Traceback") as caught:
        next(iter(DataLoader(Cut(), num_workers=1)))
    assert own_words(caught.value) == "Sample 'a': cut off."
    assert own_words(DataError("Plain.")) == "Plain."


def test_command_line_tells_a_worker_s_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sama_plugin.training.tiny.main", lambda flags, parser: next(iter(DataLoader(Cut(), num_workers=1)))
    )
    assert cli(["train", "tiny"]) == 2
    assert capsys.readouterr().err == "sama: Sample 'a': cut off.\n"


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--learnig_rate", "1"], "does not know --learnig_rate 1 .did you mean --learning_rate.*; see"),
        (["stray"], "does not know stray; see"),
        (["--dataloader_persistent_workers", "True"], "frames of the first epoch"),
    ],
)
def test_flags_that_no_run_takes_are_refused_at_once(
    train_seam: object, flags: list[str], fault: str
) -> None:
    check_flags([])
    check_flags(["--learning_rate", "1"])
    with pytest.raises(DataError, match=fault):
        check_flags(flags)


def test_run_without_model_and_data_is_refused(train_seam: ModuleType) -> None:
    with pytest.raises(DataError, match="needs --data_path, --output_dir"):
        train_seam.check_flags(["--model_name_or_path", "M"])


@pytest.mark.slow
def test_two_steps_train_every_part_and_leave_a_whole_checkpoint(
    start: Path, shapes_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "qwen-trained"
    run = train(start, shapes_set, out)
    assert run.returncode == 0, run.stderr[-3000:]
    assert changed_parts(start, out) == {"llm", "projector", "seg_decoder", "tower"}
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    steps = [line for line in history if "loss" in line]
    assert len(steps) == 2
    parts = {"loss_lm", "loss_mask_bce", "loss_mask_dice", "loss_mask_iou", "loss_presence"}
    assert all(parts <= set(line) for line in steps)
    assert all(torch.isfinite(torch.tensor(line["loss"])) for line in steps)
    trained = load_checkpoint(out)
    video = shapes_set / "videos" / "00000.mp4"
    session = VideoSession(trained.model, trained.tokenizer, trained.image_processor, video, max_new_tokens=4)
    assert session.ask("What moves?").raw == session.answers[0].raw
    assert changed_parts(start, out / "checkpoint-2") == {"llm", "projector", "seg_decoder", "tower"}

    refused = train(start, shapes_set, out, max_steps=3)
    assert refused.returncode != 0
    assert "holds a run with other settings: max_steps was 2, is 3" in refused.stderr.splitlines()[-1]
    again = train(start, shapes_set, out, max_steps=3, force=True)
    assert again.returncode == 0, again.stderr[-3000:]
    state = json.loads((out / "trainer_state.json").read_text())
    assert state["global_step"] == 3
    assert [line["step"] for line in state["log_history"] if "loss" in line] == [1, 2, 3]
    assert load_checkpoint(out).model.config.use_cache


@pytest.mark.slow
def test_run_that_goes_on_ends_where_an_uninterrupted_one_does(
    start: Path, shapes_set: Path, tmp_path: Path
) -> None:
    flags = {"per_device_train_batch_size": 2, "lr_scheduler_type": "constant", "save_steps": 1}
    whole, parted = tmp_path / "whole" / "qwen-out", tmp_path / "parted" / "qwen-out"
    runs = [
        train(start, shapes_set, whole, max_steps=2, **flags),
        train(start, shapes_set, parted, max_steps=1, **flags),
        train(start, shapes_set, parted, max_steps=2, force=True, **flags),
    ]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[-1].stderr[-3000:]
    expected, reached = weights_of(whole), weights_of(parted)
    for name, tensor in expected.items():
        torch.testing.assert_close(reached[name], tensor, atol=1e-6, rtol=1e-5, msg=name)
    first = weights_of(parted / "checkpoint-1")
    assert any(not torch.equal(tensor, expected[name]) for name, tensor in first.items())


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until it is there, or the process has ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)


@pytest.mark.slow
def test_runs_killed_at_any_moment_end_as_an_unbroken_one_does(
    start: Path, shapes_set: Path, tmp_path: Path
) -> None:
    flags = {"max_steps": 4, "save_steps": 1, "save_total_limit": 2, "per_device_train_batch_size": 2}
    begun = time.monotonic()
    whole = train(start, shapes_set, tmp_path / "whole" / "qwen-out", **flags)
    lasted = time.monotonic() - begun
    assert whole.returncode == 0, whole.stderr[-3000:]
    expected = weights_of(tmp_path / "whole" / "qwen-out")
    moments, endings = random.Random(0), []
    for number in range(KILLS):
        out = tmp_path / str(number) / "qwen-out"
        process = begin_training(start, shapes_set, out, **flags)
        if number % 3 == 0:  # anywhere, most often while it loads
            time.sleep(moments.uniform(0, lasted))
        elif number % 3 == 1:  # while it saves
            wait_for(out / f"checkpoint-{moments.randint(1, 4)}", process)
            time.sleep(moments.uniform(0, 0.2))
        else:  # between steps and saves
            wait_for(out / f"checkpoint-{moments.randint(1, 3)}" / "trainer_state.json", process)
            time.sleep(moments.uniform(0, 0.5))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        endings.append(process.returncode)
        run = train(start, shapes_set, out, **flags)
        assert run.returncode == 0, run.stderr[-3000:]
        reached = weights_of(out)
        for name, tensor in expected.items():
            torch.testing.assert_close(reached[name], tensor, atol=1e-6, rtol=1e-5, msg=f"{number}: {name}")
    assert endings.count(-signal.SIGKILL) > KILLS // 2, endings  # few had ended before


@pytest.mark.slow
@pytest.mark.real_host
def test_lora_of_the_hosts_script_loads_on_its_base(start: Path, shapes_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "qwen-lora"
    run = train(start, shapes_set, out, lora_enable=True, lora_r=4, max_steps=1)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (out / "adapter_model.safetensors").is_file()
    model = load_checkpoint(out, model_base=str(start)).model
    before = load_checkpoint(start).model.state_dict()
    after = model.state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert any("layers.0.self_attn.q_proj" in name for name in changed)
    assert any("mm_projector.region_encoder" in name for name in changed)
    assert "model.norm.weight" not in changed
    merged = tmp_path / "qwen-merged"
    assert cli(["convert", str(out), str(merged), "--base", str(start)]) == 0
    whole = load_checkpoint(merged)
    assert all(torch.equal(tensor, after[name]) for name, tensor in whole.model.state_dict().items())
    video = shapes_set / "videos" / "00000.mp4"
    answers = []
    for trained in (model, whole.model):
        session = VideoSession(trained, whole.tokenizer, whole.image_processor, video, max_new_tokens=8)
        answers.append(session.ask("What moves?").raw)
    assert answers[0] == answers[1]


@pytest.mark.slow
def test_projector_alone_is_trained_where_only_it_is_asked_for(
    start: Path, shapes_set: Path, tmp_path: Path
) -> None:
    out = tmp_path / "qwen-projector"
    run = train(
        start, shapes_set, out, mm_tunable_parts="mm_mlp_adapter", max_steps=1, gradient_checkpointing=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert changed_parts(start, out) == {"projector", "seg_decoder"}
    load_checkpoint(out)


@pytest.mark.slow
def test_error_of_ours_is_one_line(start: Path, shapes_set: Path, tmp_path: Path) -> None:
    run = train(start, shapes_set, tmp_path / "qwen-bad", data_path=tmp_path / "none.yaml")
    assert run.returncode != 0
    assert run.stderr.strip().splitlines()[-1].startswith(f"sama: {tmp_path / 'none.yaml'} does not exist")
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "qwen-bad" / "model.safetensors").exists()
