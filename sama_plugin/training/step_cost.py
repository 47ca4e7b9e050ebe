"""What a training step costs beside the host's own: `sama bench train`.

Same clips, same text, same LLM, projector and tower; everything but the tower learns. The host's side is its own
`llava_qwen` with its video recipe: frames spread over the clip, all of them in the LLM. Each side runs in processes of
its own, in turns, so that one's peak of memory is not the other's and a busy minute of the machine meets both.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.errors import SamaError
from sama_plugin.evaluation.apart import measure_apart, peak_mb
from sama_plugin.media.decode import VideoClip
from sama_plugin.training.plan import HOST_FRAMES

SIDES = ("sama", "host")
IMAGE_TOKEN = -200
"""The host's own placeholder of a video."""

ROUNDS = 2
WARM_UP = 2
RATE = 1e-5
MIXTURE = "datasets: [{json_path: records.json, mask_path: mask_dict.json, video_root: .}]\n"


class StepCost(NamedTuple):
    """What one side's steps cost.

    Attributes:
        step_s: seconds of a step, forward, backward and optimizer; the median.
        wait_share: of the time of all steps spent waiting for the loader, one worker.
        peak_mb: of the GPU's memory, or of the process's where there is none.
        tokens: in the LLM, of the longest sequence.
    """

    step_s: float
    wait_share: float
    peak_mb: float
    tokens: int


class HostItem(NamedTuple):
    """A clip and its text for the host: (L,) long ids and labels, the placeholder first, and (F, 3, s, s) pixels."""

    input_ids: Tensor
    labels: Tensor
    pixels: Tensor


class HostDataset(Dataset[HostItem]):
    """The examples of a mixture as the host would have them.

    Args:
        examples: of SAMA.
        builder: its tensors for the same tower.
    """

    def __init__(self, examples: Any, builder: Any) -> None:
        self.examples, self.builder = examples, builder

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> HostItem:
        example = self.examples[index]
        is_text = example.input_ids >= 0
        clip = VideoClip.open(example.video_path)
        # Clips with fewer frames show some twice, as in the host.
        wanted, places = np.unique(
            np.linspace(0, clip.num_frames - 1, HOST_FRAMES).astype(int), return_inverse=True
        )
        frames = clip.read(wanted.tolist())[places]
        return HostItem(
            torch.cat([torch.tensor([IMAGE_TOKEN]), example.input_ids[is_text]]),
            torch.cat([torch.tensor([IGNORE_INDEX]), example.labels[is_text]]),
            self.builder.tower_pixels(frames),
        )


def measure_side(side: str, folder: Path, data: Path, *, batch: int, steps: int) -> StepCost:
    """Train in this process for some steps.

    Args:
        side: one of `SIDES`.
        folder: SAMA checkpoint; the host's side takes LLM, projector and tower out of it.
        data: folder of the small world.
        batch: clips per step.
        steps: measured, after `WARM_UP` more.
    """
    import sama_plugin

    sama_plugin.register()
    from sama_plugin.data.collator import SamaCollator
    from sama_plugin.data.model_inputs import InputBuilder
    from sama_plugin.host.loading import load_sama_model
    from sama_plugin.host.plain_model import plain_model
    from sama_plugin.training.train import mixed_dataset

    torch.manual_seed(0)
    tokenizer, model, processor, _ = load_sama_model(str(folder), torch_dtype=torch.float32)
    (data / "mixture.yaml").write_text(MIXTURE)
    examples = mixed_dataset(
        tokenizer,
        model,
        data / "mixture.yaml",
        data,
        seed=0,
        mask_targets=side == "sama",
        cache_gb=0,
    )
    pad = int(tokenizer.pad_token_id)
    trained: Any
    dataset: Any
    collate: Any
    if side == "host":
        builder = InputBuilder(model.sama, processor, model.get_vision_tower().num_patches_per_side)
        trained, dataset = plain_model(model), HostDataset(examples, builder)
        collate, step = _host_collator(pad), _host_step
    else:
        trained, dataset, collate, step = model, examples, SamaCollator(pad), _sama_step
    del model
    trained.train().requires_grad_(True)
    trained.get_vision_tower().requires_grad_(False)
    return _run(trained, DataLoader(dataset, batch, collate_fn=collate, num_workers=1), step, steps)


def _run(
    model: Any, loader: DataLoader[Any], step: Callable[[Any, Any], tuple[Tensor, int]], steps: int
) -> StepCost:
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=RATE)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    waits, works, tokens = [], [], 0
    for _ in range(WARM_UP + steps):
        begun = time.perf_counter()
        batch = next(batches)
        ready = time.perf_counter()
        loss, length = step(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        waits.append(ready - begun)
        works.append(time.perf_counter() - ready)
        tokens = max(tokens, length)
    waits, works = waits[WARM_UP:], works[WARM_UP:]
    return StepCost(statistics.median(works), sum(waits) / (sum(waits) + sum(works)), peak_mb(), tokens)


def _sama_step(model: Any, batch: dict[str, Any]) -> tuple[Tensor, int]:
    moved = {k: v.to(model.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
    return model(**moved).loss, batch["input_ids"].shape[1]


def _host_step(model: Any, batch: dict[str, Any]) -> tuple[Tensor, int]:
    moved = {k: v.to(model.device) if isinstance(v, Tensor) else v for k, v in batch.items()}
    moved["images"] = [pixels.to(model.device) for pixels in batch["images"]]
    output = model(**moved, modalities=["video"] * len(batch["images"]))
    return output.loss, output.logits.shape[1]


def _host_collator(pad: int) -> Callable[[list[HostItem]], dict[str, Any]]:
    def collate(items: list[HostItem]) -> dict[str, Any]:
        ids = pad_sequence([item.input_ids for item in items], batch_first=True, padding_value=pad)
        lengths = torch.tensor([len(item.input_ids) for item in items])
        return {
            "input_ids": ids,
            "labels": pad_sequence([i.labels for i in items], batch_first=True, padding_value=IGNORE_INDEX),
            "attention_mask": torch.arange(ids.shape[1])[None] < lengths[:, None],
            "images": [item.pixels for item in items],
        }

    return collate


def compare(folder: Path, *, batch: int, steps: int, rounds: int = ROUNDS) -> dict[str, StepCost]:
    """Both sides on a few clips of the small world.

    Args:
        folder: SAMA checkpoint.
        batch: clips per step.
        steps: measured per round.
        rounds: in turns; the best of each figure counts.

    Raises:
        SamaError: a side failed.
    """
    from sama_plugin.data.shapes import make_shapes

    costs: dict[str, list[StepCost]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as data:
        make_shapes(data, 0, 4 * batch, "train", progress=False)
        for _ in range(rounds):
            for side in SIDES:
                command = [__name__, side, "--model", str(folder)]
                command += ["--data", data, "--batch", str(batch), "--steps", str(steps)]
                made = measure_apart(command, f"The step of side '{side}'")
                if made is None:
                    raise SamaError(f"The step of side '{side}' was killed; try a smaller --batch.")
                costs[side].append(StepCost(**made))
    return {
        side: StepCost(*(min(values) for values in zip(*made, strict=True))) for side, made in costs.items()
    }


def format_costs(costs: dict[str, StepCost]) -> str:
    """A table of both sides and their ratio."""
    ours, host = (costs[side] for side in SIDES)
    rows = (
        ("seconds per step", "{:.2f}", ours.step_s, host.step_s),
        ("peak memory, MB", "{:.0f}", ours.peak_mb, host.peak_mb),
        ("tokens in the LLM", "{:.0f}", ours.tokens, host.tokens),
        ("share of waiting for the loader", "{:.3f}", ours.wait_share, host.wait_share),
    )
    lines = [f"{'':<34}{'sama':>10}{'host':>10}{'ratio':>8}"]
    for name, form, left, right in rows:
        ratio = f"{left / right:.2f}" if right else "-"
        lines.append(f"{name:<34}{form.format(left):>10}{form.format(right):>10}{ratio:>8}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one side in this process and print one JSON line; `compare` calls it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    options = parser.parse_args(argv)
    cost = measure_side(options.side, options.model, options.data, batch=options.batch, steps=options.steps)
    sys.stdout.write(json.dumps(cost._asdict()) + "\n")


if __name__ == "__main__":
    from sama_plugin.training.train import run_as_script

    run_as_script(main)
