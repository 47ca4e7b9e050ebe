from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data.check_report import format_codes, format_html, format_text, report_values
from sama_plugin.data.checking import RecordChecker, SourceReport, check_corpora
from sama_plugin.data.corpus import CorpusFiles, open_corpus
from sama_plugin.data.defects import RULES, Defect
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.errors import DataError
from tests.data.planted_defects import GOATS, MORE_PLANTED, PETS, PLANTED, TOLD, Defective
from tests.data.published_fixture import PublishedSet, change_record, write_published


@pytest.fixture(scope="session")
def clean_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PublishedSet]:
    root = tmp_path_factory.mktemp("published")
    return {split: write_published(root / split, split) for split in ("train", "val")}


def copy_of(published: PublishedSet, folder: Path) -> PublishedSet:
    shutil.copytree(published.root, folder / "set")
    return PublishedSet(folder / "set", published.split)


def check(published: PublishedSet, **settings: object) -> list[SourceReport]:
    sources = [CorpusFiles(path, published.masks, published.media) for path in published.records]
    return check_corpora(sources, progress=False, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("split", ["train", "val"])
def test_clean_sets_are_clean(clean_sets: dict[str, PublishedSet], split: str) -> None:
    reports = check(clean_sets[split])
    assert [str(defect) for report in reports for defect in report.defects] == []
    assert sum(report.counts["records"] for report in reports) == {"train": 6, "val": 5}[split]


def test_every_rule_has_a_planted_defect() -> None:
    assert set(PLANTED) == set(RULES)


@pytest.mark.parametrize(("code", "defective"), [*PLANTED.items(), *MORE_PLANTED])
def test_planted_defect_is_found_and_no_other(
    clean_sets: dict[str, PublishedSet], tmp_path: Path, code: str, defective: Defective
) -> None:
    published = copy_of(clean_sets[defective.split], tmp_path)
    defective.plant(published)
    (found,) = [defect for report in check(published) for defect in report.defects]
    assert (found.code, found.record) == (code, defective.record), str(found)


def test_report_does_not_depend_on_workers_and_parts(
    clean_sets: dict[str, PublishedSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    for code in ("root-missing", "region-count", "mask-missing", "odd-tail", "record-twice"):
        PLANTED[code].plant(published)
    (alone,) = check(published)
    monkeypatch.setattr("sama_plugin.data.checking.PART_SIZE", 2)
    (shared,) = check(published, workers=2)
    assert shared == alone
    assert Counter(defect.code for defect in alone.defects) == {
        "root-missing": 1,
        "region-count": 1,
        "mask-missing": 2,
        "odd-tail": 1,
        "record-twice": 1,
    }


def test_check_goes_on_where_it_was_cut_off(
    clean_sets: dict[str, PublishedSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    PLANTED["region-count"].plant(published)
    PLANTED["odd-tail"].plant(published)
    (whole,) = check(published)
    monkeypatch.setattr("sama_plugin.data.checking.PART_SIZE", 1)
    check_part, seen = RecordChecker.check_part, []

    def check_some(self: RecordChecker, part: range) -> dict[str, Any]:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(part.start)
        return check_part(self, part)

    monkeypatch.setattr(RecordChecker, "check_part", check_some)
    with pytest.raises(KeyboardInterrupt):
        check(published, run_path=tmp_path / "run.jsonl")
    with (tmp_path / "run.jsonl").open("a") as file:
        file.write('{"dialogue": "half')  # as a kill in the middle of a line leaves it
    done, seen[:] = list(seen), []
    (report,) = check(published, run_path=tmp_path / "run.jsonl")
    assert (done, seen) == ([0, 1, 2], [3, 4, 5])
    assert report == whole


def test_run_file_may_lie_among_the_masks(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    first = check(published, run_path=published.masks / "run.jsonl")
    assert check(published, run_path=published.masks / "run.jsonl") == first


def test_run_file_of_other_files_is_refused(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    check(published, run_path=tmp_path / "run.jsonl")
    PLANTED["region-count"].plant(published)
    with pytest.raises(DataError, match=r"run\.jsonl holds a run that differs"):
        check(published, run_path=tmp_path / "run.jsonl")


@pytest.mark.parametrize("depth", ["headers", "none"])
def test_media_may_be_looked_at_less_closely(
    clean_sets: dict[str, PublishedSet], tmp_path: Path, depth: str
) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    PLANTED["frame-damaged"].plant(published)
    PLANTED["root-missing"].plant(published)
    (report,) = check(published, media=depth)
    assert list(report.by_code) == (["root-missing"] if depth == "headers" else [])


def test_missing_media_root_is_said_once(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = clean_sets["train"]
    (report,) = check_corpora(
        [CorpusFiles(published.records[0], published.masks, tmp_path / "none")], progress=False
    )
    assert [defect.code for defect in report.defects] == ["root-missing"]


@pytest.mark.parametrize(
    ("settings", "message"), [({"media": "some"}, "media is"), ({"workers": 0}, "workers is 0")]
)
def test_bad_arguments_are_refused(
    clean_sets: dict[str, PublishedSet], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check(clean_sets["train"], **settings)


def test_reader_leaves_out_what_check_says(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    for code in ("region-count", "mask-missing", "role-unknown", "record-form"):
        PLANTED[code].plant(published)
    (report,) = check(published)
    corpus = open_corpus(published.records[0], published.masks, published.media)
    defects: list[Defect] = []
    samples = [sample for sample, _ in read_corpus(corpus, part="both", report=defects.append)]
    turns = [(turn, sample.sample_id.endswith("description")) for sample in samples for turn in sample.turns]
    assert defects == report.defects
    assert sum(not told for _, told in turns) == report.counts["rounds_kept"] == 7 - 2
    assert sum(told for _, told in turns) == report.counts["descriptions_kept"]


def test_json_report_has_every_defect(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    PLANTED["region-count"].plant(published)
    values = json.loads(json.dumps(report_values(check(published))))
    (source,) = values["sources"]
    assert (values["schema"], values["clean"], source["by_code"]) == (
        "sama.check/1",
        False,
        {"region-count": 1},
    )
    assert source["defects"] == [
        {
            "code": "region-count",
            "message": "its question has 2 <mask> but 1 ids of regions",
            "record": 0,
            "round": 0,
            "thing": "",
            "mask_id": "",
            "video": "mevis/train/JPEGImages/ab12cd34",
        }
    ]


def test_page_escapes_what_records_say(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    evil = "<script>alert('x')</script>\"&"
    change_record(TOLD, lambda r: r.update(video=f"mevis/{evil}", description={evil: "text"}))(published)
    page = format_html(check(published))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=", page)
    parser = HTMLParser()
    parser.feed(page)
    parser.close()


def test_text_report_shows_some_of_each_code(clean_sets: dict[str, PublishedSet], tmp_path: Path) -> None:
    published = copy_of(clean_sets["train"], tmp_path)
    for index in (GOATS, PETS):
        change_record(index, lambda r: r["obj_masks"][0].clear())(published)
    text = format_text(check(published), show=1)
    assert "2 region-count: a question has another number" in text
    assert "record 0 (mevis/train/JPEGImages/ab12cd34), round 0: its question has 2 <mask> but 0 ids" in text
    assert "... and 1 more" in text
    assert text.endswith("2 defects in 6 records.")
    assert "No defect in 6 records." in format_text(check(clean_sets["train"]), show=1)


def test_table_of_codes_has_every_code() -> None:
    lines = format_codes().splitlines()
    assert [line.split()[0] for line in lines] == list(RULES)
