from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data import index_builder, index_rows
from sama_plugin.data.corpus import JsonCorpus, open_corpus
from sama_plugin.data.defects import RULES, DefectError
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.data.index_builder import PARTIAL_SUFFIX, build_index
from sama_plugin.data.index_tables import ALL_RECORDS, connect_to_write, index_beside
from sama_plugin.data.indexed_samples import IndexedSamples
from sama_plugin.data.record_form import TRAIN_DICTIONARIES
from sama_plugin.data.record_rules import find_defects
from sama_plugin.data.selection import columns_of
from sama_plugin.data.sources.sama239k import PARTS, read_corpus
from sama_plugin.errors import DataError
from tests.data.planted_defects import MORE_PLANTED, PLANTED
from tests.data.published_fixture import PublishedSet, write_published
from tests.forked import fork

UNREADABLE = ("file-cut", "file-damaged", "file-form", "pickle-refused")


def build_published(published: PublishedSet, file: int = 0, **settings: Any) -> Path:
    """Index one of the records files of a set."""
    masks = {path.name: path for path in published.masks.iterdir()}
    records = published.records[file]
    return build_index(records, masks, index_beside(records), name="set", progress=False, **settings).path


def build_shapes(folder: Path, out: Path | None = None) -> index_builder.IndexReport:
    records = folder / "records.json"
    masks = {ALL_RECORDS: folder / "mask_dict.json"}
    return build_index(records, masks, out or index_beside(records), name="shapes", progress=False)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with 40 records and as many masks, without media."""
    rle = {"size": [4, 4], "counts": "0:0"}
    records = [
        {
            "video": f"v{i % 7}",
            "video_id": i,
            "conversation": [
                {"from": "human", "value": f"Where is <mask>, the {i}th?"},
                {"from": "gpt", "value": "Here."},
            ],
            "obj_masks": [[i]],
            "groundtruth": [[]],
        }
        for i in range(40)
    ]
    (tmp_path / "records.json").write_text(json.dumps(records))
    (tmp_path / "mask_dict.json").write_text(json.dumps({str(i): [rle, None] for i in range(40)}))
    return tmp_path


def in_json(masks: dict[str, Any]) -> Any:
    """Masks without the tuples and bytes that a pickle may hold."""
    return json.loads(json.dumps(masks, default=bytes.decode))


def assert_same(indexed: IndexedCorpus, plain: JsonCorpus) -> None:
    """Everything that is read by the index is what is read from the files."""
    assert len(indexed) == len(plain)
    for i in range(len(plain)):
        assert indexed.record_text(i) == plain.record_text(i)
        assert repr(indexed.record(i)) == repr(plain.record(i))
    for part in PARTS:
        samples = IndexedSamples(indexed, part)
        expected = [
            dataclasses.replace(record.sample, masks=in_json(record.sample.masks))
            for record in read_corpus(plain, part=part, report=lambda defect: None)
        ]
        assert samples == expected
        found, wanted = samples.turn_columns(), columns_of(expected)
        for name in ("dialogue", "task", "kind", "length"):
            assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
        assert list(found.videos) == list(wanted.videos)
        pairs = [(a, b) for a in range(len(expected)) for b in range(a)]
        assert [found.clips[a] == found.clips[b] for a, b in pairs] == [
            wanted.clips[a] == wanted.clips[b] for a, b in pairs
        ]


@pytest.mark.parametrize("split", ["train", "val"])
def test_index_of_published_files_gives_what_the_files_give(tmp_path: Path, split: str) -> None:
    published = write_published(tmp_path, split)
    for file, records in enumerate(published.records):
        plain = JsonCorpus(records, published.masks, published.media, "set")
        build_published(published, file)
        indexed = open_corpus(records, published.masks, published.media)
        assert isinstance(indexed, IndexedCorpus)
        assert indexed.name == "set"
        assert_same(indexed, plain)


PLANTINGS = [(code, one.plant, one.split) for code, one in [*PLANTED.items(), *MORE_PLANTED]]


@pytest.mark.parametrize(
    ("code", "plant", "split"),
    [
        pytest.param(*row, id=f"{row[0]}-{i}")
        for i, row in enumerate(PLANTINGS)
        if RULES[row[0]].costs not in ("file", "video")
    ],
)
def test_records_with_defects_are_read_alike(tmp_path: Path, code: str, plant: Callable, split: str) -> None:
    published = write_published(tmp_path, split)
    plant(published)
    codes = set()
    for file, records in enumerate(published.records):
        plain = JsonCorpus(records, published.masks, published.media, "set")
        indexed = IndexedCorpus(build_published(published, file), published.media)
        assert_same(indexed, plain)
        for i, (found,) in enumerate(indexed.rows("SELECT defects FROM records ORDER BY position")):
            raw = plain.record(i)
            defects = find_defects(raw, functools.partial(plain.track, raw))
            assert found.split() == sorted({defect.code for defect in defects})
            codes |= set(found.split())
    assert codes <= {code}


@pytest.mark.parametrize(
    ("code", "plant"),
    [
        pytest.param(code, plant, id=f"{code}-{i}")
        for i, (code, plant, split) in enumerate(PLANTINGS)
        if code in UNREADABLE
    ],
)
def test_files_that_cannot_be_read_leave_no_index(tmp_path: Path, code: str, plant: Callable) -> None:
    published = write_published(tmp_path)
    plant(published)
    with pytest.raises(DefectError) as caught:
        build_published(published)
    assert caught.value.defect.code == code
    assert not index_beside(published.records[0]).exists()


def test_missing_files_are_told_all_at_once(tmp_path: Path) -> None:
    masks = {"a": tmp_path / "a.json", "b": tmp_path / "b.json"}
    with pytest.raises(DataError, match=r"No file .*a\.json, no file .*b\.json, no file .*r\.json; give"):
        build_index(tmp_path / "r.json", masks, tmp_path / "i", name="x")


def test_ids_that_come_twice_are_counted_and_the_last_one_counts(small: Path) -> None:
    text = (small / "mask_dict.json").read_text()
    (small / "mask_dict.json").write_text(text[:-1] + ', "5": [null, null], "5": [null]}')
    report = build_shapes(small)
    assert report.doubled == {small / "mask_dict.json": 2}
    assert IndexedCorpus(report.path, small).track({}, "5") == [None]


def test_finished_index_is_left_alone_until_a_file_changes(small: Path) -> None:
    first = build_shapes(small)
    assert first.seconds is not None
    assert build_shapes(small).seconds is None
    os.utime(small / "records.json")  # another date, the same content
    assert build_shapes(small).seconds is None
    assert len(open_corpus(small / "records.json", small / "mask_dict.json", small)) == 40
    text = (small / "records.json").read_text()
    (small / "records.json").write_text(text.replace("0th", "9th"))  # the same size
    with pytest.raises(
        DataError, match=r"is stale: .*records\.json has another content now; run: sama data prepare"
    ):
        open_corpus(small / "records.json", small / "mask_dict.json", small)
    (small / "records.json").write_text(text + "\n")
    with pytest.raises(DataError, match=r"is stale: .*records\.json has \d+ bytes now, had \d+"):
        open_corpus(small / "records.json", small / "mask_dict.json", small)
    assert build_shapes(small).seconds is not None
    assert len(open_corpus(small / "records.json", small / "mask_dict.json", small)) == 40
    (small / "mask_dict.json").unlink()
    with pytest.raises(DataError, match=r"is stale: .*mask_dict\.json is not there any more"):
        IndexedCorpus(first.path, small)


def build_and_die(folder: Path, commits: int) -> None:
    """Build, until `kill -9` comes before one of the commits."""
    remember, left = index_builder._remember, itertools.count(1)

    def remember_or_die(*arguments: Any) -> None:
        if next(left) == commits:
            os.kill(os.getpid(), signal.SIGKILL)
        remember(*arguments)

    index_builder.COMMIT_CHARS = 300
    index_builder._remember = remember_or_die
    build_shapes(folder)


def test_killed_build_goes_on_behind_its_last_commit(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for commits in (3, 9):  # in the masks, then in the records
        process = fork(build_and_die, small, commits)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        index = index_beside(small / "records.json")
        partial = index.with_name(index.name + PARTIAL_SUFFIX)
        assert partial.exists()
        assert not index.exists()
        with pytest.raises(DataError, match="is half-written"):
            IndexedCorpus(partial, small)
    read: list[str] = []
    for store in (index_rows.TrackStore, index_rows.RecordStore):
        add = store.add
        monkeypatch.setattr(
            store, "add", lambda self, entry, add=add: (read.append(entry.key), add(self, entry))
        )
    report = build_shapes(small)
    assert 0 < len(read) < 60
    assert list(report.entries.values()) == [40, 40]
    assert sorted(path.name for path in small.iterdir()) == [
        "mask_dict.json",
        "records.json",
        "records.json.index",
    ]
    plain = JsonCorpus(small / "records.json", small / "mask_dict.json", small, "shapes")
    assert_same(IndexedCorpus(report.path, small), plain)


def test_half_built_index_of_other_files_is_begun_anew(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Any, entry: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index_rows.RecordStore, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            build_shapes(small)
    masks = json.loads((small / "mask_dict.json").read_text())
    (small / "mask_dict.json").write_text(json.dumps({**masks, "99": [None, None]}))
    assert list(build_shapes(small).entries.values()) == [41, 40]


def test_two_builds_at_once_are_refused(small: Path) -> None:
    index = index_beside(small / "records.json")
    partial = index.with_name(index.name + PARTIAL_SUFFIX)
    with (
        contextlib.closing(connect_to_write(partial)),
        pytest.raises(DataError, match="is being built by another process; wait"),
    ):
        build_shapes(small)
    assert build_shapes(small).seconds is not None


def test_place_that_cannot_be_written_is_told(small: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"i\.partial cannot be opened or written in .*records\.json; mend that, or give another place",
    ):
        build_shapes(small, small / "records.json" / "i")


def test_full_disk_is_told_and_nothing_is_lost(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_small_disk(path: Path) -> sqlite3.Connection:
        connection = connect_to_write(path)
        connection.execute("PRAGMA max_page_count = 11")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(index_builder, "connect_to_write", on_small_disk)
        patch.setattr(index_builder, "COMMIT_CHARS", 100)
        with pytest.raises(DataError, match=r"its disk is full; make room, then give the same command again"):
            build_shapes(small)
    assert list(build_shapes(small).entries.values()) == [40, 40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[: len(content) // 2], "is damaged or no index"),
        (lambda content: content[:50], "is damaged or no index"),
        (lambda content: b"", "is damaged or no index"),
        (lambda content: b"[1, 2]" * 999, "is damaged or no index"),
        (
            lambda content: content.replace(b"sama.index/1", b"sama.index/0"),
            "has schema 'sama.index/0', expected",
        ),
    ],
)
def test_file_that_is_no_whole_index_is_refused(small: Path, change: Callable, message: str) -> None:
    index = build_shapes(small).path
    index.write_bytes(change(index.read_bytes()))
    with pytest.raises(DataError, match=message):
        IndexedCorpus(index, small)
    assert build_shapes(small).seconds is not None
    assert len(IndexedCorpus(index, small)) == 40


def test_damage_inside_an_index_is_told_when_it_is_met(small: Path) -> None:
    index = build_shapes(small).path
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("UPDATE record_texts SET value = x'00' WHERE position = 3")
    corpus = IndexedCorpus(index, small)
    assert corpus.record(2)["video_id"] == 2
    with pytest.raises(DataError, match="is damaged"):
        corpus.record(3)
    with pytest.raises(IndexError):
        corpus.record(40)


def test_index_of_other_files_is_refused(small: Path) -> None:
    index = build_shapes(small).path
    other = small / "other.json"
    other.write_text("[]")
    with pytest.raises(
        DataError, match=r"is of .*mask_dict\.json, .*records\.json, asked for .*other\.json with"
    ):
        open_corpus(other, small / "mask_dict.json", small, index=index)
    with pytest.raises(DataError, match=r"asked for .*records\.json with .*other\.json"):
        open_corpus(small / "records.json", other, small, index=index)
    with pytest.raises(DataError, match=r"none\.index does not exist; run: sama data prepare"):
        open_corpus(small / "records.json", other, small, index=small / "none.index")


def test_index_made_without_a_dictionary_says_so(tmp_path: Path) -> None:
    published = write_published(tmp_path)
    masks = {path.name: path for path in published.masks.iterdir()}
    name = TRAIN_DICTIONARIES["mevis"]
    del masks[name]
    with pytest.raises(DefectError, match=f"was made without {name}; get that file"):
        build_index(published.records[0], masks, tmp_path / "i", name="set", progress=False)


def test_folder_can_be_moved_with_its_index(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    build_shapes(small)
    place = tmp_path_factory.mktemp("elsewhere") / "set"
    small.rename(place)
    assert open_corpus(place / "records.json", place / "mask_dict.json", place).record(7)["video_id"] == 7


def read_ids(corpus: IndexedCorpus, start: int) -> list[int]:
    return [corpus.record(i)["video_id"] for i in range(start, 40, 4)]


def test_many_processes_read_at_once(small: Path) -> None:
    corpus = IndexedCorpus(build_shapes(small).path, small)
    corpus.record(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(read_ids, [(corpus, start) for start in range(4)])
    assert sorted(itertools.chain(*found)) == list(range(40))


def test_forked_child_and_threads_read_by_connections_of_their_own(small: Path) -> None:
    corpus = IndexedCorpus(build_shapes(small).path, small)
    found: list[list[int]] = []
    threads = [threading.Thread(target=lambda k=k: found.append(read_ids(corpus, k))) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(itertools.chain(*found)) == list(range(40))
    child = os.fork()
    if child == 0:
        os._exit(0 if read_ids(corpus, 0) == list(range(0, 40, 4)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_ids(corpus, 1) == list(range(1, 40, 4))


def test_samples_pickle_as_paths(small: Path) -> None:
    samples = IndexedSamples(IndexedCorpus(build_shapes(small).path, small))
    packed = pickle.dumps(samples)
    assert b"Where is" not in packed
    assert pickle.loads(packed) == samples
