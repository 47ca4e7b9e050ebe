from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sama_plugin.data.mixture import SourceConfig
from sama_plugin.errors import DataError, HostError
from sama_plugin.training.run_settings import (
    OF_TRAINING,
    SETTINGS_FILE,
    check_batch,
    check_processes,
    check_settings,
    run_settings,
)


def arguments(**settings: Any) -> SimpleNamespace:
    usual = {
        "world_size": 2,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
    }
    return SimpleNamespace(**usual | settings)


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    path = tmp_path / "mixture.yaml"
    path.write_text("datasets: []")
    for name in ("r.json", "m.json"):
        (tmp_path / name).write_text("[]")
    return path


def settings_of(mixture: Path, **changed: Any) -> dict[str, Any]:
    sources = [(SourceConfig("r.json", "m.json", "."), [])]
    return run_settings(mixture, mixture.parent, sources, arguments(**changed))


def test_run_goes_on_with_the_settings_it_was_started_with(tmp_path: Path, mixture: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        check_settings(out, settings_of(mixture), goes_on=True, force=False)
    assert json.loads((out / SETTINGS_FILE).read_text())["learning_rate"] == 1e-3
    assert [file.name for file in out.iterdir()] == [SETTINGS_FILE]


def test_changed_settings_are_refused_by_name_until_forced(tmp_path: Path, mixture: Path) -> None:
    out = tmp_path / "out"
    check_settings(out, settings_of(mixture), goes_on=False, force=False)
    mixture.write_text("datasets: [other]")
    changed = settings_of(mixture, learning_rate=2e-3)
    with pytest.raises(DataError, match=r"data was \w+, is \w+; learning_rate was 0\.001, is 0\.002\. Give"):
        check_settings(out, changed, goes_on=True, force=False)
    assert json.loads((out / SETTINGS_FILE).read_text())["learning_rate"] == 1e-3
    check_settings(out, changed, goes_on=True, force=True)
    check_settings(out, changed, goes_on=True, force=False)


def test_new_run_and_one_without_remembered_settings_start(tmp_path: Path, mixture: Path) -> None:
    check_settings(tmp_path / "old", settings_of(mixture), goes_on=True, force=False)
    check_settings(tmp_path / "old", settings_of(mixture, seed=1), goes_on=False, force=False)


def test_every_setting_and_the_size_of_the_data_count(tmp_path: Path, mixture: Path) -> None:
    check_settings(tmp_path / "out", settings_of(mixture), goes_on=True)
    for name in OF_TRAINING:
        with pytest.raises(
            DataError, match=rf"settings: {name} was .*, is other\. Give the same ones .* anew\.$"
        ):
            check_settings(tmp_path / "out", settings_of(mixture, **{name: "other"}), goes_on=True)
    (tmp_path / "m.json").write_text("[1]")
    with pytest.raises(DataError, match="data_bytes was 4, is 5"):
        check_settings(tmp_path / "out", settings_of(mixture), goes_on=True)


def test_one_process_remembers(tmp_path: Path, mixture: Path) -> None:
    check_settings(tmp_path / "out", settings_of(mixture), goes_on=False, is_writer=False)
    assert not (tmp_path / "out").exists()


def test_one_process_over_several_gpus_is_refused() -> None:
    check_processes(arguments(n_gpu=1))
    with pytest.raises(
        HostError, match=r"One process sees 2 GPUs; start one for each with torchrun .*NPROC=2"
    ):
        check_processes(arguments(n_gpu=2))


@pytest.mark.parametrize("size", [None, 8])
def test_batch_that_was_asked_for_is_accepted(size: int | None) -> None:
    check_batch(arguments(global_batch_size=size))


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        (24, "give 8 samples per step; set --gradient_accumulation_steps 3"),
        (12, "give 8 samples per step; 12 is no multiple of 2 x 4: change"),
        (4, "give 8 samples per step; 4 is no multiple of 2 x 4: change"),
    ],
)
def test_other_batch_is_explained(size: int, advice: str) -> None:
    with pytest.raises(DataError, match=advice):
        check_batch(arguments(global_batch_size=size))
