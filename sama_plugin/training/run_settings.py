"""What decides the outcome of a run, kept beside it: a run that goes on has to be the run that was started."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sama_plugin.data.mixture import SourceConfig, mixture_files, resolve_paths
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError, HostError
from sama_plugin.schema import Sample

SETTINGS_FILE = "run_settings.json"
OF_TRAINING = (
    "seed",
    "data_seed",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "world_size",
    "max_steps",
    "num_train_epochs",
    "learning_rate",
    "mm_projector_lr",
    "mm_vision_tower_lr",
    "seg_decoder_lr",
    "lr_scheduler_type",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "max_grad_norm",
    "model_max_length",
    "mm_tunable_parts",
    "lora_enable",
    "lora_r",
    "lora_alpha",
    "lora_dropout",
    "mask_bce_weight",
    "mask_dice_weight",
    "mask_iou_weight",
    "presence_weight",
    "balance_tasks",
    "group_by_length",
    "optim",
    "adam_epsilon",
    "bf16",
    "fp16",
)
"""Training arguments that change what a run ends with; how often it saves or logs does not."""


def run_settings(
    data_path: Path, root: Path, sources: Sequence[tuple[SourceConfig, Sequence[Sample]]], training_args: Any
) -> dict[str, Any]:
    """Settings of a run as plain values, the mixture by its content, its sources by how much they hold.

    Args:
        data_path: the mixture file.
        root: folder its paths are relative to.
        sources: from `read_sources`.
        training_args: the host's, with SAMA's.
    """
    whole = [resolve_paths(source, root, os.environ) for source, _ in sources]
    files = [Path(name) for source in whole for name in (source.json_path, source.mask_path) if name]
    values = {name: getattr(training_args, name, None) for name in OF_TRAINING}
    plain = {name: value if _is_plain(value) else str(value) for name, value in values.items()}
    return plain | {
        "data": hashlib.sha256(b"".join(file.read_bytes() for file in mixture_files(data_path))).hexdigest(),
        "data_bytes": sum(file.stat().st_size for file in files),
        "examples": sum(len(samples) for _, samples in sources),
    }


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def check_settings(
    output_dir: Path,
    settings: dict[str, Any],
    *,
    goes_on: bool,
    force: bool | None = None,
    is_writer: bool = True,
) -> None:
    """Remember the settings of a run, or refuse to go on with other ones.

    Args:
        output_dir: of the run; made if missing.
        settings: plain values, such as from `run_settings`.
        goes_on: there is something to go on from.
        force: go on all the same, with the new settings; None where that is no choice.
        is_writer: remember them; one of several processes does.

    Raises:
        DataError: other settings than the run was started with; says which, and both values.
    """
    path = output_dir / SETTINGS_FILE
    if goes_on and path.is_file() and not force:
        before = json.loads(path.read_text())
        changed = [key for key in sorted(before.keys() & settings.keys()) if before[key] != settings[key]]
        if changed:
            shown = "; ".join(f"{key} was {before[key]}, is {settings[key]}" for key in changed)
            choice = "" if force is None else ", or --force True to go on with the new ones"
            raise DataError(
                f"{output_dir} holds a run with other settings: {shown}. Give the same ones to go on, another output "
                f"folder to start anew{choice}."
            )
    if not is_writer:
        return
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(path, [json.dumps(settings, indent=1), "\n"])


def check_processes(training_args: Any) -> None:
    """Refuse to spread one process over several GPUs, which cuts batches at places that regions and masks do not have.

    Raises:
        HostError: one process and more GPUs; says how to start one for each.
    """
    if training_args.n_gpu > 1:
        raise HostError(
            f"One process sees {training_args.n_gpu} GPUs; start one for each with torchrun (the scripts do: "
            f"NPROC={training_args.n_gpu}), or set CUDA_VISIBLE_DEVICES to one of them."
        )


def check_batch(training_args: Any) -> None:
    """Compare the samples of an optimiser step with what was asked for.

    Raises:
        DataError: `--global_batch_size` is not processes times batch times accumulation; says what would be.
    """
    wanted = getattr(training_args, "global_batch_size", None)
    if wanted is None:
        return
    processes, batch = training_args.world_size, training_args.per_device_train_batch_size
    steps = training_args.gradient_accumulation_steps
    if processes * batch * steps == wanted:
        return
    fits, rest = divmod(wanted, processes * batch)
    mend = (
        f"set --gradient_accumulation_steps {fits}"
        if fits and not rest
        else f"{wanted} is no multiple of {processes} x {batch}: change --per_device_train_batch_size or the processes"
    )
    raise DataError(
        f"--global_batch_size is {wanted}, but {processes} processes x --per_device_train_batch_size {batch} x "
        f"--gradient_accumulation_steps {steps} give {processes * batch * steps} samples per step; {mend}."
    )
