"""Trees of mask pictures, `<video>/<expression>/<frame>.png`, with or without `Annotations/` above.

The layout of the servers of MeViS and Ref-YouTube-VOS, in which VISA, UNINEXT, OnlineRefer, TrackGPT, Sa2VA and others
write. For a benchmark of dialogues the folders are `<dialogue>/<question>`. Pixels are 0 and 1, 0 and 255, or palette
ids: where a folder has several ids, each is an object, and 255 is void as in DAVIS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sama_plugin.errors import DataError
from sama_plugin.evaluation.baselines.replies import clip_shape
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.faults import Fault
from sama_plugin.evaluation.metrics.mask_input import VOID_ID
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import GroundedObject, Rle, Sample

ROOT = "Annotations"
SUFFIX = ".png"
MOST_IDS = 64
"""Pictures of more values are soft or coloured, and no masks."""

BROKEN: Rle = {"size": [1, 1], "counts": ""}
"""Stands for a picture that is no mask, so that scoring counts it again."""


def read_mask_tree(
    benchmark: Benchmark, source: Path, faults: list[Fault]
) -> Iterator[tuple[str, list[Prediction]]]:
    """The predictions of a tree, a dialogue at a time.

    Args:
        benchmark: that they are of.
        source: folder of the tree, or one that has `Annotations/` in it.
        faults: what is missing, extra or damaged is added; `extra_files` when all is read.

    Yields:
        Dialogue id and the predictions that are there, one per question.

    Raises:
        DataError: no such folder, or nothing in it that the benchmark asks.
    """
    root = source / ROOT if (source / ROOT).is_dir() else source
    if not root.is_dir():
        raise DataError(f"{root} is no folder of masks; expected <video>/<expression>/<frame>.png in it.")
    known: set[Path] = set()
    for dialogue_id in benchmark.dialogue_ids:
        sample = benchmark.sample(dialogue_id)
        made = []
        for question_id, place in places_of(benchmark, dialogue_id).items():
            known.add(root / place)
            if (root / place).is_dir():
                made.append(_read_folder(root / place, place, question_id, sample, faults))
            else:
                faults.append(Fault("missing_predictions", place))
        if made:
            yield dialogue_id, made
    there = {path.parent for path in root.rglob(f"*{SUFFIX}")}
    if not there & known:
        raise DataError(
            f"{root} has no folder that '{benchmark.name}' asks for, such as {min(map(str, known))}; is it a tree "
            "<video>/<expression>/<frame>.png?"
        )
    faults += [Fault("extra_predictions", str(path.relative_to(root))) for path in sorted(there - known)]


def places_of(benchmark: Benchmark, dialogue_id: str) -> dict[str, str]:
    """Question id → its folder below the tree's root; a dialogue of one question may have its name already."""
    question_ids = benchmark.question_ids(dialogue_id)
    if len(question_ids) == 1 and f"/{dialogue_id}".endswith(f"/{question_ids[0]}"):
        return {question_ids[0]: dialogue_id}
    return {question_id: f"{dialogue_id}/{question_id}" for question_id in question_ids}


def frame_files(sample: Sample) -> list[str]:
    """Names of the pictures of a sample's frames: those of the frames, or their numbers in five digits."""
    if sample.frame_names is not None:
        return [f"{name}{SUFFIX}" for name in sample.frame_names]
    return [f"{frame:05d}{SUFFIX}" for frame in range(clip_shape(sample)[0])]


def _read_folder(
    folder: Path, place: str, question_id: str, sample: Sample, faults: list[Fault]
) -> Prediction:
    """The objects of a folder of pictures."""
    names = frame_files(sample)
    there = {path.name for path in folder.iterdir()}
    faults += [Fault("extra_files", f"{place}/{name}") for name in sorted(there - set(names))]
    faults += [Fault("missing_frames", f"{place}/{name}") for name in names if name not in there]
    frames: list[np.ndarray | None] = []
    broken = []
    for number, name in enumerate(names):
        frames.append(None)
        if name in there:
            try:
                frames[-1] = read_ids(folder / name)
            except DataError as error:
                broken.append(number)
                faults.append(Fault("unreadable_masks", str(error)))
    return Prediction(question_id, objects=tuple(_objects(frames, broken, place, faults)))


def _objects(
    frames: Sequence[np.ndarray | None], broken: Sequence[int], place: str, faults: list[Fault]
) -> Iterator[GroundedObject]:
    """One object per id; where nothing is shown, one without masks if a picture could not be read, else none."""
    seen: Counter[int] = Counter()
    for frame in frames:
        if frame is not None:
            values, counts = np.unique(frame[frame != 0], return_counts=True)
            seen.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    if len(seen) > 1 and VOID_ID in seen:
        faults.append(Fault("void_pixels", f"{place}: {seen.pop(VOID_ID)}"))
    for number, value in enumerate(sorted(seen) or ([0] if broken else []), start=1):
        track: list[Rle | None] = [
            encode_mask(frame == value) if value and frame is not None and (frame == value).any() else None
            for frame in frames
        ]
        for frame_idx in broken:
            track[frame_idx] = BROKEN
        yield GroundedObject(f"obj{number}", "", 1.0, track)


def read_ids(path: Path) -> np.ndarray:
    """(H, W) uint8 or int32 values of a mask picture; of a grey one in colours one channel.

    Raises:
        DataError: no picture, or one that is no mask.
    """
    try:
        with Image.open(path) as picture:
            bands = len(picture.getbands())
            values: Any = np.asarray(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is no picture that can be read ({error})") from error
    if values.ndim == 3:
        colours = values[..., : bands - 1] if bands in (2, 4) else values
        if (colours != colours[..., :1]).any():
            raise DataError(f"{path} is in colours; a mask has one value beside 0, or palette ids")
        values = colours[..., 0]
    num_values = len(np.unique(values))
    if num_values > MOST_IDS:
        raise DataError(f"{path} has {num_values} values, so it is no mask; binarise soft masks first")
    return np.asarray(values.astype(np.int32) if values.dtype != np.bool_ else values.astype(np.uint8))
