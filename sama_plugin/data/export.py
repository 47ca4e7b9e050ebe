"""Any corpus → files in the published form: the records as they are, and the masks that they mean.

out/records.json                     text of every record, character by character as in its source
out/masks/<published name>           where all videos belong to published data sets: a dictionary for each
out/mask_dict.json                   else: one dictionary for all
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sama_plugin.data.corpus import MASKS_FILE, RECORDS_FILE, Corpus
from sama_plugin.data.kept_inputs import check_inputs_kept
from sama_plugin.data.record_form import DICTIONARIES, NO_MASK, PUBLISHED_MASKS, dictionary_name, has_video
from sama_plugin.data.text_file import whole_file, write_text
from sama_plugin.errors import DataError

PICKLE_PROTOCOL = 4


class Exported(NamedTuple):
    """What was written.

    Attributes:
        records: number of records.
        masks: number of tracks.
        missing: ids that a record means and its dictionary lacks, `record:id`; they are left out.
        files: written, the records first.
    """

    records: int
    masks: int
    missing: list[str]
    files: list[Path]


def export_targets(out: Path, name: str = RECORDS_FILE) -> list[Path]:
    """Files that an export may write.

    Raises:
        DataError: the name is no plain name of a file, or that of the masks.
    """
    if name in ("", "..", "masks", MASKS_FILE) or Path(name).name != name:
        raise DataError(f"The records' file is to be '{name}', expected a plain name such as {RECORDS_FILE}.")
    return [out / name, out / MASKS_FILE, *(out / "masks" / other for other in sorted(PUBLISHED_MASKS))]


def export_corpus(
    corpus: Corpus,
    out: Path,
    *,
    indices: Sequence[int] | None = None,
    name: str = RECORDS_FILE,
    progress: bool = True,
) -> Exported:
    """Write records and masks of a corpus; media stay where they are.

    Args:
        corpus: what to write.
        out: folder, made if missing; files in it are replaced, each whole or not at all.
        indices: of the records, in the order wanted; None takes all.
        name: of the file of records.
        progress: whether to show a bar.

    Raises:
        DataError: a mask dictionary cannot be used, one dictionary for all would mix up ids, a file that the corpus is
            read from would be written over, or see `export_targets`.
    """
    check_inputs_kept(corpus.files(), export_targets(out, name))
    chosen = range(len(corpus)) if indices is None else indices
    means = _Meaning(corpus)
    for index in tqdm(chosen, desc="export", unit="record", disable=None if progress else True):
        means.add(index)
    (out / "masks" if means.is_published else out).mkdir(parents=True, exist_ok=True)
    files = [out / name]
    for dictionary, tracks in means.dictionaries().items():
        path = out / "masks" / dictionary if means.is_published else out / dictionary
        _write_dictionary(path, tracks)
        files.append(path)
    write_text(files[0], _listed(corpus.record_text(index) for index in chosen))
    return Exported(len(chosen), means.num_tracks, means.missing, files)


class _Meaning:
    """Which masks the records mean, and in which dictionary each belongs."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.missing: list[str] = []
        self.is_published = True
        self._first: dict[tuple[str, str], int] = {}

    @property
    def num_tracks(self) -> int:
        return len(self._first)

    def add(self, index: int) -> None:
        """Note the ids of a record."""
        record = self.corpus.record(index)
        if not has_video(record):
            return
        name = dictionary_name(record)
        self.is_published = self.is_published and name is not None
        for mask_id in ids_of(record):
            if (name or "", mask_id) in self._first:
                continue
            if self.corpus.track(record, mask_id) is None:
                self.missing.append(f"{index}:{mask_id}")
            else:
                self._first[name or "", mask_id] = index

    def dictionaries(self) -> dict[str, _Tracks]:
        """File name → what belongs in it.

        Raises:
            DataError: two different tracks of one id in one file.
        """
        if self.is_published:
            names = dict.fromkeys(name for name, _ in self._first)
            return {
                name: _Tracks(self.corpus, {i: k for (other, i), k in self._first.items() if other == name})
                for name in names
            }
        together: dict[str, int] = {}
        for (_, mask_id), index in self._first.items():
            first = together.setdefault(mask_id, index)
            if first != index and self._track(first, mask_id) != self._track(index, mask_id):
                raise DataError(
                    f"Mask id {mask_id} means one thing in record {first} and another in record {index}, and only some "
                    "videos belong to published data sets, so that there is one dictionary; export them apart."
                )
        return {MASKS_FILE: _Tracks(self.corpus, together)}

    def _track(self, index: int, mask_id: str) -> Any:
        return self.corpus.track(self.corpus.record(index), mask_id)


class _Tracks(Mapping[str, Any]):
    """Mask id → its track, read when it is asked for."""

    def __init__(self, corpus: Corpus, places: dict[str, int]) -> None:
        self.corpus, self.places = corpus, places

    def __getitem__(self, mask_id: str) -> Any:
        return self.corpus.track(self.corpus.record(self.places[mask_id]), mask_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def ids_of(record: Mapping[str, Any]) -> list[str]:
    """Every id that a record has where ids belong, -1 left out, whether or not the record is well-formed."""
    found: dict[str, None] = {}

    def collect(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                collect(one)
        elif isinstance(value, int | str) and not isinstance(value, bool) and str(value) != NO_MASK:
            found.setdefault(str(value))

    for field in ("anno_map", "obj_masks", "groundtruth"):
        collect(record.get(field))
    return list(found)


def _write_dictionary(path: Path, tracks: Mapping[str, Any]) -> None:
    """In the form that the name stands for: pickle, objects with `segmentations`, or plain lists."""
    if path.suffix == ".pkl":
        with whole_file(path) as partial:
            partial.write_bytes(pickle.dumps(dict(tracks), PICKLE_PROTOCOL))
        return
    wraps = path.name == DICTIONARIES["val"]["lvvis"]
    rows = (
        f"{json.dumps(mask_id)}: {_to_json({'segmentations': track} if wraps else track)}"
        for mask_id, track in tracks.items()
    )
    write_text(path, _listed(rows, "{}"))


def _listed(texts: Iterable[str], brackets: str = "[]") -> Iterator[str]:
    """A list or object as `json.dump` writes it."""
    yield brackets[0]
    for number, text in enumerate(texts):
        yield f", {text}" if number else text
    yield brackets[1]


def _to_json(track: Any) -> str:
    return json.dumps(track, default=lambda counts: counts.decode("ascii"))
