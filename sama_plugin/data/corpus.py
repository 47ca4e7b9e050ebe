"""Records in the SAMA-239K form with the masks and media they mean, whatever files they lie in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sama_plugin.data.defects import Defect, DefectError, file_fault, missing_file
from sama_plugin.data.json_stream import JsonStream
from sama_plugin.data.plain_pickle import load_plain_pickle
from sama_plugin.data.record_form import (
    DICTIONARIES,
    PUBLISHED_MASKS,
    dictionary_name,
    has_video,
    media_path,
    split_of,
)
from sama_plugin.data.track_rules import Track
from sama_plugin.errors import DataError

FOREIGN_DICTIONARY = "mask_dict.pkl"
"""Sa2VA's masks of Ref-YouTube-VOS: its keys count expressions, so they name other objects than SAMA's ids do."""

RECORDS_FILE, MASKS_FILE = "records.json", "mask_dict.json"
"""Names of our own sets; the small world writes them."""

PICKLED = DICTIONARIES["train"]["ref_youtube_vos"]
PICKLE_SUFFIXES = (".pkl", ".pickle")


class Corpus(Protocol):
    """A data set: read it through this, so that it may lie in any files.

    Attributes:
        name: for reports and the samples' `source`.
        path: the file of its records, or of its index, for messages.
    """

    name: str
    path: Path

    def __len__(self) -> int:
        """Records."""

    def record_text(self, index: int) -> str:
        """JSON of one record, character by character as in the file."""

    def record(self, index: int) -> Any:
        """What it says; an object unless it is broken."""

    def track(self, record: Mapping[str, Any], mask_id: str) -> Track | None:
        """Masks of an object, as the record's dictionary has them; None if it lacks the id.

        Raises:
            DefectError: the dictionary cannot be used, or the record's video belongs to none.
        """

    def media(self, record: Mapping[str, Any]) -> Path:
        """Video file or folder of frames, whether or not it is there."""

    def files(self) -> list[Path]:
        """What its records and masks are read from; not all need be there."""


class JsonCorpus:
    """Plain JSON files: the records' text is held in memory, a mask dictionary is loaded when it is first asked for.

    Args:
        records: JSON list of records.
        masks: one dictionary for all records, or a folder with dictionaries under their published names.
        video_root: folder that the records' `video` is relative to.
        name: of the corpus; the records' file name without suffix if empty.

    Raises:
        DefectError: the records are missing, malformed or no list, or there is no such `masks`.
    """

    def __init__(self, records: Path, masks: Path, video_root: Path, name: str = "") -> None:
        self.name = name or records.stem
        self.path, self.masks, self.video_root = records, masks, video_root
        self._texts = [entry.text for entry in JsonStream(records, "[")]
        if not masks.exists():
            raise missing_file(masks)
        self._dictionaries: dict[Path, dict[str, Any] | DefectError] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def record_text(self, index: int) -> str:
        """See `Corpus`."""
        return self._texts[index]

    def record(self, index: int) -> Any:
        """See `Corpus`."""
        return json.loads(self.record_text(index))

    def track(self, record: Mapping[str, Any], mask_id: str) -> Track | None:
        """See `Corpus`."""
        return track_of_value(self.load(self.dictionary(record)).get(mask_id))

    def media(self, record: Mapping[str, Any]) -> Path:
        """See `Corpus`."""
        return self.video_root / media_path(record)

    def files(self) -> list[Path]:
        """See `Corpus`."""
        return [self.path, *mask_files(self.masks)]

    def load(self, path: Path) -> dict[str, Any]:
        """A mask dictionary, kept once it was read.

        Raises:
            DefectError: it cannot be used; it is not read again then.
        """
        if path not in self._dictionaries:
            self._dictionaries[path] = _read_or_fail(path)
        dictionary = self._dictionaries[path]
        if isinstance(dictionary, DefectError):
            raise dictionary
        return dictionary

    def dictionaries(self) -> list[Path]:
        """Files with the masks of any of its records, in the order of the records."""
        if not self.masks.is_dir():
            return [self.masks]
        found: dict[Path, None] = {}
        for index in range(len(self)):
            record = self.record(index)
            if has_video(record):
                with contextlib.suppress(DefectError):
                    found.setdefault(self.dictionary(record))
        return list(found)

    def dictionary(self, record: Mapping[str, Any]) -> Path:
        """File with the masks of a record.

        Raises:
            DefectError: with several files, one for a record whose video belongs to none.
        """
        return self.masks / published_dictionary(record, self.path) if self.masks.is_dir() else self.masks


class CorpusFiles(NamedTuple):
    """Where a corpus lies: the arguments of `open_corpus`."""

    records: Path
    masks: Path
    video_root: Path
    name: str = ""


def find_corpus(records: Path, masks: Path | None = None, video_root: Path | None = None) -> CorpusFiles:
    """Say where a corpus lies, by its usual places where only its records are given.

    Args:
        records: JSON list of records, or a folder with `records.json`.
        masks: default: `mask_dict.json` or the folder `masks` beside the records, else their folder or the one right
            below it that has most of the published dictionaries.
        video_root: default: the folder `media` beside the records, else their folder.

    Raises:
        DataError: there are no such records.
    """
    if records.is_dir():
        records = records / RECORDS_FILE
    if not records.is_file():
        raise DataError(
            f"{records} does not exist; give a JSON list of records, or a folder with {RECORDS_FILE}."
        )
    folder = records.parent
    media = folder / "media"
    return CorpusFiles(
        records, masks or _usual_masks(folder), video_root or (media if media.is_dir() else folder)
    )


def _usual_masks(folder: Path) -> Path:
    for path in (folder / MASKS_FILE, folder / "masks"):
        if path.exists():
            return path
    places = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    return max(places, key=lambda place: sum(path.is_file() for path in mask_files(place)))


def mask_files(masks: Path) -> list[Path]:
    """Files that the `masks` of a corpus stand for: itself, or all that a folder may have; not all need be there."""
    return [masks / name for name in sorted(PUBLISHED_MASKS)] if masks.is_dir() else [masks]


def published_dictionary(record: Mapping[str, Any], where: Path) -> str:
    """File name of the mask dictionary that a record's ids are from, in the published layout.

    Args:
        record: with its `video`.
        where: the corpus, for the error.

    Raises:
        DefectError: its video belongs to no data set with masks.
    """
    name = dictionary_name(record)
    if name is None:
        message = (
            f"its video {record['video']!r} belongs to no data set with published {split_of(record)} masks"
        )
        raise DefectError(f"{where}: {message}.", Defect("dataset-unknown", message))
    return name


def track_of_value(value: Any) -> Track | None:
    """The track in an entry of a mask dictionary; those of LVVIS val wrap it."""
    return value["segmentations"] if isinstance(value, dict) and "segmentations" in value else value


def open_corpus(
    records: Path, masks: Path, video_root: Path, name: str = "", index: Path | None = None
) -> Corpus:
    """Open a data set: by its index where it has one (`sama data prepare`), else its files as they are.

    Args:
        records: JSON list of records.
        masks: one mask dictionary for all of them, or a folder with dictionaries under their published names.
        video_root: folder that the records' `video` is relative to.
        name: of the corpus; made from the file name if empty.
        index: of the records; None takes the one beside them if there is one.

    Raises:
        DefectError: a file is missing, malformed or of another form.
        DataError: an index that is stale, half-written, damaged, or of other files.
    """
    from sama_plugin.data.index import IndexedCorpus  # which reads through functions of this file
    from sama_plugin.data.index_tables import index_beside

    records, masks, video_root = Path(records), Path(masks), Path(video_root)
    place = index or index_beside(records)
    if index is None and not place.is_file():
        return JsonCorpus(records, masks, video_root, name)
    corpus = IndexedCorpus(place, video_root, name)
    corpus.check_files(records, masks)
    return corpus


def read_dictionary(path: Path) -> dict[str, Any]:
    """Mask id → track, of JSON or a pickle of plain containers.

    Raises:
        DefectError: missing, malformed, no mapping, a pickle that is more than containers, or Sa2VA's.
    """
    foreign = path.with_name(FOREIGN_DICTIONARY)
    if path == foreign or (path.name == PICKLED and not path.exists() and foreign.exists()):
        raise file_fault(
            "dictionary-foreign",
            f"{foreign} is Sa2VA's: its keys count expressions and are no mask ids of SAMA-239K; give "
            f"{PICKLED}.",
        )
    if path.suffix not in PICKLE_SUFFIXES:
        return {entry.key: entry.value for entry in JsonStream(path, "{")}
    content = load_plain_pickle(path)
    if not isinstance(content, dict):
        raise file_fault(
            "file-form", f"{path} holds a {type(content).__name__}, expected a mapping of ids to tracks."
        )
    return {str(key): value for key, value in content.items()}


def _read_or_fail(path: Path) -> dict[str, Any] | DefectError:
    """A dictionary, or why there is none: it is not read again for every record."""
    try:
        return read_dictionary(path)
    except DefectError as error:
        return error
