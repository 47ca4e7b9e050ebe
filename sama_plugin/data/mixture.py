"""`data_configs/*.yaml` → samples: the host's list of datasets, extended by masks, frames, kinds, tasks and weights.

datasets:
  - json_path: shapes/train/records.json   # relative to --video_folder
    mask_path: shapes/train/mask_dict.json
    video_root: shapes/train
    frames: clip                           # or `single`: one frame per example
    kinds: [name, attribute]               # only these kinds of question; default all
    tasks: [referring, none]               # only questions of these tasks; default all
    merge: 1                               # neighbouring dialogues about one video in one example
    repeat: 1
    task: general                          # default: the task of a dialogue's first turn
weights: {grounding: 2}                    # share of a task in an epoch relative to the others; default 1
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sama_plugin.config import config_from_dict
from sama_plugin.data.sources.sama239k import read_records
from sama_plugin.errors import DataError
from sama_plugin.schema import Sample

SHOWN_MISSING = 3


@dataclass(frozen=True)
class SourceConfig:
    """One entry of a mixture.

    Attributes:
        json_path, mask_path, video_root: relative to the data root.
        frames: `clip`, or `single` for one frame per example.
        kinds: kinds of question kept, the rest of a dialogue is left out; empty keeps dialogues whole.
        tasks: likewise, by the task a question exercises.
        merge: so many neighbouring dialogues about one video become one example, which encodes the video once.
        repeat: how often the source is listed in an epoch.
        task: counts for balancing in place of the dialogues' own tasks, e.g. `general`; empty keeps those.
    """

    json_path: str
    mask_path: str
    video_root: str
    frames: str = "clip"
    kinds: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    merge: int = 1
    repeat: int = 1
    task: str = ""

    def __post_init__(self) -> None:
        if self.frames not in ("clip", "single"):
            raise DataError(f"{self.json_path}: frames is '{self.frames}', expected 'clip' or 'single'.")
        for name, values in (("kinds", self.kinds), ("tasks", self.tasks)):
            if not isinstance(values, tuple):
                raise DataError(
                    f"{self.json_path}: {name} is {values!r}, expected a list of {name} of question."
                )
        for name, value in (("merge", self.merge), ("repeat", self.repeat)):
            if not isinstance(value, int) or value < 1:
                raise DataError(f"{self.json_path}: {name} is {value!r}, expected a whole number from 1.")


def read_mixture(path: Path) -> list[SourceConfig]:
    """Parse a mixture file.

    Raises:
        DataError: missing, malformed, or with unknown keys.
    """
    try:
        content: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a file of data_configs/.") from error
    except yaml.YAMLError as error:
        raise DataError(f"{path} is not valid YAML: {error}") from error
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("datasets"), list)
        or not content["datasets"]
    ):
        raise DataError(f"{path} has no 'datasets' list; see data_configs/ for examples.")
    if unknown := set(content) - {"datasets", "weights"}:
        raise DataError(
            f"{path} has {', '.join(map(repr, sorted(unknown)))}, expected 'datasets' and 'weights'."
        )
    return [
        config_from_dict(SourceConfig, entry, f"{path}: datasets[{i}]")
        for i, entry in enumerate(content["datasets"])
    ]


def read_task_weights(path: Path) -> dict[str, float]:
    """`weights` of a well-formed mixture file: task → share of an epoch relative to the others; 1 where not given.

    Raises:
        DataError: no mapping of names to numbers.
    """
    weights = yaml.safe_load(path.read_text()).get("weights") or {}
    if not isinstance(weights, dict) or not all(isinstance(value, int | float) for value in weights.values()):
        raise DataError(
            f"{path}: weights is {weights!r}, expected numbers by task, such as {{grounding: 2}}."
        )
    return {str(task): float(value) for task, value in weights.items()}


def read_source(source: SourceConfig, root: Path) -> list[Sample]:
    """Samples of one source, `repeat` times.

    Raises:
        DataError: missing or malformed files, or nothing left.
    """
    records = read_records(root / source.json_path, root / source.mask_path, root / source.video_root)
    samples = [kept for record in records for kept in _keep_turns(record.sample, source.kinds, source.tasks)]
    if not samples:
        kinds, tasks = (", ".join(values) or "any" for values in (source.kinds, source.tasks))
        raise DataError(f"{root / source.json_path} has no question of kinds {kinds} and tasks {tasks}.")
    return [_merged(group) for group in _groups(samples, source.merge)] * source.repeat


def read_sources(path: Path, root: Path) -> list[tuple[SourceConfig, list[Sample]]]:
    """Every source of a mixture file with its samples, all faults found before any work is done.

    Args:
        path: a file of `data_configs/`.
        root: folder its paths are relative to.

    Raises:
        DataError: all missing or malformed files and missing videos at once, each with its line in the file.
    """
    sources = read_mixture(path)
    found, faults = [], []
    for source, line in zip(sources, _entry_lines(path), strict=True):
        files = [root / name for name in (source.json_path, source.mask_path)]
        if absent := [str(file) for file in files if not file.is_file()]:
            faults.append(f"line {line}: no file {' and no file '.join(absent)}")
            continue
        try:
            samples = read_source(source, root)
        except DataError as error:
            faults.append(f"line {line}: {str(error).rstrip('.')}")
            continue
        videos = {sample.video_path for sample in samples}
        missing = sorted(video for video in videos if not Path(video).exists())
        if missing:
            shown = ", ".join(missing[:SHOWN_MISSING])
            faults.append(f"line {line}: {len(missing)} of {len(videos)} videos are missing, such as {shown}")
        found.append((source, samples))
    if faults:
        raise DataError(f"{path}: {'; '.join(faults)}. Mend these entries or their files, then start again.")
    return found


def _entry_lines(path: Path) -> list[int]:
    """Line of each entry of a well-formed mixture file, 1-based."""
    document: Any = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
    datasets = next(value for key, value in document.value if key.value == "datasets")
    return [entry.start_mark.line + 1 for entry in datasets.value]


def _groups(samples: list[Sample], size: int) -> Iterator[list[Sample]]:
    """Runs of samples about one video, at most `size` long."""
    for _, about_one_video in itertools.groupby(samples, key=lambda sample: sample.clip_key):
        run = list(about_one_video)
        yield from (run[i : i + size] for i in range(0, len(run), size))


def _merged(group: list[Sample]) -> Sample:
    turns = tuple(turn for sample in group for turn in sample.turns)
    masks = {key: track for sample in group for key, track in sample.masks.items()}
    return dataclasses.replace(group[0], turns=turns, masks=masks)


def _keep_turns(sample: Sample, kinds: tuple[str, ...], tasks: tuple[str, ...]) -> Iterator[Sample]:
    turns = tuple(
        turn
        for turn in sample.turns
        if (not kinds or turn.kind in kinds) and (not tasks or turn.task in tasks)
    )
    if turns:
        yield dataclasses.replace(sample, turns=turns)
