"""Records of SAMA-Bench, or of any set in the SAMA-239K form, as questions with ids.

A data folder has shards of records (`*.json`), mask dictionaries under their published names (in `masks/` or beside
the records) and the videos (in `media/` or in the folder itself); what `sama shapes` wrote is one too. A round or
description that breaks a rule of `data.record_rules` is left out, counted and said, as by the official loader.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sama_plugin.data.corpus import Corpus, open_corpus
from sama_plugin.data.defects import RULES, Defect
from sama_plugin.data.record_form import DICTIONARIES, dataset_of, frame_names
from sama_plugin.data.record_rules import kept_descriptions, kept_rounds
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.mask_input import resize_mask
from sama_plugin.media.masks import decode_mask, encode_mask
from sama_plugin.schema import Rle, Sample

logger = logging.getLogger(__name__)

ONE_DICTIONARY = "mask_dict.json"
NO_RECORDS = {name for names in DICTIONARIES.values() for name in names.values()} | {
    ONE_DICTIONARY,
    "meta.json",
}
MENDED = ("track-length", "mask-size")
"""Defects of masks that the official evaluation mends: frames that a track lacks are empty, other sizes are resized."""


@dataclass(frozen=True)
class BenchItem:
    """Questions about one video.

    Attributes:
        sample: what is asked and what is true.
        question_ids: one per turn.
        targets: per turn the row of `groundtruth`; an empty entry has no `[SEG]`.
        size: (H, W) of the masks.
        video: as the record has it.
        dataset: the video is from, empty if unknown.
    """

    sample: Sample
    question_ids: tuple[str, ...]
    targets: tuple[tuple[tuple[str, ...], ...], ...]
    size: tuple[int, int]
    video: str
    dataset: str

    def part(self, turns: Sequence[int]) -> Sample:
        """The sample with some of its turns only."""
        return dataclasses.replace(self.sample, turns=tuple(self.sample.turns[k] for k in turns))


@dataclass
class BenchRecords:
    """All questions of a data folder.

    Attributes:
        items: one per record and part.
        files: that were read.
        left_out: what the defects of the records cost, and duplicate ids, by name.
    """

    items: list[BenchItem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_bench(data: Path, part: str) -> BenchRecords:
    """Read every question of a data folder.

    Args:
        data: see the head of this file.
        part: `conversation`, or `description`.

    Raises:
        DataError: no records, or files that cannot be used.
    """
    bench = BenchRecords()
    seen: Counter[str] = Counter()
    defects: Counter[str] = Counter()
    for shard in _shards(data):
        corpus = open_corpus(shard, _masks_of(data), _media_of(data))
        bench.files.append(shard)
        for index in range(len(corpus)):
            item = _read_item(corpus, index, part, defects, seen)
            if item is not None:
                bench.items.append(item)
    bench.files += [path for path in _dictionaries(data) if path.is_file()]
    if not bench.items:
        raise DataError(
            f"{data} has no {part} that can be asked; `sama data check` says what is wrong with it."
        )
    for code, count in defects.items():
        bench.left_out[f"defects/{code}"] = count
        logger.warning("%s: %d %s (%s)", data, count, code, RULES[code].meaning)
    bench.left_out["duplicate_questions"] = sum(count - 1 for count in seen.values())
    return bench


def _shards(data: Path) -> list[Path]:
    """Files of records, in the order of their names."""
    found = sorted(path for path in data.glob("*.json") if path.name not in NO_RECORDS)
    if not found:
        raise DataError(f"{data} has no *.json with records; `sama eval list` says what is needed.")
    return found


def _masks_of(data: Path) -> Path:
    for place in (data / "masks", data / ONE_DICTIONARY):
        if place.exists():
            return place
    return data


def _media_of(data: Path) -> Path:
    return data / "media" if (data / "media").is_dir() else data


def _dictionaries(data: Path) -> list[Path]:
    place = _masks_of(data)
    return sorted(path for path in place.iterdir() if path.name in NO_RECORDS) if place.is_dir() else [place]


def _read_item(
    corpus: Corpus, index: int, part: str, found: Counter[str], seen: Counter[str]
) -> BenchItem | None:
    """Questions of one record; None if there are none."""
    records, defects = make_samples(corpus, index, part=part, allow=MENDED)
    found.update(defect.code for defect in defects if RULES[defect.code].costs != "nothing")
    if not records:
        return None
    sample, raw = records[0]
    ids, targets = zip(*_rounds(raw, defects, part), strict=True)
    size = _size(raw, sample)
    names = frame_names(raw)
    num_frames = len(names) if names is not None else max(map(len, sample.masks.values()), default=0)
    masks = {key: _mend(track, num_frames, size) for key, track in sample.masks.items()}
    return BenchItem(
        dataclasses.replace(sample, masks=masks),
        tuple(_unique(given, f"{sample.sample_id}/{place}", seen) for given, place in ids),
        targets,
        size,
        raw["video"],
        dataset_of(raw) or "",
    )


def _rounds(
    raw: Mapping[str, Any], defects: list[Defect], part: str
) -> Iterator[tuple[tuple[Any, str], tuple[tuple[str, ...], ...]]]:
    """For each turn of the sample the id it has in the file, its place, and its row of `groundtruth`."""
    if part == "description":
        given = raw.get("description_id") or {}
        for key in kept_descriptions(raw, defects):
            yield (given.get(key), key.strip("<>")), ()
        return
    for one in kept_rounds(raw, defects):
        question_id = raw["conversation"][2 * one.index].get("question_id")
        yield (question_id, str(one.index)), tuple(map(tuple, one.targets))


def _unique(given: Any, derived: str, seen: Counter[str]) -> str:
    """The id of a question: as given, or derived where none is given or another question has it."""
    if given is None:
        return derived
    seen[str(given)] += 1
    return str(given) if seen[str(given)] == 1 else f"{derived}#{given}"


def _size(raw: Mapping[str, Any], sample: Sample) -> tuple[int, int]:
    """(H, W) as the record has it, else that of its first mask."""
    if raw.get("height") and raw.get("width"):
        return int(raw["height"]), int(raw["width"])
    first = next((rle for track in sample.masks.values() for rle in track if rle is not None), None)
    return (0, 0) if first is None else (int(first["size"][0]), int(first["size"][1]))


def _mend(track: list[Rle | None], num_frames: int, size: tuple[int, int]) -> list[Rle | None]:
    """The track with an entry per frame, all of one size."""
    fitted = (track + [None] * num_frames)[:num_frames]
    return [
        rle
        if rle is None or tuple(rle["size"]) == size
        else encode_mask(resize_mask(decode_mask(rle), *size))
        for rle in fitted
    ]
