from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.cli.main import main
from sama_plugin.data.checking import check_corpora
from sama_plugin.data.conversion import convert_corpus
from sama_plugin.data.corpus import CorpusFiles, JsonCorpus
from sama_plugin.data.defects import RULES
from tests.data.planted_defects import PLANTED, VAL_MEVIS
from tests.data.published_fixture import PublishedSet, train_records, write_published

ABOUT_FILES_OR_MEDIA = {
    code
    for code, rule in RULES.items()
    if rule.costs in ("file", "video") or code in ("key-twice", "frame-size")
}


def open_set(published: PublishedSet, file: int = 0) -> JsonCorpus:
    return JsonCorpus(published.records[file], published.masks, published.media)


def test_clean_records_only_get_todays_tokens(tmp_path: Path) -> None:
    converted = convert_corpus(open_set(write_published(tmp_path / "set")), "clean")
    wanted = train_records()
    wanted[0]["groundtruth"][1] = [[41, 42]]
    wanted[0]["description"].pop("<obj1>")  # has no masks
    wanted[3]["conversation"][1]["value"] = "<p> The left one </p> [SEG] is faster."
    assert converted.records == wanted


@pytest.mark.parametrize(
    "code", sorted(set(RULES) - ABOUT_FILES_OR_MEDIA - {"phrase-brackets", "video-id-twice"})
)
def test_what_was_converted_is_clean(tmp_path: Path, code: str) -> None:
    defective = PLANTED[code]
    published = write_published(tmp_path / "set", defective.split)
    defective.plant(published)
    records = published.records[VAL_MEVIS if defective.split == "val" else 0]
    out = tmp_path / "out"
    target = "bench" if defective.split == "val" else "clean"
    assert main(["data", "convert", str(records), "--to", target, "--out", str(out)]) == 0
    (report,) = check_corpora(
        [CorpusFiles(out / "records.json", out / "masks", published.media)], progress=False
    )
    assert [str(defect) for defect in report.defects] == []
    assert report.counts["records"] >= (4 if defective.split == "train" else 1)


def test_bench_ids_are_unique_and_those_that_are_there_stay(tmp_path: Path) -> None:
    train = write_published(tmp_path / "train")
    records: list[Any] = convert_corpus(open_set(train), "bench").records
    asked = [m["question_id"] for r in records for m in r.get("conversation", [])[0::2]]
    told = [i for r in records for i in r["description_id"].values()]
    assert asked == list(range(7))
    assert told == list(range(9))
    assert all(r["description_id"].keys() == r["description"].keys() for r in records)
    val = write_published(tmp_path / "val", "val")
    (shard,) = convert_corpus(open_set(val, 0), "bench").records
    assert shard == json.loads(val.records[0].read_text())[0]


def test_training_data_have_no_ids_of_a_benchmark(tmp_path: Path) -> None:
    val = write_published(tmp_path / "val", "val")
    (record,) = convert_corpus(open_set(val), "train").records
    wanted = json.loads(val.records[0].read_text())[0]
    del wanted["description_id"], wanted["conversation"][0]["question_id"]
    assert record == wanted
