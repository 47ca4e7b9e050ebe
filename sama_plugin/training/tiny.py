"""The tiny preset from nothing, stage by stage: `python -m sama_plugin.training.tiny --out DIR [host training flags]`.

    shapes ─► sam2-small (prompts, names, propagation) ─► sam2 ─────┐
       ├────► tower (patches named) ─► start                        │
       └────► words (single frames) ─► context (aggregator) ─► joined ─┐
         ┌─────────────────────────────────────────────────────────────┘
         └────► talk (dialogues, [SEG]) ─► joint (and masks)

Each stage writes a whole checkpoint folder and is skipped when it is there; an interrupted one goes on where it was.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sama_plugin.errors import DataError, SamaError

if TYPE_CHECKING:
    from sama_plugin.training.talk import SeenDataset

logger = logging.getLogger(__name__)

TRAIN_SEED = 1
TRAINING_SPLITS = {"train": 1.0, "unnamed": 1.0, "still": 0.5}
"""Of the small world, with videos of each as a share of `--videos`; all but `train` are for `talk` and `joint`."""

DIALOGUES = 8
CORPUS_SENTENCES = 6000
TOWER_STEPS = 3000
SAM2_SMALL_SIZE = 128
SAM2_LARGE_STEPS, SAM2_LARGE_RATE = 2700, 1e-3
TALK_STEPS = 3200
JOINT_STEPS = 3000
JOINT_MASKS = (5.0, 2.0)
"""Weights of the mask losses, BCE and Dice."""

TUNABLE_PARTS = "mm_mlp_adapter,mm_language_model"
"""All but the tower, which its own stage taught to see."""

DATA_CONFIGS = Path(__file__).resolve().parents[2] / "data_configs"
CONTEXT_SPLIT, CONTEXT_DATA = "train", "tiny_context.yaml"
TALK_DATA = ("tiny_talk.yaml", "tiny_talk_frames.yaml")
JOINT_DATA = ("tiny_joint.yaml", "tiny_talk_frames.yaml")
FINAL_NAME = "llava-sama-qwen-tiny"


@dataclass(frozen=True)
class Stage:
    """One run of the trainer.

    Attributes:
        name: folder name suffix; the folder is `qwen-<name>`, since the host's script looks for "qwen" in names.
        start: name of the stage it starts from.
        data: file of `data_configs/`.
        steps: optimiser steps.
        batch: examples per step.
        rate: peak learning rate.
        masks: weights of the mask losses, BCE and Dice; (0, 0) leaves the mask head out.
    """

    name: str
    start: str
    data: str
    steps: int
    batch: int
    rate: float
    masks: tuple[float, float] = (2.0, 0.5)


WORDS = Stage("words", "start", "tiny_frames.yaml", steps=400, batch=24, rate=1e-3, masks=(0.0, 0.0))


def main(argv: list[str] | None = None, parser: argparse.ArgumentParser | None = None) -> None:
    """Run all stages.

    Args:
        argv: our options, then any flag of the host's training script, passed to every stage.
        parser: gets our options; a plain one if None.
    """
    parser = parser or argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/tiny"), metavar="DIR", help="folder of all stages"
    )
    add_options(parser)
    options, host_flags = parser.parse_known_args(argv)
    out: Path = options.out
    make_foundations(out, options, host_flags)
    data, joined, sam2 = out / "data", stage_folder(out, "joined"), out / "sam2"
    steps = max(1, round(TALK_STEPS * options.scale))
    talk_stage(joined, out, data, TALK_DATA, sam2, options, steps=steps)
    joint_stage(stage_folder(out, "talk"), out, data, sam2, options)
    final = out / FINAL_NAME
    write_final(stage_folder(out, "joint"), final)
    print_end(final)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `make_foundations` reads."""
    parser.add_argument(
        "--videos",
        type=int,
        metavar="N",
        default=5000,
        help="videos of split train; as many of unnamed, half as many of still",
    )
    parser.add_argument(
        "--sam2-steps", type=int, metavar="N", default=2400, help="steps of the stage sam2-small"
    )
    parser.add_argument(
        "--context-steps", type=int, metavar="N", default=4400, help="steps of the stage context"
    )
    parser.add_argument(
        "--scale", type=float, metavar="X", default=1.0, help="factor on the steps of every stage"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        default=2,
        help="processes that render or read; they change no result",
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of data, weights and order")


def make_foundations(out: Path, options: argparse.Namespace, host_flags: list[str]) -> None:
    """Data and all stages before `talk`; those that are done are left alone.

    Args:
        out: folder of all stages.
        options: see `add_options`.
        host_flags: passed to the host's training script.

    Raises:
        DataError: a setting out of its range, flags the host's script does not know, or a folder that was begun with
            other settings.
        HostError: torch is too old.
        SamaError: a stage failed.
    """
    if not 0 < options.scale < float("inf") or options.seed < 0:
        raise DataError(
            f"--scale is {options.scale} and --seed {options.seed}; expected a scale above 0 and a seed from 0."
        )
    from sama_plugin.training.run_settings import check_settings
    from sama_plugin.training.short_loop import check_muon
    from sama_plugin.training.train import check_flags

    check_muon()
    check_flags(host_flags, vars(options))
    names = ("videos", "sam2_steps", "context_steps", "scale", "seed")
    settings = {name: getattr(options, name) for name in names} | {"flags": " ".join(host_flags)}
    check_settings(out, settings, goes_on=True)
    from sama_plugin.data.shapes import make_shapes

    data, scale, seed = out / "data", options.scale, options.seed
    for split, share in TRAINING_SPLITS.items():
        count = math.ceil(share * options.videos)
        make_shapes(data / split, TRAIN_SEED, count, split, dialogues=DIALOGUES, workers=options.workers)
    sam2_stage(out, options.sam2_steps, scale, seed, options.workers)
    if not is_done(out / "tower"):
        tower_stage(out, scale, seed, options.workers)
    if not is_done(stage_folder(out, "start")):
        make_start(stage_folder(out, "start"), seed=seed, tower=out / "tower")
    run_stage(WORDS, out, data, options, host_flags)
    context_stage(stage_folder(out, "words"), out, data, CONTEXT_DATA, options)
    if not is_done(stage_folder(out, "joined")):
        join_sam2(stage_folder(out, "context"), out / "sam2", stage_folder(out, "joined"))


def write_final(trained: Path, final: Path) -> None:
    """Write the checkpoint to ship: LLM and projector in half precision, nothing that only resuming needs."""
    _register()
    from sama_plugin.host.loading import load_sama_model

    tokenizer, model, _, _ = load_sama_model(str(trained), device_map="cpu")
    tokenizer.save_pretrained(final)
    model.save_pretrained(final, state_dict={key: value.half() for key, value in model.state_dict().items()})


def print_end(final: Path) -> None:
    """Say on standard error where the checkpoint is: the clear end of a long job."""
    sys.stderr.write(
        f"Done: {final}\nMeasure it: sama eval shapes --data DATA --out RESULTS --model {final}\n"
    )


def sam2_stage(out: Path, small_steps: int, scale: float, seed: int, workers: int) -> None:
    """Pretrain SAM2, small frames first, as far as that is not done; see `sam2_pretrain`."""
    from sama_plugin.config import SAM2_PRESETS
    from sama_plugin.grounding.sam2_model import WEIGHTS_NAME
    from sama_plugin.training.sam2_pretrain import pretrain_sam2

    final, small = out / "sam2", out / "sam2-small"
    sizes = SAM2_PRESETS["tiny"]
    if (small / WEIGHTS_NAME).is_file() and (final / WEIGHTS_NAME).is_file():
        logger.info("Stage sam2 is done: %s", final)
        return
    if not (small / WEIGHTS_NAME).is_file():
        steps = max(1, round(small_steps * scale))
        small_sizes = replace(sizes, image_size=SAM2_SMALL_SIZE)
        pretrain_sam2(small, small_sizes, seed=seed, num_steps=steps, workers=workers)
    steps = max(1, round(SAM2_LARGE_STEPS * scale))
    pretrain_sam2(
        final,
        sizes,
        start=small,
        seed=seed + 1,
        num_steps=steps,
        learning_rate=SAM2_LARGE_RATE,
        workers=workers,
    )


def tower_stage(out: Path, scale: float, seed: int, workers: int) -> None:
    """Pretrain the vision tower; see `tower_pretrain`."""
    _register()
    from sama_plugin.host.presets import save_tiny_tower
    from sama_plugin.training.tower_pretrain import pretrain_tower

    save_tiny_tower(out / "tower-start", seed)
    steps = max(1, round(TOWER_STEPS * scale))
    pretrain_tower(out / "tower-start", out / "tower", seed=seed, num_steps=steps, workers=workers)


def make_start(folder: Path, *, seed: int, tower: Path | None = None) -> None:
    """Write the start of the LLM stages: tokenizer from the small world's sentences, fresh weights, a given tower."""
    _register()
    import torch

    from sama_plugin.config import SAM2_PRESETS
    from sama_plugin.data.shapes.dialogues import corpus
    from sama_plugin.grounding.sam2_model import build_sam2
    from sama_plugin.host.presets import TINY_LLM, save_tiny_start
    from sama_plugin.training.tiny_tokenizer import train_tiny_tokenizer

    tokenizer = train_tiny_tokenizer(
        corpus(seed, CORPUS_SENTENCES), max_length=int(TINY_LLM["max_position_embeddings"])
    )
    torch.manual_seed(seed)
    save_tiny_start(folder, tokenizer, build_sam2(SAM2_PRESETS["tiny"]), seed=seed, tower=tower)


def join_sam2(checkpoint: Path, sam2_folder: Path, out: Path) -> None:
    """Put a trained SAM2 into a checkpoint; the fine-tuned decoder starts as a copy of its decoder."""
    _register()
    from sama_plugin.grounding.sam2_head import Sam2Head
    from sama_plugin.grounding.sam2_model import load_sam2
    from sama_plugin.host.loading import load_sama_model

    tokenizer, model, _, _ = load_sama_model(str(checkpoint), device_map="cpu")
    sam2 = load_sam2(sam2_folder, model.sama.sam2)
    model.sam2_head = Sam2Head(sam2, model.sama.grounding)
    model.projector.seg_decoder.load_state_dict(sam2.sam_mask_decoder.state_dict())
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)  # config.json last: whole


def context_stage(start: Path, out: Path, data: Path, config: str, options: argparse.Namespace) -> None:
    """Pretrain the context aggregator, unless that is done; see `context_pretrain`.

    Args:
        start: checkpoint that knows the words.
        out: folder of the stages.
        data: folder of the splits.
        config: file of `data_configs/`.
        options: see `add_options`.
    """

    def train(tokenizer: Any, model: Any, folder: Path) -> None:
        from sama_plugin.training.context_pretrain import pretrain_context
        from sama_plugin.training.scene_facts import read_facts

        steps = max(1, round(options.context_steps * options.scale))
        settings = {"seed": options.seed, "num_steps": steps, "workers": options.workers}
        facts = read_facts(data / CONTEXT_SPLIT)
        pretrain_context(model, tokenizer, DATA_CONFIGS / config, data, facts, folder, **settings)

    run_loop("context", start, out, train)


def talk_stage(
    start: Path,
    out: Path,
    data: Path,
    configs: tuple[str, str],
    sam2: Path | None,
    options: argparse.Namespace,
    *,
    steps: int,
) -> None:
    """Teach dialogues and what `[SEG]` says to SAM2, unless that is done; see `talk`.

    Args:
        start: checkpoint with context and SAM2.
        out: folder of the stages.
        data: folder of the splits.
        configs: files of `data_configs/`, of clips and of single frames.
        sam2: folder of the SAM2 stage, which knows the prompts of names; None for a head without SAM2.
        options: see `add_options`.
        steps: optimiser steps.
    """

    def train(tokenizer: Any, model: Any, folder: Path) -> None:
        from sama_plugin.training.sam2_pretrain import load_names
        from sama_plugin.training.talk import train_talk

        datasets = _seen_datasets(model, tokenizer, data, configs, folder, options.seed)
        names = None if sam2 is None else load_names(sam2, model.sama.sam2.hidden_dim)
        settings = {"seed": options.seed, "num_steps": steps, "workers": options.workers}
        train_talk(model, tokenizer, names, datasets, folder, **settings)

    run_loop("talk", start, out, train)


def joint_stage(start: Path, out: Path, data: Path, sam2: Path, options: argparse.Namespace) -> None:
    """Teach all of it at once, unless that is done; see `joint`.

    Args:
        start: checkpoint that went through `talk`.
        out: folder of the stages.
        data: folder of the splits.
        sam2: folder of the SAM2 stage, which knows the prompts of names.
        options: see `add_options`.
    """

    def train(tokenizer: Any, model: Any, folder: Path) -> None:
        from sama_plugin.grounding.losses import LossWeights
        from sama_plugin.training.joint import MASK_FRAMES, train_joint
        from sama_plugin.training.sam2_pretrain import load_names
        from sama_plugin.training.talk import load_namers

        seen = _seen_datasets(
            model, tokenizer, data, JOINT_DATA, folder, options.seed, mask_frames=MASK_FRAMES
        )
        names = load_names(sam2, model.sama.sam2.hidden_dim)
        namers = load_namers(start, model)
        steps = max(1, round(JOINT_STEPS * options.scale))
        settings = {"seed": options.seed, "num_steps": steps, "workers": options.workers}
        weights = LossWeights(*JOINT_MASKS)
        train_joint(model, tokenizer, names, namers, seen, folder, mask_weights=weights, **settings)

    run_loop("joint", start, out, train)


def run_loop(name: str, start: Path, out: Path, train: Callable[[Any, Any, Path], None]) -> None:
    """Train one stage in a loop of its own, in this process, unless its checkpoint is there.

    Args:
        name: of the stage.
        start: checkpoint it starts from.
        out: folder of the stages.
        train: gets tokenizer, model and the stage's folder; changes the model in place.
    """
    folder = stage_folder(out, name)
    if is_done(folder):
        logger.info("Stage %s is done: %s", name, folder)
        return
    hand_back_memory()
    _register()
    from sama_plugin.host.loading import load_sama_model

    tokenizer, model, _, _ = load_sama_model(str(start), device_map="cpu")
    train(tokenizer, model, folder)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)  # config.json last: whole


def hand_back_memory() -> None:
    """Give the system what an earlier stage freed, as the features of clips, before the next one starts its readers.

    `scripts/launch.sh` has glibc keep it for the same process.
    """
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _seen_datasets(
    model: Any,
    tokenizer: Any,
    data: Path,
    configs: tuple[str, str],
    folder: Path,
    seed: int,
    *,
    mask_frames: int = 0,
) -> tuple[SeenDataset, SeenDataset]:
    """Mixtures of clips, with masks on `mask_frames` each, and of single frames; `folder` gets the report."""
    from sama_plugin.training.scene_facts import read_facts
    from sama_plugin.training.short_loop import STATE_FILE
    from sama_plugin.training.talk import seen_dataset
    from sama_plugin.training.train import BROKEN_FILE

    facts = {path: scene for split in TRAINING_SPLITS for path, scene in read_facts(data / split).items()}
    report = folder / BROKEN_FILE
    if not (folder / STATE_FILE).is_file():
        report.unlink(missing_ok=True)  # of a run that never got far enough to go on from
    clips, frames = (
        seen_dataset(
            model,
            tokenizer,
            DATA_CONFIGS / name,
            data,
            facts,
            seed=seed,
            report=report,
            mask_frames=count,
        )
        for name, count in zip(configs, (mask_frames, 0), strict=True)
    )
    return clips, frames


def run_stage(
    stage: Stage, out: Path, data: Path, options: argparse.Namespace, host_flags: Sequence[str]
) -> None:
    """Train one stage in its own process, unless its checkpoint is there.

    Args:
        stage: what to train.
        out: folder of the stages.
        data: folder of the splits.
        options: see `add_options`.
        host_flags: any flag of the host's training script.

    Raises:
        SamaError: the trainer failed.
    """
    folder = stage_folder(out, stage.name)
    if is_done(folder):
        logger.info("Stage %s is done: %s", stage.name, folder)
        return
    from sama_plugin.training.short_loop import training_device

    flags = {
        "model_name_or_path": stage_folder(out, stage.start),
        "data_path": DATA_CONFIGS / stage.data,
        "video_folder": data,
        "output_dir": folder,
        "max_steps": max(1, round(stage.steps * options.scale)),
        "per_device_train_batch_size": stage.batch,
        "learning_rate": stage.rate,
        "seed": options.seed,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.05,
        "max_grad_norm": 1.0,
        "weight_decay": 0.01,
        "adam_beta2": 0.98,
        "model_max_length": 2048,
        "mm_tunable_parts": TUNABLE_PARTS,
        "gradient_checkpointing": False,
        "balance_tasks": False,  # merged dialogues are of several tasks
        "logging_steps": 20,
        "save_steps": 250,
        "save_total_limit": 1,
        "report_to": "none",
        "use_cpu": training_device().type == "cpu",
        "dataloader_num_workers": options.workers,
        "mask_bce_weight": stage.masks[0],
        "mask_dice_weight": stage.masks[1],
    } | ({} if any(stage.masks) else {"mask_iou_weight": 0, "presence_weight": 0})
    command = [sys.executable, "-m", "sama_plugin.training.train"]
    command += [part for key, value in flags.items() for part in (f"--{key}", str(value))]
    # One process takes one GPU, as the other stages do.
    first_gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": first_gpu}
    if subprocess.run([*command, *host_flags], check=False, env=environment).returncode:
        raise SamaError(
            f"Stage {stage.name} failed; its output is above. Run the same command again to go on from {out}."
        )


def _register() -> None:
    import sama_plugin

    sama_plugin.register()


def stage_folder(out: Path, name: str) -> Path:
    """Where a stage's checkpoint is."""
    return out / f"qwen-{name}"


def is_done(folder: Path) -> bool:
    """Whether a stage's checkpoint is whole: its config is written last."""
    return (folder / "config.json").is_file()


if __name__ == "__main__":
    from sama_plugin.training.train import run_as_script

    run_as_script(main)
