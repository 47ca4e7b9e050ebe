"""Training through the host: its arguments and freezing; our model, data, trainer and losses put in their place.

On LLaVA-NeXT `run_training` rebinds module globals of `llava.train.train` and calls its `train()`. The redistribution's
script is bound to another corpus, so there the same steps run in `_train_without_script`, on the same trainer.
Import after `compat.before_trainer()` and `registration.register()`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llava.train.train as host_train
import torch
import transformers
from PIL import ImageFile

from sama_plugin.constants import MAX_BROKEN_SAMPLES
from sama_plugin.errors import DataError, HostError
from sama_plugin.grounding.losses import LossWeights
from sama_plugin.host.hub import resolve_folder
from sama_plugin.host.loading import classes_of
from sama_plugin.host.parts import load_tokenizer
from sama_plugin.host.trainer import SamaTrainer

logger = logging.getLogger(__name__)

# The host's script turns this on for the whole process; here a cut-off picture is an error.
ImageFile.LOAD_TRUNCATED_IMAGES = False

LLM_LINEAR_LAYERS = r".*\bmodel\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj"
"""Where LoRA goes: the LLM's own layers, by full name; the host's suffixes would also match tower and Q-Former."""

TUNABLE_PARTS = ("mm_mlp_adapter", "mm_vision_resampler", "mm_vision_tower", "mm_language_model")
DataModule = dict[str, Any]


@dataclass
class SamaModelArguments(host_train.ModelArguments):
    """The host's model arguments; defaults that fit a SAMA checkpoint."""

    vision_tower: str | None = field(
        default="vision_tower", metadata={"help": "Kept in the checkpoint folder."}
    )
    version: str | None = field(
        default="qwen_1_5", metadata={"help": "Host conversation template; ours is in the config."}
    )
    mm_use_im_patch_token: bool = field(default=False)
    mm_tunable_parts: str | None = field(
        default="mm_vision_tower,mm_mlp_adapter,mm_language_model",
        metadata={"help": f"Comma-separated, of {', '.join(TUNABLE_PARTS)}."},
    )


@dataclass
class SamaDataArguments(host_train.DataArguments):
    """The host's data arguments; `data_path` is a YAML of `data_configs/`."""

    frame_cache_gb: float = field(
        default=1.0, metadata={"help": "Decoded frames kept in memory, per process, GB."}
    )


@dataclass
class SamaTrainingArguments(host_train.TrainingArguments):
    """The host's training arguments, and SAMA's rates and loss weights."""

    attn_implementation: str = field(default="sdpa", metadata={"help": "sdpa, eager or flash_attention_2."})
    seg_decoder_lr: float | None = field(
        default=None, metadata={"help": "Rate of the fine-tuned mask decoder."}
    )
    mask_bce_weight: float = field(
        default=2.0, metadata={"help": "Weight of the point-sampled BCE; 0 skips masks."}
    )
    mask_dice_weight: float = field(default=0.5, metadata={"help": "Weight of the point-sampled Dice."})
    mask_iou_weight: float = field(default=0.5, metadata={"help": "Weight of the predicted-IoU error."})
    balance_tasks: bool = field(
        default=True, metadata={"help": "Give every task its share of an epoch; else every example one turn."}
    )
    presence_weight: float = field(default=0.5, metadata={"help": "Weight of the object-presence BCE."})
    global_batch_size: int | None = field(
        default=None,
        metadata={"help": "Samples per optimiser step over all processes; only checked against the rest."},
    )
    max_broken_samples: int = field(
        default=MAX_BROKEN_SAMPLES,
        metadata={"help": "Samples that cannot be read and are passed over; one more ends the run."},
    )
    force: bool = field(default=False, metadata={"help": "Go on with a run although its settings changed."})


class LoadedModel:
    """The model that `get_model` made, for the data module, which the host calls without it."""

    model: Any = None
    training_args: Any = None


def get_model(
    model_args: SamaModelArguments,
    training_args: SamaTrainingArguments,
    bnb_args: dict[str, Any] | None = None,
) -> Any:
    """Load the SAMA checkpoint to start from, decided by its `config.json`, not by its name.

    Raises:
        CheckpointError: the folder is incomplete, damaged or of another kind.
    """
    folder = resolve_folder(model_args.model_name_or_path)
    config_cls, model_cls = classes_of(folder)
    config = config_cls.from_pretrained(folder)
    config.use_cache = False
    model = model_cls.from_pretrained(
        folder,
        config=config,
        torch_dtype=torch.bfloat16
        if training_args.bf16 and training_args.device.type == "cuda"
        else torch.float32,
        attn_implementation=training_args.attn_implementation,
        **(bnb_args or {}),
    )
    model.loss_weights = LossWeights(
        mask_bce=training_args.mask_bce_weight,
        mask_dice=training_args.mask_dice_weight,
        mask_iou=training_args.mask_iou_weight,
        presence=training_args.presence_weight,
    )
    LoadedModel.model, LoadedModel.training_args = model, training_args
    return model


def save_final(trainer: SamaTrainer, output_dir: str) -> None:
    """Save a whole SAMA folder, also after adapter-only training (the host's version calls CUDA and drops parts)."""
    trainer.save_model(output_dir)


def check_flags(flags: Sequence[str], own: Iterable[str] = ()) -> None:
    """Read the flags as the host's script will.

    Args:
        flags: of the host's script.
        own: names of other options, which a flag that nobody knows may have meant.

    Raises:
        DataError: flags it does not know, words that belong to none, or no model, data or output.
    """
    parser = transformers.HfArgumentParser((SamaModelArguments, SamaDataArguments, SamaTrainingArguments))
    known, left = parser.parse_known_args(list(flags))
    if left:
        names = [*(name.replace("_", "-") for name in own), *vars(known)]
        near = difflib.get_close_matches(left[0], [f"--{name}" for name in names], n=3, cutoff=0.75)
        meant = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise DataError(
            f"The training script does not know {' '.join(left)}{meant}; see `sama train -- --help`."
        )
    given = {flag.removeprefix("--").partition("=")[0].replace("-", "_") for flag in flags}
    missing = [name for name in ("model_name_or_path", "data_path", "output_dir") if name not in given]
    if missing:
        raise DataError(f"Training needs --{', --'.join(missing)}.")
    if known.dataloader_persistent_workers:
        raise DataError(
            "--dataloader_persistent_workers True shows the frames of the first epoch in all of them; leave it out."
        )


def run_training(make_data_module: Callable[..., DataModule]) -> None:
    """Train with the command line's arguments.

    Args:
        make_data_module: (tokenizer, data_args, model, training_args) → datasets and collator.
    """
    host_train.ModelArguments = SamaModelArguments
    host_train.DataArguments = SamaDataArguments
    host_train.TrainingArguments = SamaTrainingArguments
    host_train.LLaVATrainer = SamaTrainer
    host_train.get_model = get_model
    host_train.find_all_linear_names = lambda model: LLM_LINEAR_LAYERS
    host_train.safe_save_model_for_hf_trainer = save_final
    host_train.make_supervised_data_module = lambda tokenizer, data_args: make_data_module(
        tokenizer, data_args, LoadedModel.model, LoadedModel.training_args
    )
    if host_train.__name__ == "llava.train.train":
        host_train.train()
    else:
        _train_without_script(make_data_module)


def _train_without_script(make_data_module: Callable[..., DataModule]) -> None:
    """The host script's steps, less its corpus.

    Raises:
        HostError: LoRA or quantised weights, which only the script of LLaVA-NeXT itself trains.
    """
    parser = transformers.HfArgumentParser((SamaModelArguments, SamaDataArguments, SamaTrainingArguments))
    model_args, data_args, training_args = parser.parse_args_into_dataclasses()
    if training_args.lora_enable or training_args.bits != 16:
        raise HostError(
            f"--lora_enable {training_args.lora_enable} and --bits {training_args.bits} need LLaVA-NeXT itself; this "
            "host is its redistribution. Install LLaVA-NeXT from its repository, or leave these flags out."
        )
    model = get_model(model_args, training_args)
    if training_args.gradient_checkpointing:
        model.enable_input_require_grads()
    tokenizer = load_tokenizer(resolve_folder(model_args.model_name_or_path))
    tokenizer.model_max_length = training_args.model_max_length
    tokenizer.padding_side = "right"
    model.get_model().initialize_vision_modules(model_args)
    set_tunable_parts(model, model_args.mm_tunable_parts)
    model.config.mm_tunable_parts = training_args.mm_tunable_parts = model_args.mm_tunable_parts
    model.initialize_vision_tokenizer(model_args, tokenizer)
    data = make_data_module(tokenizer, data_args, model, training_args)
    trainer = SamaTrainer(model=model, tokenizer=tokenizer, args=training_args, **data)
    resume = any(Path(training_args.output_dir).glob("checkpoint-*"))
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    model.config.use_cache = True
    save_final(trainer, training_args.output_dir)


def set_tunable_parts(model: Any, parts: str | None) -> None:
    """Freeze everything, then unfreeze by the host's part names.

    Args:
        model: a SAMA model.
        parts: comma-separated; see `TUNABLE_PARTS`.

    Raises:
        DataError: an unknown part.
    """
    wanted = set((parts or "").split(",")) - {""}
    unknown = wanted - set(TUNABLE_PARTS)
    if unknown or not wanted:
        raise DataError(f"--mm_tunable_parts is '{parts}', expected some of {', '.join(TUNABLE_PARTS)}.")
    for name, parameter in model.named_parameters():
        part = next(
            (
                p
                for key, p in (("mm_projector", TUNABLE_PARTS[0]), ("vision_tower", TUNABLE_PARTS[2]))
                if key in name
            ),
            TUNABLE_PARTS[3],
        )
        parameter.requires_grad_(part in wanted)
