from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.cli.main import main
from sama_plugin.data.conversion import convert_corpus
from sama_plugin.data.corpus import JsonCorpus, find_corpus, open_corpus
from sama_plugin.data.export import export_corpus
from sama_plugin.data.preparation import find_corpora
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.errors import DataError
from tests.data.planted_defects import PLANTED
from tests.data.published_fixture import (
    HEIGHT,
    WIDTH,
    PublishedSet,
    change_masks,
    read_dictionary,
    track,
    train_masks,
    val_masks,
    write_json,
    write_published,
)


def open_set(published: PublishedSet, file: int = 0) -> JsonCorpus:
    return JsonCorpus(published.records[file], published.masks, published.media)


def test_train_file_comes_back_byte_by_byte(train: PublishedSet, tmp_path: Path) -> None:
    out = PublishedSet(tmp_path / "out", "train")
    export_corpus(open_set(train), out.root, name=train.records[0].name, progress=False)
    assert out.records[0].read_bytes() == train.records[0].read_bytes()
    for dataset, masks in train_masks().items():
        assert read_dictionary(out.dictionary(dataset)) == masks


def test_val_shards_come_back_byte_by_byte(val: PublishedSet, tmp_path: Path) -> None:
    for file, path in enumerate(val.records):
        out = PublishedSet(tmp_path / path.stem, "val")
        export_corpus(open_set(val, file), out.root, progress=False)
        assert out.records[0].read_bytes() == path.read_bytes()
        for written in out.masks.iterdir():
            dataset = next(name for name in val_masks() if out.dictionary(name) == written)
            wanted = val_masks()[dataset]
            assert read_dictionary(written).items() <= wanted.items()


ODD_TEXTS = [
    '{"video":"x/1","n":1.0,"big":123456789012345678901234567890,"e":1e3,"s":"\\u00e4 \\ud83d\\ude00 /"}',
    '{ "video" : "x/2",\r\n\t"obj_masks": [ [1 ] ],  "s": "ä 😀" }',
    '{"video": "x/3", "video": "x/4", "z": null, "a": [true, false]}',
    '"no record"',
]


@pytest.mark.parametrize("order", [None, [2, 0], []])
def test_text_of_each_record_is_kept_however_it_was_written(tmp_path: Path, order: list[int] | None) -> None:
    (tmp_path / "r.json").write_bytes(("[\n" + " ,\n ".join(ODD_TEXTS) + "\n]\n").encode())
    write_json(tmp_path / "m.json", {"1": [None]})
    corpus = open_corpus(tmp_path / "r.json", tmp_path / "m.json", tmp_path)
    export_corpus(corpus, tmp_path / "out", indices=order, progress=False)
    wanted = [ODD_TEXTS[i] for i in (range(4) if order is None else order)]
    assert (tmp_path / "out/records.json").read_bytes() == f"[{', '.join(wanted)}]".encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
styles = st.fixed_dictionaries(
    {"indent": st.sampled_from([None, 0, 2, "\t"]), "ensure_ascii": st.booleans(), "sort_keys": st.booleans()}
)


@settings(max_examples=50, deadline=None)
@given(records=st.lists(json_values, max_size=4), style=styles)
def test_records_of_any_style_and_content_come_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], style: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    texts = [json.dumps(record, **style) for record in records]
    try:
        content = f"[{' , '.join(texts)}]".encode()
    except UnicodeEncodeError:  # half a character outside of ASCII, which UTF-8 has no bytes for
        return
    (folder / "r.json").write_bytes(content)
    write_json(folder / "m.json", {})
    export_corpus(open_corpus(folder / "r.json", folder / "m.json", folder), folder / "out", progress=False)
    assert (folder / "out/records.json").read_bytes() == f"[{', '.join(texts)}]".encode()


def test_what_is_read_from_an_export_is_what_was_read_before(train: PublishedSet, tmp_path: Path) -> None:
    export_corpus(open_set(train), tmp_path, progress=False)
    again = open_corpus(*find_corpus(tmp_path, video_root=train.media)[:3], train.records[0].stem)
    assert list(read_corpus(again, part="both")) == list(read_corpus(open_set(train), part="both"))


def test_own_sets_have_one_dictionary(shapes_set: Path, tmp_path: Path) -> None:
    corpus = open_corpus(*find_corpus(shapes_set)[:3])
    written = export_corpus(corpus, tmp_path, progress=False)
    assert written.files == [tmp_path / "records.json", tmp_path / "mask_dict.json"]
    masks = json.loads((tmp_path / "mask_dict.json").read_text())
    assert masks.items() <= json.loads((shapes_set / "mask_dict.json").read_text()).items()
    assert [json.loads(corpus.record_text(i)) for i in range(len(corpus))] == json.loads(
        (tmp_path / "records.json").read_text()
    )


class MixedCorpus:
    """Two records, of which only one is of a published data set."""

    name, path = "mixed", Path("mixed.json")

    def __init__(self, same: bool) -> None:
        self.same = same

    def __len__(self) -> int:
        return 2

    def record(self, index: int) -> dict[str, Any]:
        return {"video": ("mevis/train/a", "own/b")[index], "anno_map": [1, -1]}

    def record_text(self, index: int) -> str:
        return json.dumps(self.record(index))

    def track(self, record: Any, mask_id: str) -> Any:
        return [None] if self.same or record["video"] == "own/b" else [None, None]

    def media(self, record: Any) -> Path:
        return Path(record["video"])

    def files(self) -> list[Path]:
        return []


@pytest.mark.parametrize("is_indexed", [False, True])
def test_corpus_is_not_written_over_itself(tmp_path: Path, is_indexed: bool) -> None:
    published = write_published(tmp_path / "set")
    (records,) = published.records
    if is_indexed:
        assert main(["data", "prepare", str(records), "--masks", str(published.masks)]) == 0
    corpus = open_corpus(records, published.masks, published.media)
    before = {path: path.read_bytes() for path in published.root.rglob("*") if path.is_file()}
    for source in (corpus, convert_corpus(corpus, "clean")):
        with pytest.raises(DataError, match="would destroy the data"):
            export_corpus(source, published.root, indices=[0], name=records.name, progress=False)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_ids_that_mean_two_things_are_not_mixed_up(tmp_path: Path) -> None:
    export_corpus(MixedCorpus(same=True), tmp_path / "a", progress=False)
    assert json.loads((tmp_path / "a/mask_dict.json").read_text()) == {"1": [None]}
    with pytest.raises(DataError, match="Mask id 1 means one thing in record 0 and another in record 1"):
        export_corpus(MixedCorpus(same=False), tmp_path / "b", progress=False)


def test_defective_records_are_exported_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = write_published(tmp_path / "set")
    for code in ("mask-missing", "round-form", "record-form", "region-count", "odd-tail"):
        PLANTED[code].plant(published)
    (records,) = published.records
    assert main(["data", "export", str(records), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/records.json").read_bytes() == records.read_bytes()
    said = capsys.readouterr()
    assert "1 ids have no masks and are left out, such as 1:43" in said.err
    assert "6 records and 8 masks written" in said.out


def test_export_of_an_export_of_mask_size_is_equal(tmp_path: Path) -> None:
    published = write_published(tmp_path / "set")
    change_masks("sav", lambda m: m.update({"900": track(900, 4, absent=(2,))}))(published)
    export_corpus(open_set(published), tmp_path / "one", progress=False)
    one = PublishedSet(tmp_path / "one", "train")
    export_corpus(JsonCorpus(one.records[0], one.masks, published.media), tmp_path / "two", progress=False)
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file():
            assert (tmp_path / "two" / path.relative_to(one.root)).read_bytes() == path.read_bytes()
    assert tuple(read_dictionary(one.dictionary("sav"))["900"][0]["size"]) == (HEIGHT, WIDTH)


def test_folder_of_published_dictionaries_is_found_under_any_name(
    train: PublishedSet, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    shutil.copytree(train.root, root)
    (root / "masks").rename(root / "mask_dict")
    (root / "a" / "deeper").mkdir(parents=True)
    shutil.copy(root / "mask_dict" / train.dictionary("sav").name, root / "a")
    records = root / train.records[0].name
    assert find_corpus(records).masks == root / "mask_dict"
    assert [files.masks for files in find_corpora(root)] == [root / "mask_dict"]
    write_json(tmp_path / "alone.json", [])
    assert find_corpus(tmp_path / "alone.json").masks == tmp_path


@pytest.mark.parametrize("layout", ["own", "published"])
def test_usual_places_are_found(tmp_path: Path, layout: str) -> None:
    write_json(tmp_path / "records.json", [])
    if layout == "own":
        write_json(tmp_path / "mask_dict.json", {})
    else:
        (tmp_path / "masks").mkdir()
        (tmp_path / "media").mkdir()
    masks, media = ("mask_dict.json", "") if layout == "own" else ("masks", "media")
    wanted = (tmp_path / "records.json", tmp_path / masks, tmp_path / media)
    assert find_corpus(tmp_path)[:3] == find_corpus(tmp_path / "records.json")[:3] == wanted
    with pytest.raises(DataError, match="does not exist"):
        find_corpus(tmp_path / "none")
