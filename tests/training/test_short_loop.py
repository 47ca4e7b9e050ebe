from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sama_plugin.errors import DataError, HostError
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


@pytest.mark.parametrize("use_muon", [False, True])
def test_loop_goes_on_from_its_state_and_trains_what_wants_gradients(tmp_path: Path, use_muon: bool) -> None:
    def run(stop_at: int) -> tuple[int, torch.Tensor]:
        torch.manual_seed(0)
        model, frozen = nn.Linear(2, 1), nn.Linear(2, 1).requires_grad_(False)
        before = frozen.weight.clone()
        loop = ShortLoop(tmp_path, (model, frozen), **SETTINGS, use_muon=use_muon)
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
    settled = [cosine_rate(step, 100, final=0.4) for step in range(101)]
    assert settled[:5] == rates[:5]
    assert settled[100] == pytest.approx(0.4)
    assert settled[60] == pytest.approx(0.4 + 0.6 * rates[60])


def test_muon_turns_linear_layers_and_adamw_trains_the_rest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    table, layer = nn.Embedding(5, 4), nn.Linear(4, 3)
    tied = nn.Linear(4, 5, bias=False)
    tied.weight = table.weight
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    settings = {**SETTINGS, "num_steps": 20, "learning_rate": 0.01}  # the first step is at the peak
    loop = ShortLoop(tmp_path, (nn.ModuleList([table, layer, tied]),), **settings, use_muon=True)
    next(loop.steps())
    old_table = table.weight.detach().clone()
    loss = layer(table(torch.arange(5))).square().sum() + tied(torch.ones(1, 4)).sum()
    gradient = torch.autograd.grad(loss, layer.weight, retain_graph=True)[0]
    loop.update(loss)
    # Muon's update is the gradient with all its directions made about equally long, 0.2 * sqrt(4) times the rate.
    moved = (before["weight"] - layer.weight.detach()) / (0.01 * 0.2 * 2)
    lengths = torch.linalg.svdvals(moved)
    assert lengths.min() > 0.5
    assert lengths.max() < 1.4
    assert torch.linalg.svdvals(gradient).max() / torch.linalg.svdvals(gradient).min() > 3
    assert (moved * gradient).sum() > 0
    # AdamW's first step is as long for every number.
    for old, new in ((before["bias"], layer.bias), (old_table, table.weight)):
        torch.testing.assert_close((old - new).abs(), torch.full_like(old, 0.01), rtol=0.05, atol=0)


def test_torch_without_muon_is_named_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(
        HostError, match=r"torch .* has no optimiser Muon.*expected 2\.9 or newer.*pip install"
    ):
        ShortLoop(tmp_path, (nn.Linear(2, 1),), **SETTINGS, use_muon=True)
    ShortLoop(tmp_path, (nn.Linear(2, 1),), **SETTINGS)


@pytest.mark.parametrize("use_muon", [False, True])
def test_state_of_other_parts_is_refused_with_a_way_on(tmp_path: Path, use_muon: bool) -> None:
    loop = ShortLoop(tmp_path, (nn.Linear(2, 1),), **{**SETTINGS, "save_every": 1})
    next(loop.steps())
    loop.update(next(iter(loop._parts[0].parameters())).sum())
    other = nn.Linear(2, 1) if use_muon else nn.Linear(3, 1)
    with pytest.raises(
        DataError,
        match=r"state\.pt: the state of a stage with other parts .*(group|shape).* remove the file",
    ):
        ShortLoop(tmp_path, (other,), **SETTINGS, use_muon=use_muon)
    assert (tmp_path / STATE_FILE).is_file()
