"""The order of a mixture: every task gets its share of each epoch, every example its turn, like lengths one step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import Sampler

from sama_plugin.errors import DataError

STRETCH = 16
"""Steps among which examples are sorted by length: enough to find neighbours, few enough to keep tasks mixed."""


def task_quotas(tasks: Iterable[str], total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """How many of `total` examples each task gets: in proportion to its weight, the rest by largest remainder.

    Args:
        tasks: their names, each once or more.
        total: to share out.
        weights: of tasks; 1 where none is given.

    Raises:
        DataError: a weight for a task that is not there, a negative one, or none above 0.
    """
    known = sorted(set(tasks))
    for task, weight in weights.items():
        if task not in known:
            raise DataError(f"Weight for task '{task}', but the mixture has {', '.join(known)}.")
        if weight < 0:
            raise DataError(f"Weight of task '{task}' is {weight}, expected 0 or more.")
    shares = {task: float(weights.get(task, 1.0)) for task in known}
    whole = sum(shares.values())
    if whole <= 0:
        raise DataError(f"All tasks ({', '.join(shares)}) have weight 0; leave one above 0.")
    exact = {task: total * share / whole for task, share in shares.items()}
    quotas = {task: int(value) for task, value in exact.items()}
    by_remainder = sorted(exact, key=lambda task: quotas[task] - exact[task])
    for task in by_remainder[: total - sum(quotas.values())]:
        quotas[task] += 1
    return quotas


def balanced_order(
    tasks: Sequence[str], seed: int, epoch: int, weights: Mapping[str, float] | None = None
) -> np.ndarray:
    """Indices of one epoch: as many as there are examples, tasks evenly mixed.

    A task with few examples is gone through several times an epoch, one with many goes on in the next epoch where it
    stopped; within a task no example comes again before all others did.

    Args:
        tasks: task of each example.
        seed: of the order.
        epoch: from 0.
        weights: of tasks; see `task_quotas`.

    Returns:
        (len(tasks),) int64.
    """
    members: dict[str, list[int]] = {}
    for index, task in enumerate(tasks):
        members.setdefault(task, []).append(index)
    quotas = task_quotas(members, len(tasks), weights or {})
    drawn, places = [], []
    for number, (task, quota) in enumerate(quotas.items()):
        own = np.asarray(members[task])
        drawn.append(_cycle(own, epoch * quota, quota, [seed, number]))
        jitter = np.random.default_rng([seed, number, epoch]).random(quota)
        places.append((np.arange(quota) + jitter) / max(quota, 1))  # one in each of `quota` equal stretches
    return np.concatenate(drawn)[np.argsort(np.concatenate(places), kind="stable")]


def _cycle(members: np.ndarray, start: int, count: int, seed: list[int]) -> np.ndarray:
    """Positions `start` to `start + count` of an endless row of permutations of some members."""
    rounds = range(start // len(members), (start + count) // len(members) + 1)
    row = np.concatenate([np.random.default_rng([*seed, r]).permutation(members) for r in rounds])
    first = start - rounds[0] * len(members)
    return row[first : first + count]


def group_lengths(order: np.ndarray, lengths: Sequence[int], step: int, seed: Sequence[int]) -> np.ndarray:
    """The same indices, put together so that those of a step are about equally long and little of it is padding.

    Args:
        order: (n,) int64.
        lengths: of every example, in any unit.
        step: examples of an optimiser step, all processes and micro-batches.
        seed: of the order of the steps.

    Returns:
        (n,) int64; what is left after the last whole step stays at the end.
    """
    rng = np.random.default_rng(seed)
    all_lengths = np.asarray(lengths)
    whole = len(order) // step * step
    parts = []
    for start in range(0, whole, STRETCH * step):
        stretch = order[start : min(start + STRETCH * step, whole)]
        by_length = stretch[np.argsort(all_lengths[stretch], kind="stable")].reshape(-1, step)
        parts.append(by_length[rng.permutation(len(by_length))].ravel())
    return np.concatenate([*parts, order[whole:]])


class BalancedSampler(Sampler[int]):
    """`balanced_order` as a sampler; the same on every process and for any number of loader workers.

    Args:
        tasks: task of each example.
        seed: of the order.
        weights: of tasks; see `task_quotas`.
        lengths: of every example, to group them; see `group_lengths`.
        step: examples of an optimiser step.

    Raises:
        DataError: see `task_quotas`.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        seed: int,
        weights: Mapping[str, float] | None = None,
        *,
        lengths: Sequence[int] | None = None,
        step: int = 1,
    ) -> None:
        self.tasks, self.seed, self.weights = tasks, seed, dict(weights or {})
        self.lengths, self.step = lengths, step
        self.epoch = 0
        task_quotas(tasks, len(tasks), self.weights)  # a wrong weight is told now

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[int]:
        order = balanced_order(self.tasks, self.seed, self.epoch, self.weights)
        if self.lengths is not None:
            order = group_lengths(order, self.lengths, self.step, [self.seed, self.epoch])
        yield from order.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Order of another epoch from now on; the trainer calls it."""
        self.epoch = epoch
