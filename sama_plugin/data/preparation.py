"""Gets data sets ready for training: finds their files, builds an index for each, says what is there and missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_plugin.data.corpus import RECORDS_FILE, CorpusFiles, find_corpus
from sama_plugin.data.defects import format_counts
from sama_plugin.data.frame_extraction import Extraction, extract_frames
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.index_builder import IndexReport, build_index, report_on
from sama_plugin.data.index_tables import ALL_RECORDS, index_beside
from sama_plugin.data.json_stream import JsonStream
from sama_plugin.data.record_form import PUBLISHED_MASKS, dictionary_name, has_video
from sama_plugin.errors import DataError

PUBLISHED_RECORDS = (
    "sama239k_train_final.json",
    "mevis*.json",
    "lvvis*.json",
    "ref_youtube_vos*.json",
    "VidSTG*.json",
)
"""Published files of records: SAMA-239K, and the shards of SAMA-Bench."""

SHOWN = 3


@dataclass(frozen=True)
class Preparation:
    """What was found and made of one file of records.

    Attributes:
        files: where it lies.
        index: its index.
        sources: records of each data set; an empty name is none of the published ones.
        examples: dialogues that can be trained on, and turns in them.
        defects: records with a defect, by its code.
        extracted: frames that were extracted, by the folder they went to.
        num_videos: distinct videos.
        missing: those of them that are not there.
    """

    files: CorpusFiles
    index: IndexReport
    sources: dict[str, int]
    examples: tuple[int, int]
    defects: Counter[str]
    extracted: dict[Path, Extraction]
    num_videos: int
    missing: list[Path]


def find_corpora(place: Path, masks: Path | None = None, video_root: Path | None = None) -> list[CorpusFiles]:
    """Where the data sets of a folder lie.

    Args:
        place: a file of records, a folder with `records.json`, or a root with published files of records.
        masks: see `find_corpus`.
        video_root: see `find_corpus`.

    Raises:
        DataError: there are none.
    """
    if not place.is_dir() or (place / RECORDS_FILE).is_file():
        return [find_corpus(place, masks, video_root)]
    published = [path for pattern in PUBLISHED_RECORDS for path in sorted(place.glob(pattern))]
    records = [path for path in published if path.name not in PUBLISHED_MASKS]
    if not records:
        raise DataError(
            f"{place} has no {RECORDS_FILE} and none of {', '.join(PUBLISHED_RECORDS)}; give the file of the records."
        )
    return [find_corpus(path, masks, video_root) for path in records]


def needed_masks(files: CorpusFiles) -> dict[str, Path]:
    """Mask dictionaries that the records of a corpus need, by name; the records are streamed where there are several.

    Raises:
        DataError: ones that are not there, all at once.
    """
    if not files.masks.is_dir():
        return {ALL_RECORDS: files.masks}
    records = (entry.value for entry in JsonStream(files.records, "["))
    names = {name for record in records if has_video(record) and (name := dictionary_name(record))}
    found = {name: files.masks / name for name in sorted(names)}
    if absent := [name for name, path in found.items() if not path.is_file()]:
        raise DataError(
            f"{files.records} needs {', '.join(absent)}, which {files.masks} does not have (it has "
            f"{', '.join(sorted(names - set(absent))) or 'no other'}); get them, or say where with --masks."
        )
    return found


def prepare(
    files: CorpusFiles,
    *,
    index: Path | None = None,
    vidstg: Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Preparation:
    """Build the index of a corpus unless it is there, and look at what it says.

    Args:
        files: where it lies.
        index: where its index goes; None puts it beside the records.
        vidstg: folder of the VidSTG videos whose frames are extracted where they are not there; None extracts none.
        workers: processes that extract.
        progress: whether to show a bar.

    Raises:
        DataError: see `needed_masks`, `build_index` and `extract_frames`.
    """
    place = index or index_beside(files.records)
    corpus = _current_index(files, place)
    if corpus is not None:
        report = report_on(place)
    else:
        name = files.name or files.records.stem
        report = build_index(files.records, needed_masks(files), place, name=name, progress=progress)
        corpus = IndexedCorpus(place, files.video_root)
    extracted = {} if vidstg is None else _extract(corpus, vidstg, workers, progress)
    media = [
        files.video_root / path
        for (path,) in corpus.rows("SELECT DISTINCT media FROM records WHERE media <> ''")
    ]
    codes = Counter(code for (found,) in corpus.rows("SELECT defects FROM records") for code in found.split())
    [dialogues] = corpus.rows("SELECT count(DISTINCT record * 2 + part), count(*) FROM turns")
    return Preparation(
        files,
        report,
        sources=dict(corpus.rows("SELECT source, count(*) FROM records GROUP BY source ORDER BY source")),
        examples=(int(dialogues[0]), int(dialogues[1])),
        defects=codes,
        extracted=extracted,
        num_videos=len(media),
        missing=[path for path in media if not os.path.exists(path)],  # no error for too long a name
    )


def _current_index(files: CorpusFiles, index: Path) -> IndexedCorpus | None:
    """The index of these files as they are now; None if there is none."""
    try:
        corpus = IndexedCorpus(index, files.video_root)
        corpus.check_files(files.records, files.masks)
    except DataError:
        return None
    return corpus


def _extract(corpus: IndexedCorpus, videos: Path, workers: int, progress: bool) -> dict[Path, Extraction]:
    """Write the frames of all VidSTG videos of a corpus to where its records look for them."""
    names: dict[Path, set[str]] = {}
    for (media,) in corpus.rows("SELECT DISTINCT media FROM records WHERE source = 'VidSTG'"):
        place = corpus.video_root / media
        names.setdefault(place.parent, set()).add(place.name)
    return {
        folder: extract_frames(videos, folder, names=own, workers=workers, progress=progress)
        for folder, own in names.items()
    }


def format_preparation(done: Preparation) -> Iterator[str]:
    """Lines that say what was found, made and missing."""
    index, files = done.index, done.files
    size_mb = index.path.stat().st_size / 1e6
    took = "was there and fits" if index.seconds is None else f"built in {index.seconds:.1f} s"
    named = ", ".join(f"{name} {count}" for name, count in done.sources.items() if name)
    records = f"{sum(done.sources.values())} records{f' ({named})' if named else ''}"
    yield f"{files.records}: {records}; index {index.path} ({size_mb:.1f} MB) {took}"
    for path, count in index.entries.items():
        if not path.samefile(files.records):
            twice = (
                f", {index.doubled[path]} ids twice, of which the last counts"
                if path in index.doubled
                else ""
            )
            yield f"  masks: {count} tracks in {path}{twice}"
    yield f"  {done.examples[0]} dialogues with {done.examples[1]} turns can be trained on"
    if done.defects:
        yield f"  defects, in records: {format_counts(done.defects)}; `sama data check` says where"
    for folder, result in done.extracted.items():
        failed = "".join(f"; {video}: {reason}" for video, reason in result.failed)
        yield f"  frames: {result.written} folders written to {folder}, {result.kept} were there{failed}"
    there = done.num_videos - len(done.missing)
    yield f"  media: {there} of {done.num_videos} videos are in {files.video_root}{_examples(done.missing)}"


def _examples(missing: Sequence[Path]) -> str:
    return (
        f"; missing: {', '.join(map(str, missing[:SHOWN]))}{', ...' * (len(missing) > SHOWN)}"
        if missing
        else ""
    )
