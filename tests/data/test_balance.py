from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sama_plugin.data.balance import STRETCH, BalancedSampler, balanced_order, group_lengths, task_quotas
from sama_plugin.errors import DataError

TASKS = ["referring"] * 60 + ["grounding"] * 30 + ["temporal"] * 7 + ["multi_turn"] * 3


def test_shares_are_even_whatever_the_counts() -> None:
    taken = Counter(TASKS[i] for i in balanced_order(TASKS, seed=0, epoch=0))
    assert taken == dict.fromkeys(("referring", "grounding", "temporal", "multi_turn"), 25)


def test_every_example_has_its_turn_before_any_comes_again() -> None:
    seen: Counter[int] = Counter()
    for epoch in range(12):  # 12 x 25 = 5 rounds of the 60, 10 of the 30, 42.9 of the 7, 100 of the 3
        seen.update(balanced_order(TASKS, seed=3, epoch=epoch).tolist())
    assert len(seen) == len(TASKS)
    for task in set(TASKS):
        counts = [seen[i] for i, name in enumerate(TASKS) if name == task]
        assert max(counts) - min(counts) <= 1


def test_tasks_are_mixed_all_along_the_epoch() -> None:
    order = balanced_order(TASKS, seed=1, epoch=0)
    for part in np.split(order, 4):
        assert all(3 <= count <= 10 for count in Counter(TASKS[i] for i in part).values())
        assert len({TASKS[i] for i in part}) == 4


def test_weights_change_the_shares_and_0_leaves_a_task_out() -> None:
    weights = {"referring": 2.0, "temporal": 0.0}
    taken = Counter(TASKS[i] for i in balanced_order(TASKS, seed=0, epoch=0, weights=weights))
    assert taken == {"referring": 50, "grounding": 25, "multi_turn": 25}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"smelling": 1.0}, "task 'smelling', but the mixture has a, b"),
        ({"a": -1.0}, "'a' is -1.0, expected 0 or more"),
        ({"a": 0, "b": 0}, "have weight 0"),
    ],
)
def test_impossible_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        BalancedSampler(["a", "b"], 0, weights)


def test_quotas_use_up_the_total() -> None:
    assert task_quotas(["a", "b", "c"], 100, {}) == {"a": 34, "b": 33, "c": 33}
    assert task_quotas(["a", "b", "c"], 2, {"c": 5}) == {"a": 0, "b": 0, "c": 2}


def test_order_depends_on_seed_and_epoch_alone() -> None:
    sampler = BalancedSampler(TASKS, seed=5)
    first = list(sampler)
    assert first == list(BalancedSampler(TASKS, seed=5))
    assert len(sampler) == len(first) == len(TASKS)
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(BalancedSampler(TASKS, seed=6)) != first


def test_examples_of_a_step_are_about_equally_long_and_none_is_lost() -> None:
    step, count = 4, 4 * (STRETCH + 3) + 2
    lengths = np.random.default_rng(0).integers(1, 1000, count)
    order = np.random.default_rng(1).permutation(count)
    grouped = group_lengths(order, lengths.tolist(), step, [0, 0])
    assert sorted(grouped) == list(range(count))
    assert grouped[-2:].tolist() == order[-2:].tolist()
    stretch = STRETCH * step
    assert set(grouped[:stretch]) == set(order[:stretch])  # nobody leaves the stretch, so tasks stay mixed

    def padding(row: np.ndarray) -> float:
        steps = lengths[row[: count // step * step]].reshape(-1, step)
        return float((steps.max(axis=1, keepdims=True) - steps).mean())

    assert padding(grouped) < 0.2 * padding(order)
    longest = lengths[grouped[:stretch]].reshape(-1, step).max(axis=1)
    assert (np.diff(longest) < 0).any()  # steps come in no order of length


def test_grouped_sampler_gives_the_same_examples() -> None:
    lengths = np.random.default_rng(2).integers(1, 99, len(TASKS)).tolist()
    plain, grouped = BalancedSampler(TASKS, 5), BalancedSampler(TASKS, 5, lengths=lengths, step=8)
    assert sorted(plain) == sorted(grouped)
    assert list(plain) != list(grouped) == list(BalancedSampler(TASKS, 5, lengths=lengths, step=8))
