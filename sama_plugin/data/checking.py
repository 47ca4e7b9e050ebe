"""`sama data check`: every rule on every record, its masks and media, in parallel; a check that was cut off goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from sama_plugin.data.corpus import PICKLE_SUFFIXES, Corpus, CorpusFiles, JsonCorpus, mask_files, open_corpus
from sama_plugin.data.defects import Defect, DefectError
from sama_plugin.data.json_file import repeated_keys
from sama_plugin.data.json_stream import JsonStream
from sama_plugin.data.media_check import MEDIA_DEPTHS, check_media
from sama_plugin.data.record_form import num_rounds, object_ids
from sama_plugin.data.record_rules import ClipFacts, find_defects, kept_descriptions, kept_rounds
from sama_plugin.data.run_file import RunFile
from sama_plugin.data.worker_pool import map_parallel
from sama_plugin.errors import DataError

RUN_SCHEMA = "sama.check.run/1"
PART_SIZE = 64
"""Records that are checked, and kept as done, at a time."""

IDS = ("video_id", "question_id", "description_id")


@dataclass
class SourceReport:
    """What was found in one corpus.

    Attributes:
        files: where it lies.
        counts: `records`, `rounds`, `rounds_kept`, `descriptions`, `descriptions_kept`, `objects`.
        defects: in the order of the records, those of whole files first.
        videos: record → its video, of records with defects.
    """

    files: CorpusFiles
    counts: Counter[str] = field(default_factory=Counter)
    defects: list[Defect] = field(default_factory=list)
    videos: dict[int, str] = field(default_factory=dict)

    @property
    def by_code(self) -> dict[str, list[Defect]]:
        """Code → its defects, the most frequent first."""
        codes = Counter(defect.code for defect in self.defects)
        return {code: [one for one in self.defects if one.code == code] for code, _ in codes.most_common()}


def check_corpora(
    sources: Sequence[CorpusFiles],
    *,
    media: str = "full",
    workers: int = 1,
    run_path: Path | None = None,
    progress: bool = True,
) -> list[SourceReport]:
    """Check corpora.

    Args:
        sources: where they lie.
        media: one of `MEDIA_DEPTHS`.
        workers: processes; the report does not depend on it.
        run_path: file in which finished parts are kept, so that a check that was cut off goes on; None keeps none.
        progress: whether to show a bar.

    Raises:
        DataError: a bad argument, or a run file of another check.
    """
    if media not in MEDIA_DEPTHS:
        raise DataError(f"media is '{media}', expected one of {', '.join(MEDIA_DEPTHS)}.")
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(RunFile(run_path, _identity(sources, media))) if run_path else None
        return [_check_source(files, media, workers, run, progress) for files in sources]


def _identity(sources: Sequence[CorpusFiles], media: str) -> dict[str, Any]:
    """What a run file is about: the same files, unchanged."""
    paths = sorted({path for files in sources for path in _all_files(files)})
    stamps = {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in paths}
    roots = [str(files.video_root) for files in sources]
    return {"schema": RUN_SCHEMA, "files": stamps, "media": media, "roots": roots, "part_size": PART_SIZE}


def _all_files(files: CorpusFiles) -> Iterator[Path]:
    yield from (path for path in (files.records, *mask_files(files.masks)) if path.is_file())


def _check_source(
    files: CorpusFiles, media: str, workers: int, run: RunFile | None, progress: bool
) -> SourceReport:
    report = SourceReport(files)
    try:
        corpus = open_corpus(*files)
    except DefectError as error:
        report.defects.append(error.defect)
        return report
    report.defects += _file_defects(corpus)
    if media != "none" and not files.video_root.is_dir():
        report.defects.append(Defect("root-missing", f"there is no folder {files.video_root}"))
        media = "none"
    gathered = _Gathered(report)
    parts = [range(start, min(start + PART_SIZE, len(corpus))) for start in range(0, len(corpus), PART_SIZE)]
    checker = RecordChecker(corpus, files.video_root, media)
    with tqdm(
        total=len(corpus), desc=f"check {corpus.name}", unit="record", disable=None if progress else True
    ) as bar:
        for part, result in _results(checker, parts, workers, run, str(files.records)):
            gathered.add(result)
            bar.update(len(part))
    gathered.finish()
    return report


def _file_defects(corpus: Corpus) -> list[Defect]:
    """What is wrong with the mask dictionaries; an index was checked when it was made."""
    if not isinstance(corpus, JsonCorpus):
        return []
    found: list[Defect] = []
    for path in corpus.dictionaries():
        try:
            corpus.load(path)
        except DefectError as error:
            found.append(error.defect)
            continue
        if path.suffix not in PICKLE_SUFFIXES:
            found += [Defect("key-twice", f"{path} has the key {key!r} twice") for key in _repeated(path)]
    return found


def _repeated(path: Path) -> Iterator[str]:
    """Keys that a mask dictionary has twice, in itself or in one of its entries."""
    seen = set()
    for entry in JsonStream(path, "{"):
        if entry.key in seen:
            yield entry.key
        seen.add(entry.key)
        yield from repeated_keys(entry.text)


def _results(
    checker: RecordChecker, parts: list[range], workers: int, run: RunFile | None, prefix: str
) -> Iterator[tuple[range, dict[str, Any]]]:
    """Each part's result in order, from the run file where it has been checked before."""
    done = run.rows if run else {}
    names = [f"{prefix}#{part.start}" for part in parts]
    to_do = [part for part, name in zip(parts, names, strict=True) if name not in done]
    results = map_parallel(checker.check_part, to_do, workers)
    for part, name in zip(parts, names, strict=True):
        if name in done:
            yield part, done[name]
            continue
        result = next(results)
        if run:
            run.append(name, result)
        yield part, result


class RecordChecker:
    """Checks records one by one.

    Args:
        corpus: of the records.
        video_root: below which their media lie.
        media: how deep to look at them.
    """

    def __init__(self, corpus: Corpus, video_root: Path, media: str) -> None:
        self.corpus = corpus
        self.video_root = video_root
        self.media = media

    def check_part(self, part: range) -> dict[str, Any]:
        """Check some records.

        Returns:
            `defects`, `counts` and `videos` of records with defects; rows of what must not come twice: `digests` and
            each of `IDS`; plain values, to be kept in a run file.
        """
        counts: Counter[str] = Counter()
        result: dict[str, Any] = {
            "defects": [],
            "videos": {},
            "digests": [],
            **{key: [] for key in IDS},
        }
        for index in part:
            record = self.corpus.record(index)
            found, has_masks = self._find(index, record)
            defects = [dataclasses.replace(one, record=index) for one in found]
            result["defects"] += [dataclasses.asdict(defect) for defect in defects]
            digest = hashlib.sha256(self.corpus.record_text(index).encode()).hexdigest()
            result["digests"].append([index, digest])
            counts["records"] += 1
            if not any(defect.code == "record-form" for defect in defects):
                self._count(record, defects, has_masks, counts)
                _note_ids(index, record, result)
            if defects and isinstance(record, dict):
                result["videos"][str(index)] = str(record.get("video", ""))
        return result | {"counts": dict(counts)}

    def _find(self, index: int, record: Any) -> tuple[list[Defect], bool]:
        """Defects of a record; and whether there is a file with its masks, whose absence was reported before."""
        repeated = repeated_keys(self.corpus.record_text(index))
        found = [Defect("key-twice", f"it has the key {key!r} twice in one object") for key in repeated]
        plain, clip = find_defects(record, None), None
        if self.media != "none" and not any(one.code in ("record-form", "video-outside") for one in plain):
            defects, clip = self._media_defects(record)
            found += defects
        try:
            track_of = functools.partial(self.corpus.track, record)
            return [*found, *find_defects(record, track_of, deep=True, clip=clip)], True
        except DefectError:
            return [*found, *plain], False

    def _media_defects(self, record: dict[str, Any]) -> tuple[list[Defect], ClipFacts | None]:
        top, *below = Path(record["video"]).parts
        if below and not os.path.exists(self.video_root / top):
            return [Defect("root-missing", f"there is no folder {self.video_root / top}")], None
        return check_media(record, self.corpus.media(record), self.media)

    @staticmethod
    def _count(record: dict[str, Any], defects: list[Defect], has_masks: bool, counts: Counter[str]) -> None:
        counts["rounds"] += num_rounds(record)
        counts["rounds_kept"] += len(kept_rounds(record, defects)) * has_masks
        counts["descriptions"] += len(record.get("description") or {})
        counts["descriptions_kept"] += len(kept_descriptions(record, defects)) * has_masks
        counts["objects"] += len(set(object_ids(record).values()))


def _note_ids(index: int, record: dict[str, Any], result: dict[str, Any]) -> None:
    """Ids, each with its record and place."""
    path = PurePosixPath(record["video"])
    if "video_id" in record:
        result["video_id"].append([index, str(path), f"{path.parent}/{record['video_id']}"])
    for number, message in enumerate((record.get("conversation") or [])[0::2]):
        if isinstance(message, dict) and "question_id" in message:
            result["question_id"].append([index, number, str(message["question_id"])])
    for key, description_id in (record.get("description_id") or {}).items():
        result["description_id"].append([index, key, str(description_id)])


class _Gathered:
    """Joins the results of parts, and finds what comes twice in a whole file."""

    def __init__(self, report: SourceReport) -> None:
        self.report = report
        self._first: dict[tuple[str, str], int] = {}
        self._videos: dict[str, tuple[int, str]] = {}
        self._roots: dict[str, Defect] = {}

    def add(self, result: dict[str, Any]) -> None:
        """Take in the result of the next part."""
        self.report.counts.update(result["counts"])
        self.report.videos.update({int(index): video for index, video in result["videos"].items()})
        for defect in (Defect(**row) for row in result["defects"]):
            if defect.code == "root-missing":
                self._roots.setdefault(defect.message, dataclasses.replace(defect, record=None))
            else:
                self.report.defects.append(defect)
        self.report.defects += self._repetitions(result)

    def finish(self) -> None:
        """Add what is said once of a whole file, and put all in order."""
        self.report.defects += self._roots.values()
        self.report.defects.sort(key=lambda one: -1 if one.record is None else one.record)

    def _repetitions(self, result: dict[str, Any]) -> Iterator[Defect]:
        for index, digest in result["digests"]:
            if (first := self._first.setdefault(("record", digest), index)) != index:
                yield Defect("record-twice", f"it is the same as record {first}", record=index)
        for index, video, video_id in result["video_id"]:
            first, other = self._videos.setdefault(video_id, (index, video))
            if other != video:
                message = f"record {first}, about {other}, has the same 'video_id'"
                yield Defect("video-id-twice", message, record=index)
        for index, number, question_id in result["question_id"]:
            yield from self._repeated("question_id", question_id, index, round=number)
        for index, key, description_id in result["description_id"]:
            yield from self._repeated("description_id", description_id, index, thing=key)

    def _repeated(self, kind: str, value: str, index: int, **place: Any) -> list[Defect]:
        if (kind, value) in self._first:
            message = f"its {kind} {value} is that of one in record {self._first[kind, value]} too"
            return [Defect("bench-id-twice", message, record=index, **place)]
        self._first[kind, value] = index
        return []
