"""What the index of a corpus costs and saves: building, opening, random reading and memory, beside the plain files.

A corpus of synthetic records is written first. Each side is read in a process of its own, which imports nothing heavy,
so that its peak of memory is that of reading.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from sama_plugin.data.corpus import Corpus, JsonCorpus
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.index_builder import build_index
from sama_plugin.data.index_tables import ALL_RECORDS, index_beside
from sama_plugin.data.indexed_samples import IndexedSamples
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.data.text_file import write_text
from sama_plugin.evaluation.apart import measure_apart, peak_resident_mb, report
from sama_plugin.media.masks import encode_mask

RECORDS, READS = 100_000, 5_000
FRAMES, HEIGHT, WIDTH = 24, 480, 854
OBJECTS, ROUNDS = 2, 2
POOL = 64
SIDES = ("index", "json")


class ReadingCost(NamedTuple):
    """One way to read.

    Attributes:
        open_s: until the first record can be read.
        columns_s: until the task and length of every dialogue are known; without an index, by reading all of them.
        records_per_s: random records, each with the masks of its objects.
        samples_per_s: random samples, checked and ready for training.
        peak_mb: of resident memory, the interpreter included.
    """

    open_s: float
    columns_s: float
    records_per_s: float
    samples_per_s: float
    peak_mb: float


class IndexCost(NamedTuple):
    """Building the index, and each way to read.

    Attributes:
        records: number of records.
        build_s: seconds.
        build_peak_mb: of resident memory while the corpus was written and indexed.
        json_mb, index_mb: sizes on disk.
        sides: by name; None where a process was killed, as one is that runs out of memory.
    """

    records: int
    build_s: float
    build_peak_mb: float
    json_mb: float
    index_mb: float
    sides: dict[str, ReadingCost | None]


def measure_index(
    work: Path, records: int = RECORDS, reads: int = READS, sides: Sequence[str] = SIDES
) -> IndexCost:
    """Write a corpus, index it, read it in both ways.

    Args:
        work: folder for the files.
        records: to write.
        reads: random records that are read.
        sides: of `SIDES`; plain files of 100,000 records fill some ten times their size in memory.

    Raises:
        SamaError: a side failed.
    """
    write_corpus(work, records)
    began = time.perf_counter()
    report = build_index(*_files(work), index_beside(work / "records.json"), name="synthetic")
    build_s, build_peak_mb = time.perf_counter() - began, peak_resident_mb()
    costs: dict[str, ReadingCost | None] = {}
    for side in sides:
        made = measure_apart([__name__, side, str(work), "--reads", str(reads)], f"reading by {side}")
        costs[side] = None if made is None else ReadingCost(**made)
    sizes = _megabytes(report.entries), _megabytes([report.path])
    return IndexCost(records, build_s, build_peak_mb, *sizes, costs)


def _megabytes(files: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in files) / 1e6


def _files(work: Path) -> tuple[Path, dict[str, Path]]:
    return work / "records.json", {ALL_RECORDS: work / "mask_dict.json"}


def write_corpus(folder: Path, count: int) -> None:
    """Write `count` records of `ROUNDS` rounds about `OBJECTS` objects each, with tracks of `FRAMES` frames.

    Args:
        folder: gets `records.json` and `mask_dict.json`; no media.
        count: of records.
    """
    rng = np.random.default_rng(0)
    pool = [json.dumps(encode_mask(_ellipse(rng)), separators=(",", ":")) for _ in range(POOL)]
    bar = tqdm(total=2 * count, desc="synthetic records", unit="record", disable=None)

    def tracks() -> Iterator[str]:
        for i in range(count):
            for k in range(OBJECTS):
                frames = ",".join(pool[j] for j in rng.integers(POOL, size=FRAMES))
                yield f'{"," if i + k else "{"}\n"{i * OBJECTS + k}":[{frames}]'
            bar.update()
        yield "}\n"

    def records() -> Iterator[str]:
        for i in range(count):
            yield ("," if i else "[") + "\n" + json.dumps(_record(i), separators=(",", ":"))
            bar.update()
        yield "]\n"

    with bar:
        write_text(folder / "mask_dict.json", tracks())
        write_text(folder / "records.json", records())


def _record(i: int) -> dict[str, Any]:
    ids = [i * OBJECTS + k for k in range(OBJECTS)]
    question = f"What does <mask> do while <mask> waits, in scene {i} of the long walk through the park?"
    answer = "<p> The runner </p> [SEG] turns twice around <p> the bench </p> [SEG] and stops where it began."
    return {
        "video": f"videos/{i // 2:06d}.mp4",
        "video_id": i,
        "height": HEIGHT,
        "width": WIDTH,
        "frames": [f"{k:05d}" for k in range(FRAMES)],
        "anno_map": ids,
        "conversation": [
            {"from": speaker, "value": text}
            for _ in range(ROUNDS)
            for speaker, text in (("human", question), ("gpt", answer))
        ],
        "obj_masks": [ids] * ROUNDS,
        "groundtruth": [[[i] for i in ids]] * ROUNDS,
        "description": {f"<obj{k}>": "Somebody in red who runs around a bench." for k in range(OBJECTS)},
    }


def _ellipse(rng: np.random.Generator) -> np.ndarray:
    """(H, W) bool with a ragged outline, so that its run lengths are as long as those of real masks."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    cy, cx = rng.uniform(0.3, 0.7, size=2) * (HEIGHT, WIDTH)
    ry, rx = rng.uniform(20, 90, size=2)
    waves = 0.1 * np.sin(rng.integers(3, 9) * np.arctan2(y - cy, x - cx) + rng.uniform(0, 6))
    inside: np.ndarray = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 + waves
    return inside


def _read(side: str, work: Path, reads: int) -> ReadingCost:
    """Open the corpus in one way and read random records of it."""
    records, masks = _files(work)
    began = time.perf_counter()
    corpus: Corpus = (
        IndexedCorpus(index_beside(records), work)
        if side == "index"
        else JsonCorpus(records, masks[ALL_RECORDS], work)
    )
    corpus.track(corpus.record(0), "0")
    open_s = time.perf_counter() - began
    places = np.random.default_rng(1).integers(len(corpus), size=2 * reads).tolist()
    records_s = _seconds(_read_record, corpus, places[:reads])
    samples_s = _seconds(make_samples, corpus, places[reads:])
    began = time.perf_counter()
    if isinstance(corpus, IndexedCorpus):
        IndexedSamples(corpus).turn_columns()
    else:
        for i in tqdm(range(len(corpus)), desc="reading all", disable=None):
            make_samples(corpus, i)
    columns_s = time.perf_counter() - began
    return ReadingCost(open_s, columns_s, reads / records_s, reads / samples_s, peak_resident_mb())


def _read_record(corpus: Corpus, place: int) -> None:
    record = corpus.record(place)
    for mask_id in record["anno_map"]:
        corpus.track(record, str(mask_id))


def _seconds(read: Any, corpus: Corpus, places: Sequence[int]) -> float:
    began = time.perf_counter()
    for place in places:
        read(corpus, place)
    return time.perf_counter() - began


def format_index(cost: IndexCost) -> str:
    """A table, and what the index is better by."""
    head = f"{'side':<8}{'open, s':>9}{'columns, s':>12}{'records/s':>11}{'samples/s':>11}{'peak, MB':>10}"
    lines = [
        f"{cost.records} records: {cost.json_mb:.0f} MB of JSON, index of {cost.index_mb:.0f} MB built in "
        f"{cost.build_s:.1f} s with a peak of {cost.build_peak_mb:.0f} MB",
        head,
    ]
    for side, own in cost.sides.items():
        lines.append(
            f"{side:<8}{'killed':>9}"
            if own is None
            else f"{side:<8}{own.open_s:>9.3f}{own.columns_s:>12.2f}{own.records_per_s:>11.0f}"
            f"{own.samples_per_s:>11.0f}{own.peak_mb:>10.0f}"
        )
    index, plain = (cost.sides.get(side) for side in SIDES)
    if index is not None and plain is not None:
        lines.append(
            f"index / json: opening {index.open_s / plain.open_s:.4f}, memory {index.peak_mb / plain.peak_mb:.3f}"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one side in this process and print one JSON line; `measure_index` calls it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("work", type=Path)
    parser.add_argument("--reads", type=int, required=True)
    options = parser.parse_args(argv)
    report(lambda: _read(options.side, options.work, options.reads)._asdict())


if __name__ == "__main__":
    main()
