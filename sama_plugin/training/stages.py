"""The two stages of full-size training as flags of the host's script: `sama train 7b pretrain ...`, `... finetune ...`.

pretrain: foundations on captions, region descriptions and referring segmentation; the LLM rests, everything of SAMA
under `mm_projector` learns. finetune: unified instruction tuning on SAMA-239K and the public mixture; the LLM learns
too. Both start from a SAMA folder, the first from what `sama convert` makes of a LLaVA checkpoint. Any flag of the
host's script, given after ours, replaces the one here.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from sama_plugin.errors import DataError, HostError

PRESETS = ("0.5b", "7b")
ADAPTER, LLM = "mm_mlp_adapter", "mm_language_model"

COMMON: dict[str, str] = {
    "num_train_epochs": "1",
    "per_device_train_batch_size": "2",
    "gradient_accumulation_steps": "4",
    "lr_scheduler_type": "cosine",
    "warmup_ratio": "0.05",
    "weight_decay": "0.05",
    "max_grad_norm": "1.0",
    "model_max_length": "8192",
    "bf16": "True",
    "gradient_checkpointing": "True",
    "gradient_checkpointing_kwargs": '{"use_reentrant": false}',
    "group_by_length": "True",
    "dataloader_num_workers": "4",
    "logging_steps": "10",
    "save_steps": "1000",
    "save_total_limit": "3",
    "report_to": "tensorboard",
    "seed": "0",
}
"""Official release where it says (spec §5): batch 2 x 4 x 8 GPUs, AdamW, 5 % warm-up, cosine, bf16, 8,192 tokens."""

STAGES: dict[str, dict[str, str]] = {
    "pretrain": {"mm_tunable_parts": ADAPTER, "learning_rate": "1e-4", "seg_decoder_lr": "4e-5"},
    "finetune": {
        "mm_tunable_parts": f"{ADAPTER},{LLM}",
        "learning_rate": "1e-5",
        "mm_projector_lr": "4e-5",
        "seg_decoder_lr": "4e-5",
    },
}
"""4e-5 is the official rate of everything it trains; 1e-4 for fresh parts and 1e-5 for the LLM are ours."""


def stage_flags(preset: str, stage: str, *, start: Path, data: Path, root: Path, out: Path) -> list[str]:
    """Flags of one stage.

    Args:
        preset: one of `PRESETS`; which model it is, `start` says.
        stage: a key of `STAGES`.
        start: SAMA folder.
        data: mixture file.
        root: folder its paths are relative to.
        out: folder of the checkpoints and the end.

    Raises:
        DataError: an unknown preset or stage.
    """
    for value, known, what in ((preset, PRESETS, "preset"), (stage, tuple(STAGES), "stage")):
        if value not in known:
            raise DataError(f"Unknown {what} '{value}'; known are {', '.join(known)}.")
    paths = {
        "model_name_or_path": str(start),
        "data_path": str(data),
        "video_folder": str(root),
        "output_dir": str(out),
        "run_name": f"sama-{preset}-{stage}",
    }
    flags = paths | COMMON | STAGES[stage]
    return [part for key, value in flags.items() for part in (f"--{key}", value)]


def check_devices(host_flags: Sequence[str]) -> None:
    """Compare what the flags and the launcher ask for with this machine, before the host fails in one of its processes.

    Args:
        host_flags: of the run.

    Raises:
        HostError: no GPU where none was renounced, or more processes than GPUs.
    """
    import torch

    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--use_cpu", nargs="?", const="true", default="false")
    if parser.parse_known_args(list(host_flags))[0].use_cpu.lower() in ("true", "yes", "1", "t", "y"):
        return
    if gpus == 0:
        raise HostError("This machine has no GPU; for a trial on its CPU add: --use_cpu True --bf16 False")
    if gpus < processes:
        raise HostError(
            f"{processes} processes were started on a machine with {gpus} GPUs; start {gpus} (NPROC={gpus}), or set "
            "CUDA_VISIBLE_DEVICES to as many as there are processes."
        )


def main(argv: Sequence[str] | None = None, parser: argparse.ArgumentParser | None = None) -> None:
    """Run one stage in this process; `torchrun` starts several.

    Args:
        argv: preset, stage, our options, then any flag of the host's script.
        parser: gets our options; a plain one if None.
    """
    parser = parser or argparse.ArgumentParser(
        prog="sama train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("preset", choices=PRESETS, help="which model, as the start was made for")
    parser.add_argument(
        "stage", choices=list(STAGES), help="pretrain: the LLM rests; finetune: it learns too"
    )
    parser.add_argument(
        "--start", type=Path, metavar="DIR", required=True, help="SAMA folder, e.g. from `sama convert`"
    )
    parser.add_argument(
        "--data", type=Path, metavar="YAML", required=True, help="mixture file, see data_configs/"
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", default=Path(), help="folder its paths are relative to"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of checkpoints and end"
    )
    options, host_flags = parser.parse_known_args(argv)
    check_devices(host_flags)
    from sama_plugin.training import train

    own = stage_flags(
        options.preset,
        options.stage,
        start=options.start,
        data=options.data,
        root=options.root,
        out=options.out,
    )
    train.main([*own, *host_flags])


if __name__ == "__main__":
    from sama_plugin.training.train import run_as_script

    run_as_script(main)
