from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sama_plugin.training.short_loop import STATE_FILE, ShortLoop, cosine_rate, endless_batches

SETTINGS: dict[str, Any] = {"name": "made", "num_steps": 4, "learning_rate": 0.1, "save_every": 2}


class EpochNumbers:
    """Items that say epoch and index."""

    epoch = 0

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.epoch, index

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def test_batches_are_those_of_an_unbroken_run_from_any_start() -> None:
    whole = list(islice(endless_batches(EpochNumbers(), 2, list, seed=3), 7))
    assert [batch[0][0] for batch in whole] == [0, 0, 1, 1, 2, 2, 3]
    assert len({index for batch in whole[:2] for _, index in batch}) == 4  # no item twice in an epoch
    assert whole[0] != [(0, 0), (0, 1)]  # shuffled
    for start in (1, 2, 5):
        assert (
            list(islice(endless_batches(EpochNumbers(), 2, list, seed=3, start=start), 2))
            == whole[start : start + 2]
        )


def test_batch_is_never_larger_than_the_set() -> None:
    (batch,) = islice(endless_batches(EpochNumbers(), 64, list, seed=0), 1)
    assert sorted(index for _, index in batch) == [0, 1, 2, 3, 4]


def test_loop_goes_on_from_its_state_and_trains_what_wants_gradients(tmp_path: Path) -> None:
    def run(stop_at: int) -> tuple[int, torch.Tensor]:
        torch.manual_seed(0)
        model, frozen = nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)
        before = frozen.weight.clone()
        loop = ShortLoop(tmp_path, (model, frozen), **SETTINGS)
        for step in loop.steps():
            if step == stop_at:
                break
            loop.update(model(torch.ones(1, 2)).square().sum() + frozen.weight.sum())
        assert torch.equal(frozen.weight, before)
        return loop.start, model.weight.detach()

    assert run(stop_at=3)[0] == 0
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 2
    start, resumed = run(stop_at=4)
    assert start == 2
    (tmp_path / STATE_FILE).unlink()
    assert torch.equal(run(stop_at=4)[1], resumed)


def test_rate_warms_up_and_falls_to_zero() -> None:
    rates = [cosine_rate(step, 100) for step in range(101)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[100] == pytest.approx(0)
