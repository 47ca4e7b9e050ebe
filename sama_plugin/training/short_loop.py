"""What the tiny preset's own training loops share: steps, a state that survives a kill, batches in order."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, get_worker_info
from tqdm import tqdm

from sama_plugin.errors import DataError, HostError

logger = logging.getLogger(__name__)

STATE_FILE = "state.pt"
WARMUP_SHARE = 0.05
WEIGHT_DECAY = 0.01
MAX_GRAD_NORM = 1.0

ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
BatchT = TypeVar("BatchT")


def cosine_rate(step: int, num_steps: int, final: float = 0.0) -> float:
    """Factor on the peak rate: linear warm-up over 5 % of the steps, then a cosine down to `final`."""
    warmup = max(1, int(num_steps * WARMUP_SHARE))
    if step < warmup:
        return (step + 1) / warmup
    fallen = 0.5 * (1 - math.cos(math.pi * (step - warmup) / max(1, num_steps - warmup)))
    return 1 - (1 - final) * fallen


def training_device() -> torch.device:
    """The first GPU that CUDA shows, or the CPU where it shows none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def check_muon() -> None:
    """Find out before a long run whether torch has the optimiser that its stages need.

    Raises:
        HostError: it is too old.
    """
    if not hasattr(torch.optim, "Muon"):
        raise HostError(
            f"torch {torch.__version__} has no optimiser Muon, which the tiny preset trains by; expected 2.9 or newer. "
            "Install it: pip install 'torch>=2.9' 'torchvision>=0.24'"
        )


def linear_weights(modules: Sequence[nn.Module]) -> set[int]:
    """Ids of the weights of linear layers; one that is an embedding too, such as a tied LM head's, is none of them."""
    parts = [part for module in modules for part in module.modules()]
    linear, embedding = (
        {id(p.weight) for p in parts if isinstance(p, kind)} for kind in (nn.Linear, nn.Embedding)
    )
    return linear - embedding


class ShortLoop:
    """Optimisers, cosine schedule, progress bar and saved state of one stage.

    The modules are moved to `training_device()`. Random numbers of a step follow from torch's seed and its number.

    Args:
        out: folder of the state; made if missing. A state that lies there is gone on from.
        modules: what is trained, where it wants gradients, and saved.
        name: of the stage, for the bar.
        num_steps: optimiser steps in all.
        learning_rate: peak rate.
        save_every: steps between two states.
        betas: AdamW's.
        final_rate: share of the peak rate that is left at the end.
        use_muon: train weights of linear layers by Muon, its updates as long as AdamW's (Jordan et al. 2024; Liu et al.
            2025, arXiv:2502.16982), and all else by AdamW.

    Attributes:
        start: steps done before.
        device: where the modules are.

    Raises:
        HostError: Muon is asked for, and torch is too old for it.
        DataError: the state in `out` is of a stage with other parts.
    """

    def __init__(
        self,
        out: Path,
        modules: Sequence[nn.Module],
        *,
        name: str,
        num_steps: int,
        learning_rate: float,
        save_every: int,
        betas: tuple[float, float] = (0.9, 0.999),
        final_rate: float = 0.0,
        use_muon: bool = False,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self.out, self.save_every, self.device = out, save_every, training_device()
        for module in modules:
            module.to(self.device)
        self._trained = [p for module in modules for p in module.parameters() if p.requires_grad]
        if use_muon:
            check_muon()
        turned = linear_weights(modules) if use_muon else set()
        matrices = [p for p in self._trained if id(p) in turned]
        others = [p for p in self._trained if id(p) not in turned]
        decayed: dict[str, Any] = {"lr": learning_rate, "weight_decay": WEIGHT_DECAY}
        self._optimizers: list[torch.optim.Optimizer] = []
        if matrices:
            self._optimizers.append(torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **decayed))
        if others:
            self._optimizers.append(torch.optim.AdamW(others, betas=betas, **decayed))
        self._schedules = [
            torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: cosine_rate(step, num_steps, final_rate)
            )
            for optimizer in self._optimizers
        ]
        self._parts: tuple[Any, ...] = (*modules, *self._optimizers, *self._schedules)
        self._seed = torch.initial_seed()
        self.start = self._resume()
        self._bar = tqdm(total=num_steps, initial=self.start, desc=f"{name} stage", unit="step")

    def steps(self) -> Iterator[int]:
        """Numbers of the steps still to do; closes the bar after the last."""
        for step in range(self.start, self._bar.total):
            torch.manual_seed(self._seed + step)  # dropout does not depend on where a run was interrupted
            yield step
        self._bar.close()

    def update(self, loss: Tensor) -> None:
        """One optimiser step down a loss, () float; saves the state when it is time."""
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._trained, MAX_GRAD_NORM)
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            optimizer.step()
            schedule.step()
        self._bar.update()
        if self._bar.n % self.save_every == 0:
            self._save()

    def show(self, **values: Tensor | float) -> None:
        """Numbers beside the bar."""
        self._bar.set_postfix({name: round(float(value), 3) for name, value in values.items()})

    def _save(self) -> None:
        """Write the state, whole or not at all."""
        temporary = self.out / f".{STATE_FILE}.tmp"
        state = {"step": self._bar.n, "parts": [part.state_dict() for part in self._parts]}
        torch.save(state, temporary)
        os.replace(temporary, self.out / STATE_FILE)

    def _resume(self) -> int:
        file = self.out / STATE_FILE
        if not file.is_file():
            return 0
        state = torch.load(file, map_location="cpu", weights_only=True)
        try:
            for part, values in zip(self._parts, state["parts"], strict=True):
                part.load_state_dict(values)
        except (ValueError, RuntimeError, KeyError) as error:
            problem = " ".join(str(error).split())
            raise DataError(
                f"{file}: the state of a stage with other parts than this version trains ({problem}). Go on with "
                "the version that wrote it, or remove the file to begin the stage anew."
            ) from error
        logger.info("Resuming %s at step %d", self.out, state["step"])
        return int(state["step"])


def worker_batches(start: int) -> Iterator[int]:
    """Numbers of the batches that this process of a `DataLoader` makes, which takes them from its workers in turn."""
    worker = get_worker_info()
    first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
    return itertools.count(start + first, every)


class EpochDataset(Protocol[ItemT_co]):
    """A dataset whose items depend on the epoch."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ItemT_co: ...

    def set_epoch(self, epoch: int) -> None:
        """Draw other frames from now on."""


def endless_batches(
    dataset: EpochDataset[ItemT],
    batch_size: int,
    collate: Callable[[list[ItemT]], BatchT],
    *,
    seed: int,
    start: int = 0,
    workers: int = 1,
) -> Iterator[BatchT]:
    """Batches epoch after epoch, shuffled by (seed, epoch); the same from batch `start` on as in an unbroken run.

    Args:
        dataset: one item or more.
        batch_size: items per batch; all, if there are fewer. What is left of an epoch is dropped.
        collate: list of items → batch.
        seed: of the order.
        start: batches done before.
        workers: processes that make them.
    """
    batch_size = min(batch_size, len(dataset))
    per_epoch = len(dataset) // batch_size
    first, skipped = divmod(start, per_epoch)
    for epoch in itertools.count(first):
        dataset.set_epoch(epoch)
        order = np.random.default_rng([seed, epoch]).permutation(len(dataset))
        batches = order[: per_epoch * batch_size].reshape(per_epoch, batch_size).tolist()
        left: Any = batches[skipped if epoch == first else 0 :]
        yield from DataLoader(dataset, batch_sampler=left, collate_fn=collate, num_workers=workers)  # type: ignore[arg-type]
