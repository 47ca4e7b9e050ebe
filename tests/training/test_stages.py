from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.cli.main import main
from sama_plugin.errors import DataError, HostError
from sama_plugin.training.stages import STAGES, check_devices, stage_flags
from tests.training.test_train import MIXTURE, changed_parts

ON_CPU = ["--use_cpu", "True", "--bf16", "False"]


def flags(stage: str, **paths: Any) -> dict[str, str]:
    usual = {"start": Path("s"), "data": Path("d.yaml"), "root": Path("r"), "out": Path("o")}
    row = stage_flags("7b", stage, **usual | paths)
    return dict(zip((name.removeprefix("--") for name in row[::2]), row[1::2], strict=True))


def test_llm_rests_in_the_first_stage_only() -> None:
    assert flags("pretrain")["mm_tunable_parts"] == "mm_mlp_adapter"
    assert flags("finetune")["mm_tunable_parts"] == "mm_mlp_adapter,mm_language_model"


def test_every_flag_is_one_of_the_host_s_script(train_seam: Any) -> None:
    classes = (train_seam.SamaModelArguments, train_seam.SamaDataArguments, train_seam.SamaTrainingArguments)
    known = set().union(*(cls.__dataclass_fields__ for cls in classes))
    for stage in STAGES:
        assert set(flags(stage)) <= known


@pytest.mark.parametrize("names", [("13b", "finetune"), ("7b", "align")])
def test_unknown_names_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(DataError, match=r"Unknown (preset '13b'|stage 'align'); known are"):
        stage_flags(*names, start=Path(), data=Path(), root=Path(), out=Path())


def test_missing_gpus_are_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(HostError, match=r"has no GPU; .* --use_cpu True"):
        check_devices([])
    check_devices(ON_CPU)
    check_devices(["--use_cpu=True"])
    with pytest.raises(HostError, match="has no GPU"):
        check_devices(["--use_cpu", "False"])
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    check_devices([])
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(
        HostError, match=r"4 processes were started on a machine with 2 GPUs; start 2 \(NPROC=2\)"
    ):
        check_devices([])
    paths = ["--start", "s", "--data", "d", "--out", "o"]
    assert main(["train", "7b", "finetune", *paths]) == 2
    assert "4 processes were started" in capsys.readouterr().err


@pytest.mark.slow
def test_both_stages_run_one_after_the_other(tiny_checkpoint: Path, shapes_set: Path, tmp_path: Path) -> None:
    start, first, second = (tmp_path / f"qwen-{name}" for name in ("start", "first", "second"))
    start.symlink_to(tiny_checkpoint)
    data = tmp_path / "mixture.yaml"
    data.write_text(MIXTURE)
    small = ["--max_steps", "1", "--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "1"]
    small += ["--model_max_length", "2048", "--report_to", "none", "--global_batch_size", "8"]
    small += ["--warmup_ratio", "0", "--logging_steps", "1"]
    environment = os.environ | {"DS_ACCELERATOR": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    for stage, begin, out in (("pretrain", start, first), ("finetune", first, second)):
        command = [sys.executable, "-m", "sama_plugin.training.stages", "0.5b", stage, "--start", str(begin)]
        command += ["--data", str(data), "--root", str(shapes_set), "--out", str(out), *ON_CPU, *small]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert run.returncode == 0, run.stderr[-3000:]
    assert changed_parts(start, first) == {"projector", "seg_decoder"}
    assert changed_parts(first, second) == {"llm", "projector", "seg_decoder"}
    history = json.loads((second / "trainer_state.json").read_text())["log_history"]
    assert any(name.startswith("loss_lm/") for name in history[0])
