from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.data.bar_chart import draw_columns, draw_rows, short_number
from sama_plugin.data.corpus import Corpus, open_corpus
from sama_plugin.data.statistics import Statistics, count_words, measure_corpora, overall
from sama_plugin.data.statistics_report import format_html, format_text, statistics_values
from tests.data.page_reading import Page
from tests.data.planted_defects import GOATS, PLANTED, RIDER
from tests.data.published_fixture import PublishedSet, change_record, write_published

EVIL = "<script>alert(1)</script><img src=x>"


def corpus_of(published: PublishedSet) -> Corpus:
    (records,) = published.records
    return open_corpus(records, published.masks, published.media)


def measure(published: PublishedSet) -> list[Statistics]:
    return measure_corpora([corpus_of(published)], progress=False)


@pytest.fixture
def published(tmp_path: Path) -> PublishedSet:
    return write_published(tmp_path / "set")


def test_numbers_of_the_published_fixture_by_hand(published: PublishedSet) -> None:
    sources = {source.name: source for source in measure(published)}
    assert list(sources) == ["mevis", "lvvis", "ref_youtube_vos", "VidSTG", "sav"]
    mevis = sources["mevis"]
    assert len(mevis.videos) == 2
    assert {key: mevis.counts[key] for key in ("records", "dialogues", "turns", "descriptions")} == {
        "records": 2,
        "dialogues": 1,
        "turns": 2,
        "descriptions": 3,
    }
    assert mevis.tasks == {("referring", ""): 1, ("grounding", ""): 1, ("referring", "description"): 3}
    assert mevis.measures["question_words"].counts == {11: 1, 14: 1}  # the request for masks has five
    assert mevis.measures["regions"].counts == {2: 1, 0: 1}
    assert mevis.measures["segments"].counts == {2: 1, 1: 1}
    assert mevis.measures["objects"].counts == {2: 1, 1: 1}
    assert mevis.measures["frames"].counts == {3: 1, 2: 1}
    assert set(sources["sav"].measures["mask_area"].counts) == {3.125}  # 4 × 6 of 24 × 32 pixels
    total = overall(list(sources.values()))
    assert total.counts["records"] == 6
    assert len(total.videos) == 6


def test_own_tasks_are_kept_and_sources_named_by_corpus(shapes_set: Path) -> None:
    corpus = open_corpus(shapes_set / "records.json", shapes_set / "mask_dict.json", shapes_set, "ours")
    (source,) = measure_corpora([corpus], progress=False)
    assert source.name == "ours"
    written = [turn for k in range(len(corpus)) for turn in corpus.record(k)["turns"]]
    asked = {pair: count for pair, count in source.tasks.items() if pair[1] != "description"}
    assert sum(asked.values()) == len(written)
    assert set(asked) == {(turn["task"], turn["kind"]) for turn in written}


def test_what_a_defect_costs_is_left_out_and_said(published: PublishedSet) -> None:
    PLANTED["region-count"].plant(published)
    sources = measure(published)
    assert overall(sources).counts["turns"] == 6
    assert "1 region-count" in format_text(sources)
    assert "region-count" in Page(format_html(sources)).text


def test_a_damaged_mask_is_left_out_of_areas_and_said(published: PublishedSet) -> None:
    PLANTED["mask-damaged"].plant(published)
    total = overall(measure(published))
    assert total.defects == {"mask-damaged": 1}
    assert total.measures["presence"].summary()["num"] == 8


def test_page_is_whole_and_text_stays_text(published: PublishedSet) -> None:
    page = Page(format_html([Statistics(EVIL), *measure(published)]))
    assert page.addresses == []
    assert "script" not in [tag for tag, _ in page.tags]
    assert EVIL in page.text
    assert sum(tag == "svg" for tag, _ in page.tags) == 12


def test_empty_corpus_gives_a_page_and_a_table(tmp_path: Path) -> None:
    assert "0" in format_text([])
    assert "There are no records." in Page(format_html([])).text
    assert statistics_values([])["overall"]["videos"] == 0


def test_records_of_which_nothing_is_left_are_counted(published: PublishedSet) -> None:
    change_record(RIDER, lambda record: record.pop("video"))(published)
    change_record(GOATS, lambda record: record.pop("video"))(published)
    total = overall(measure(published))
    assert total.counts["records"] == 6
    assert total.counts["records_without_samples"] == 2
    assert total.defects == {"record-form": 2}


def test_values_are_plain_and_histograms_add_up(published: PublishedSet) -> None:
    values = statistics_values(measure(published))
    assert values["schema"] == "sama.stats/1"
    for measured in values["overall"]["measures"].values():
        assert sum(measured["histogram"]["count"]) == measured["num"]
    parts = [source["measures"]["mask_area"]["histogram"]["count"] for source in values["sources"]]
    assert [sum(column) for column in zip(*parts, strict=True)] == values["overall"]["measures"]["mask_area"][
        "histogram"
    ]["count"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What is <mask>?", 2),
        ("<p> The goat </p> [SEG].", 2),
        ("", 0),
        ("<p>It</p>[SEG] and <p>he</p>[SEG]", 3),
    ],
)
def test_words_are_without_special_tokens(text: str, words: int) -> None:
    assert count_words(text) == words


def test_charts_stack_and_escape() -> None:
    series = {"a": [1, 0], EVIL: [3, 2]}
    page = Page(
        draw_columns(["x", "y"], series, title=EVIL, x="z") + draw_rows(["x", EVIL], series, title="t")
    )
    bars = [attrs for tag, attrs in page.tags if tag == "rect"]
    assert len(bars) == 6
    assert "img" not in [tag for tag, _ in page.tags]
    heights = [float(bar["height"] or 0) for bar in bars[:3]]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.2)
    assert float(bars[1]["y"] or 0) + heights[1] == pytest.approx(float(bars[0]["y"] or 0), abs=0.2)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (2.5, "2.5"), (950, "950"), (1200, "1.2k"), (35_000, "35k")]
)
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text
