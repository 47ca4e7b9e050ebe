"""The host's trainer with its broken loop mended, SAMA's losses logged apart and SAMA folders saved.

Why each override (host notes §3, §2.4): the host's `_inner_training_loop` uses names it never imports, its
`create_accelerator_and_postprocess` passes arguments accelerate dropped, `_save_checkpoint` passes metrics that
transformers dropped. `transformers.Trainer` has working versions of all three.
Import after `compat.before_trainer()` and `registration.register()`.
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from llava.train.llava_trainer import LLaVATrainer
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from sama_plugin.errors import DataError
from sama_plugin.grounding.losses import LossCounts
from sama_plugin.host.vision_tower import TOWER_FOLDER

logger = logging.getLogger(__name__)

SEG_DECODER_KEY = "mm_projector.seg_decoder"
PROJECTOR_KEY = "mm_projector"
TOWER_KEY = "vision_tower"
BAD_BATCH_FILE = "bad_batch_{rank}.json"
"""In the output folder: the batch at which a process stopped since its loss was no number."""


class SamaTrainer(LLaVATrainer):
    """One trainer for LLaVA-NeXT and its redistribution."""

    _inner_training_loop = Trainer._inner_training_loop
    create_accelerator_and_postprocess = Trainer.create_accelerator_and_postprocess
    _save_checkpoint = Trainer._save_checkpoint
    get_train_dataloader = Trainer.get_train_dataloader
    evaluate = Trainer.evaluate
    optimizer: torch.optim.Optimizer | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        tokenizer = kwargs.pop("tokenizer", None)
        super().__init__(*args, processing_class=tokenizer, **kwargs)
        self.processing_class = tokenizer  # the redistribution's __init__ resets it
        self.add_callback(EpochTeller)
        if getattr(self.model, "sam2_head", None) is not None:
            self.model.sam2_head.to(self.args.device)
        self._loss_sums: dict[str, float] = defaultdict(float)
        self._loss_counts: dict[str, int] = defaultdict(int)

    def _get_train_sampler(self, *args: Any) -> Any:
        """Balanced over tasks, and grouped by length, where asked for and the dataset knows them; else `Trainer`'s.

        Raises:
            DataError: lengths are to be grouped without balance.
        """
        dataset: Any = args[0] if args and args[0] is not None else self.train_dataset
        settings = self.args
        if not getattr(settings, "balance_tasks", False) or not hasattr(dataset, "balanced_sampler"):
            if settings.group_by_length:
                raise DataError("--group_by_length True groups the balanced order; add --balance_tasks True.")
            return Trainer._get_train_sampler(self, *args)
        step = settings.train_batch_size * settings.gradient_accumulation_steps * settings.world_size
        return dataset.balanced_sampler(
            settings.seed if settings.data_seed is None else settings.data_seed,
            group_step=step if settings.group_by_length else None,
        )

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train; `True` goes on from the last whole checkpoint, or from the start where there is none."""
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_whole_checkpoint(Path(self.args.output_dir))
        return super().train(resume_from_checkpoint or None, *args, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Weights to go on from; the tower's are in a folder of their own, which `Trainer` does not know."""
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint) / TOWER_FOLDER
        if folder.is_dir():
            tower = self.accelerator.unwrap_model(self.model).get_vision_tower().vision_tower
            tower.load_state_dict(type(tower).from_pretrained(folder).state_dict())

    def get_batch_samples(self, *args: Any) -> tuple[list[dict[str, Any]], LossCounts | None]:
        """The micro-batches of a step, and the mean over the processes of what all of them have to learn.

        Counted over the whole step, since micro-batches and processes have different numbers of tokens and masks: a
        mean of their means would depend on how the step is cut.
        """
        batches, _ = super().get_batch_samples(*args)
        if not batches:
            return batches, None
        own = [torch.stack(LossCounts.of_batch(b["labels"], b["grounding"])) for b in batches]
        counts = torch.stack(own).sum(0).to(self.args.device, torch.float32)
        return batches, LossCounts(*self.accelerator.reduce(counts, reduction="mean"))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: LossCounts | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """Total loss; its parts are summed up for the next log line.

        Args:
            model: a SAMA model, maybe wrapped.
            inputs: from `SamaCollator`.
            return_outputs: the model's output too.
            num_items_in_batch: from `get_batch_samples`; the name is `Trainer`'s.

        Raises:
            DataError: a loss that is no number; the batch's sample ids are in `BAD_BATCH_FILE` of the output folder.
        """
        counts = num_items_in_batch
        if counts is not None:
            # What `Trainer` divides the loss by; old versions keep it where the last step has fewer micro-batches.
            cut = getattr(self, "current_gradient_accumulation_steps", self.args.gradient_accumulation_steps)
            counts = LossCounts(*(count / cut for count in counts))
        outputs = model(**inputs, loss_counts=counts)
        if not bool(torch.isfinite(outputs.loss)):
            self._stop_at(inputs, outputs)
        for name, value in (outputs.losses or {}).items():
            self._loss_sums[name] += float(value.detach())
            self._loss_counts[name] += 1
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _stop_at(self, inputs: dict[str, Any], outputs: Any) -> None:
        """Save what a batch was whose loss is no number, and end the run."""
        path = Path(self.args.output_dir) / BAD_BATCH_FILE.format(rank=self.args.process_index)
        batch = {
            "step": self.state.global_step,
            "sample_ids": inputs.get("sample_ids"),
            "losses": {name: float(value.detach()) for name, value in (outputs.losses or {}).items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(batch, indent=1) + "\n")
        raise DataError(
            f"Loss of step {self.state.global_step + 1} is {float(outputs.loss)}, of samples "
            f"{', '.join(batch['sample_ids'] or ['without ids'])}; losses and ids are in {path}. Look at these, "
            "lower --learning_rate, or go on from an earlier checkpoint."
        )

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each loss part since the last line."""
        if "loss" in logs:
            totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
            for process in gather_object([(dict(self._loss_sums), dict(self._loss_counts))]):
                for name, value in process[0].items():
                    totals[name][0] += value
                    totals[name][1] += process[1][name]
            logs |= {f"loss_{name}": round(total / count, 4) for name, (total, count) in totals.items()}
            self._loss_sums.clear()
            self._loss_counts.clear()
        super().log(logs, *args, **kwargs)

    def create_optimizer(self) -> torch.optim.Optimizer:
        """AdamW with the host's separate rates for projector and tower, and ours for the seg decoder."""
        if self.optimizer is None:
            norms = {
                f"{name}.weight"
                for name, module in self.model.named_modules()
                if "Norm" in type(module).__name__
            }
            decay = set(self.get_decay_parameter_names(self.model)) - norms  # old transformers keep RMS norms
            rates = [
                (SEG_DECODER_KEY, getattr(self.args, "seg_decoder_lr", None)),
                (PROJECTOR_KEY, self.args.mm_projector_lr),
                (TOWER_KEY, self.args.mm_vision_tower_lr),
            ]
            groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    rate = next(
                        (r for key, r in rates if key in name and r is not None), self.args.learning_rate
                    )
                    groups[rate, self.args.weight_decay if name in decay else 0.0].append(parameter)
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            settings.pop("lr", None)
            self.optimizer = kind(
                [{"params": p, "lr": lr, "weight_decay": wd} for (lr, wd), p in groups.items()], **settings
            )
        return self.optimizer

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A checkpoint is a whole SAMA folder: model, SAM2, tower, tokenizer."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.args, folder / "training_args.bin")
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)
        # Last, and of it `config.json`: where that is, the folder is whole.
        self.accelerator.unwrap_model(self.model).save_pretrained(folder, state_dict=state_dict)


class EpochTeller(TrainerCallback):
    """Tells the dataset the epoch; `accelerate` does not where processes share a sampler that has epochs of its own."""

    def on_epoch_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Before the first batch of an epoch is made, also in the middle of one that goes on."""
        dataset = kwargs["train_dataloader"].dataset
        if hasattr(dataset, "set_epoch"):
            dataset.set_epoch(math.floor(state.epoch + 1e-6))


def last_whole_checkpoint(output_dir: Path) -> str | None:
    """The newest `checkpoint-N` that was written to its end: the trainer's state comes last."""
    states = output_dir.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}")
    whole = [state.parent for state in states if _is_json(state)]
    numbered = [folder for folder in whole if folder.name.rpartition("-")[2].isdigit()]
    newest = max(numbered, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)


def _is_json(path: Path) -> bool:
    """Whether a file was written to its end."""
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True
