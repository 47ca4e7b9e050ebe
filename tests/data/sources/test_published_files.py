"""The readers on the published files as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sama_plugin.data.corpus import JsonCorpus, open_corpus
from sama_plugin.data.defects import DefectError
from sama_plugin.data.sources.sama239k import INTERLEAVED_REQUEST, Record, read_corpus
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import decode_mask
from tests.data.planted_defects import swap_dictionary
from tests.data.published_fixture import (
    HEIGHT,
    WIDTH,
    PublishedSet,
    grey,
    rle,
    train_records,
    write_published,
)


def read(published: PublishedSet, file: int = 0, **settings: object) -> dict[str, Record]:
    corpus = open_corpus(published.records[file], published.masks, published.media, "sama239k")
    records = read_corpus(corpus, strict=True, **settings)  # type: ignore[arg-type]
    return {record.sample.sample_id: record for record in records}


def test_train_file_gives_a_sample_per_record(train: PublishedSet) -> None:
    records = read(train)
    assert list(records) == [
        "ab12cd34/0", "told/1/description", "12/2", "0a7b27fde9/3", "2400171624/4", "sav_000001/5",
    ]  # fmt: skip
    assert [record.raw for record in records.values()] == train_records()
    goats = records["ab12cd34/0"].sample
    assert [turn.region_ids for turn in goats.turns] == [("41", "42"), ()]
    assert [turn.target_ids for turn in goats.turns] == [(("41",), ("42",)), (("41", "42"),)]
    assert goats.turns[1].question == "Where is the herd, and is there a dog?" + INTERLEAVED_REQUEST
    assert records["0a7b27fde9/3"].sample.turns[0].answer == "<p> The left one </p> [SEG] is faster."


def test_objects_without_masks_are_not_described(train: PublishedSet) -> None:
    records = read(train, part="description")
    turns = records["ab12cd34/0/description"].sample.turns
    assert [(turn.region_ids, turn.answer) for turn in turns] == [
        (("41",), "A small white goat."),
        (("42",), "A tall goat."),
    ]


@pytest.mark.parametrize(
    ("sample_id", "levels"),
    [
        ("ab12cd34/0", [0, 1, 2]),
        ("told/1/description", [1, 0]),
        ("12/2", [0, 5]),
        ("0a7b27fde9/3", [0, 5, 10]),
        ("2400171624/4", [0, 4]),
        ("sav_000001/5", [0, 4, 8, 12]),
    ],
)
def test_clip_of_a_sample_has_the_frames_that_masks_stand_for(
    train: PublishedSet, sample_id: str, levels: list[int]
) -> None:
    sample = read(train)[sample_id].sample
    clip = open_sample_clip(sample)
    assert (clip.height, clip.width) == (HEIGHT, WIDTH)
    assert {len(track) for track in sample.masks.values()} == {clip.num_frames}
    found = clip.read(range(clip.num_frames)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, [grey(k) for k in levels], atol=4)


def test_masks_of_all_forms_are_the_same_tracks(train: PublishedSet) -> None:
    records = read(train)
    goats = records["ab12cd34/0"].sample.masks
    assert goats["41"] == [rle(41, 0), None, rle(41, 2)]
    both = goats["42"][1]
    assert both is not None
    np.testing.assert_array_equal(decode_mask(both), decode_mask(rle(42, 1)) | decode_mask(rle(44, 1)))
    first = records["0a7b27fde9/3"].sample.masks["3"][0]
    assert first is not None
    np.testing.assert_array_equal(decode_mask(first), decode_mask(rle(3, 0)))


def test_val_shards_give_a_sample_per_record(val: PublishedSet) -> None:
    names = [path.stem for path in val.records]
    found = {name: next(iter(read(val, file).values())).sample for file, name in enumerate(names)}
    assert {name: sample.sample_id for name, sample in found.items()} == {
        "VidSTG_0": "77/0", "lvvis_0": "37/0", "lvvis_1": "38/0", "mevis": "ff00/0", "ref_youtube_vos_0": "0b/0",
    }  # fmt: skip
    assert found["lvvis_0"].video_path == str(val.media / "lvvis/val/JPEGImages/00037")
    assert found["lvvis_0"].masks == {"9": [rle(9, 0), rle(9, 1)]}
    assert all(open_sample_clip(sample).num_frames == 2 for sample in found.values())


def test_one_dictionary_serves_records_of_any_name(tmp_path: Path, train: PublishedSet) -> None:
    record = train_records()[1] | {"video": "videos/saved/told"}
    (tmp_path / "r.json").write_text(json.dumps([record]))
    corpus = open_corpus(tmp_path / "r.json", train.dictionary("mevis"), train.media)
    ((sample, _),) = read_corpus(corpus, strict=True)
    assert (sample.frame_step, list(sample.masks)) == (1, ["43"])


def test_dictionaries_are_read_when_first_asked_for(train: PublishedSet, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    corpus = JsonCorpus(train.records[0], tmp_path / "masks", train.media)
    assert len(corpus) == 6
    with pytest.raises(DefectError, match=r"mevis_train_mask_dict\.json does not exist; check the folder"):
        corpus.track(corpus.record(0), "41")


def test_masks_of_sa2va_are_not_taken_for_those_of_sama(tmp_path: Path) -> None:
    published = write_published(tmp_path / "set")
    swap_dictionary(published)
    corpus = open_corpus(published.records[0], published.masks, published.media)
    with pytest.raises(DefectError, match=r"its keys count expressions .* ref_youtube_train_mask_dict\.pkl"):
        corpus.track(corpus.record(3), "3")


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[1,2]", '[ {"a": [1]} ,\n{"b": "]"} ]\n'])
def test_text_of_each_record_is_that_of_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    (tmp_path / "m.json").write_text("{}")
    corpus = open_corpus(tmp_path / "r.json", tmp_path / "m.json", tmp_path)
    assert [corpus.record(i) for i in range(len(corpus))] == json.loads(text)
    assert all(corpus.record_text(i) in text for i in range(len(corpus)))
