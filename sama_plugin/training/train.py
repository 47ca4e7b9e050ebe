"""Entry point: `python -m sama_plugin.training.train <host training flags>`; data and model meet here."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch.utils.data import ConcatDataset

from sama_plugin.constants import MAX_BROKEN_SAMPLES
from sama_plugin.data.balance import BalancedSampler
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.dataset import Example, SamaDataset
from sama_plugin.data.mixture import read_sources, read_task_weights
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.data.selection import Chain, tasks_of
from sama_plugin.errors import DataError, HostError, SamaError, own_words
from sama_plugin.prompting.conversation import template_by_name
from sama_plugin.prompting.tokenization import DialogueTokenizer
from sama_plugin.training.run_settings import check_batch, check_processes, check_settings, run_settings

logger = logging.getLogger(__name__)

BROKEN_FILE = "broken_samples.jsonl"
"""In the output folder: samples that were passed over."""


class MixedDataset(ConcatDataset[Example]):
    """The sources of a mixture as one dataset, which the trainer tells the epoch.

    A sample that cannot be read is reported and the next one taken in its place, the same in every process.

    Args:
        datasets: of the sources.
        tasks: of every example, for balancing.
        task_weights: see `data.balance`.
        report: file of the broken samples, a JSON line each; without one the first broken sample is an error.
        max_broken: so many different ones are passed over.
    """

    def __init__(
        self,
        datasets: list[SamaDataset],
        tasks: list[str],
        task_weights: dict[str, float] | None = None,
        *,
        report: Path | None = None,
        max_broken: int = 0,
    ) -> None:
        super().__init__(datasets)
        self.tasks, self.task_weights = tasks, task_weights or {}
        self.report, self.max_broken = report, max_broken

    def __getitem__(self, index: int) -> Example:
        for place in range(index, index + len(self)):
            try:
                return super().__getitem__(place % len(self))
            except (SamaError, OSError) as error:
                if self.report is None:
                    raise
                self._pass_over(place % len(self), self.report, error)
        raise DataError(f"No sample of the mixture can be read; {self.report} says why.")

    def without_masks(self) -> MixedDataset:
        """The same examples without targets for masks."""
        bare, sources = copy.copy(self), [copy.copy(source) for source in self._sources]
        for source in sources:
            source.mask_targets = False
        bare.datasets = list(sources)
        return bare

    def _pass_over(self, index: int, report: Path, error: Exception) -> None:
        """Report a broken sample, unless it was before.

        Raises:
            DataError: there are too many by now.
        """
        known = (
            {json.loads(line)["sample"] for line in report.read_text().splitlines()}
            if report.exists()
            else set()
        )
        name = self._name_of(index)
        if name not in known:
            logger.warning("Passed over sample %s of the mixture: %s", name, error)
            report.parent.mkdir(parents=True, exist_ok=True)
            with report.open("a") as file:  # one short write each: whole lines, also from several processes
                file.write(json.dumps({"sample": name, "error": str(error)}) + "\n")
        broken = len(known | {name})
        if broken > self.max_broken:
            raise DataError(
                f"{broken} samples of the mixture cannot be read, --max_broken_samples is {self.max_broken}; {report} "
                f"names them: mend them and remove that file, or allow the trainer more. The last one: {error}"
            )

    def _name_of(self, index: int) -> str:
        """Id of a sample, or its place in the mixture if not even its record can be read."""
        try:
            return self.samples[index].sample_id
        except SamaError:
            return f"example {index}"

    @property
    def samples(self) -> Chain:
        """Of every example, read on access."""
        return Chain([dataset.samples for dataset in self._sources])

    @property
    def _sources(self) -> list[SamaDataset]:
        return [dataset for dataset in self.datasets if isinstance(dataset, SamaDataset)]

    def balanced_sampler(self, seed: int, *, group_step: int | None = None) -> BalancedSampler:
        """Order in which every task gets its share; see `data.balance`.

        Args:
            seed: of the order.
            group_step: examples of an optimiser step, which are to be about equally long; None groups nothing.
        """
        lengths = None if group_step is None else self.lengths()
        return BalancedSampler(self.tasks, seed, self.task_weights, lengths=lengths, step=group_step or 1)

    def lengths(self) -> list[int]:
        """About how many tokens each example has, see `SamaDataset.lengths`."""
        return [length for dataset in self._sources for length in dataset.lengths()]

    def set_epoch(self, epoch: int) -> None:
        """Pass the epoch on, so that every source draws other frames."""
        for dataset in self._sources:
            dataset.set_epoch(epoch)


def make_data_module(
    tokenizer: Any, data_args: Any, model: Any, training_args: Any, *, mask_targets: bool | None = None
) -> dict[str, Any]:
    """Datasets and collator of a run, from the YAML in `--data_path`, relative to `--video_folder`.

    Args:
        tokenizer: with SAMA's tokens.
        data_args: the host's data arguments.
        model: the SAMA model.
        training_args: the host's training arguments.
        mask_targets: make targets for masks; None where the model has a mask loss.

    Raises:
        DataError: faults of the mixture, see `read_sources`, or of the settings, see `run_settings`.
    """
    if mask_targets is None:
        mask_targets = not model.loss_weights.is_off
    sama = model.sama
    tower = model.get_vision_tower()
    builder = InputBuilder(sama, tower.image_processor, tower.num_patches_per_side)
    dialogue_tokenizer = DialogueTokenizer(tokenizer, template_by_name(sama.template))
    root = Path(data_args.video_folder or ".")
    path = Path(data_args.data_path)
    sources = read_sources(path, root)
    datasets = [
        SamaDataset(
            samples,
            dialogue_tokenizer,
            builder,
            tokens_per_frame=model.slot_layout(1, 1).tokens_per_frame,
            max_length=training_args.model_max_length,
            seed=training_args.seed,
            single_frame=source.frames == "single",
            cache_bytes=int(data_args.frame_cache_gb * 1e9 / len(sources)),
            mask_targets=mask_targets,
        )
        for source, samples in sources
    ]
    for (source, _), dataset in zip(sources, datasets, strict=True):
        logger.info("%s: %d dialogues, %s frames", source.json_path, len(dataset), source.frames)
    tasks = [source.task or task for source, samples in sources for task in tasks_of(samples)]
    mixed = MixedDataset(datasets, tasks, read_task_weights(path))
    if training_args.output_dir is not None:
        output_dir = Path(training_args.output_dir)
        goes_on, is_first = any(output_dir.glob("checkpoint-*")), training_args.process_index == 0
        check_processes(training_args)
        check_batch(training_args)
        check_settings(
            output_dir,
            run_settings(path, root, sources, training_args),
            goes_on=goes_on,
            force=training_args.force,
            is_writer=is_first,
        )
        mixed.report, mixed.max_broken = output_dir / BROKEN_FILE, training_args.max_broken_samples
        if is_first and not goes_on:
            mixed.report.unlink(missing_ok=True)
    return {
        "train_dataset": mixed,
        "eval_dataset": None,
        "data_collator": SamaCollator(tokenizer.pad_token_id),
    }


def mixed_dataset(
    tokenizer: Any,
    model: Any,
    path: Path,
    root: Path,
    *,
    seed: int,
    mask_targets: bool,
    cache_gb: float,
    report: Path | None = None,
) -> MixedDataset:
    """The mixture of a file outside a run of the trainer.

    Args:
        tokenizer: with SAMA's tokens.
        model: the SAMA model.
        path: YAML file.
        root: folder its paths are relative to.
        seed: of frame choices.
        mask_targets: make targets for masks.
        cache_gb: of decoded frames.
        report: file of the broken samples, see `MixedDataset`.

    Raises:
        DataError: faults of the mixture, see `read_sources`.
    """
    data_args = SimpleNamespace(data_path=path, video_folder=root, frame_cache_gb=cache_gb)
    training_args = SimpleNamespace(model_max_length=model.context_length, seed=seed, output_dir=None)
    module = make_data_module(tokenizer, data_args, model, training_args, mask_targets=mask_targets)
    mixed: MixedDataset = module["train_dataset"]
    mixed.report, mixed.max_broken = report, MAX_BROKEN_SAMPLES
    return mixed


def main(argv: list[str] | None = None) -> None:
    """Register with the host, then train.

    Args:
        argv: flags of the host's training script and SAMA's; the process's own if None.

    Raises:
        DataError: flags that the host's script does not know, or a mixture or settings with a fault.
        HostError: the host's training side cannot be imported here.
    """
    if argv is not None:
        sys.argv[1:] = argv  # the host's script parses the process's arguments itself
    seam = _host_training()
    seam.check_flags(sys.argv[1:])
    seam.run_training(make_data_module)
    if torch.distributed.is_initialized():
        # Else its threads may meet an interpreter that is being torn down, which aborts a run that had ended well.
        torch.distributed.destroy_process_group()


def check_flags(flags: Sequence[str], own: Iterable[str] = ()) -> None:
    """Refuse flags that no run of the trainer would take, before hours of work lead up to one.

    Args:
        flags: of the host's training script.
        own: names of our options beside them, which a flag that nobody knows may have meant.

    Raises:
        DataError: an unknown flag or a word that belongs to none.
        HostError: the host's training side cannot be imported here.
    """
    if flags:
        usual = ["--model_name_or_path", "M", "--data_path", "D", "--output_dir", "O"]
        _host_training().check_flags([*usual, *flags], own)


def _host_training() -> ModuleType:
    """`host.train_seam`, imported as late as training begins.

    Raises:
        HostError: the host's training side cannot be imported here.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sama_plugin.host import compat, registration

    compat.before_trainer()
    registration.register()
    try:
        with compat.quiet_host_import():
            from sama_plugin.host import train_seam
    except ImportError as error:
        raise HostError(
            f"The host's training cannot be imported: {error}; run: pip install -e .[host,train]"
        ) from error
    return train_seam


def run_as_script(entry: Callable[[], None]) -> None:
    """Run an entry point; an error of ours ends the process with one line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        entry()
    except SamaError as error:
        sys.stderr.write(f"sama: {own_words(error)}\n")
        sys.exit(2)


if __name__ == "__main__":
    run_as_script(main)
