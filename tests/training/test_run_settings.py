from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sama_plugin.errors import DataError
from sama_plugin.training.run_settings import SETTINGS_FILE, check_batch, check_settings, run_settings


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
    return path


def test_run_goes_on_with_the_settings_it_was_started_with(tmp_path: Path, mixture: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        check_settings(out, run_settings(mixture, arguments()), goes_on=True, force=False)
    assert json.loads((out / SETTINGS_FILE).read_text())["learning_rate"] == 1e-3
    assert [file.name for file in out.iterdir()] == [SETTINGS_FILE]


def test_changed_settings_are_refused_by_name_until_forced(tmp_path: Path, mixture: Path) -> None:
    out = tmp_path / "out"
    check_settings(out, run_settings(mixture, arguments()), goes_on=False, force=False)
    mixture.write_text("datasets: [other]")
    changed = run_settings(mixture, arguments(learning_rate=2e-3))
    with pytest.raises(DataError, match=r"data was \w+, is \w+; learning_rate was 0\.001, is 0\.002\. Give"):
        check_settings(out, changed, goes_on=True, force=False)
    assert json.loads((out / SETTINGS_FILE).read_text())["learning_rate"] == 1e-3
    check_settings(out, changed, goes_on=True, force=True)
    check_settings(out, changed, goes_on=True, force=False)


def test_new_run_and_one_without_remembered_settings_start(tmp_path: Path, mixture: Path) -> None:
    check_settings(tmp_path / "old", run_settings(mixture, arguments()), goes_on=True, force=False)
    check_settings(tmp_path / "old", run_settings(mixture, arguments(seed=1)), goes_on=False, force=False)


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
