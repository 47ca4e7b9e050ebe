from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.corpus import find_corpus, open_corpus
from sama_plugin.data.mixture import SourceConfig, read_source
from sama_plugin.data.record_facts import RecordFacts
from sama_plugin.data.subset import ALL, OTHERS, Subset, Wishes, choose_subset, length_name
from sama_plugin.data.subset_folder import format_subset, format_subset_page, write_subset
from sama_plugin.errors import DataError
from tests.data.page_reading import Page


def row(record: int, source: str = "a", words: int = 10, **tasks: int) -> RecordFacts:
    return RecordFacts(record, f"v{record}", source, tasks or {"referring": 1}, words)


def numbers(subset: Subset) -> list[int]:
    return [one.record for one in subset.kept]


def test_without_wishes_all_is_kept() -> None:
    rows = [row(k) for k in range(5)]
    subset = choose_subset(rows, Wishes(), 0)
    assert (subset.kept, subset.dropped, subset.limits) == (rows, [], {})


def test_a_cap_holds_and_the_reason_is_given() -> None:
    subset = choose_subset([row(0, referring=3), row(1, referring=3)], Wishes({("task", "referring"): 5}), 0)
    (dropped,) = subset.dropped
    assert subset.taken["task", "referring"] == 3
    assert (dropped.cell, dropped.has, dropped.kept) == (("task", "referring"), 3, 3)
    assert "task:referring" in format_subset(subset)


def test_a_share_allows_what_the_scarcest_can_fill() -> None:
    rows = [row(k) for k in range(90)] + [row(90 + k, temporal=1) for k in range(10)]
    subset = choose_subset(rows, Wishes(shares={("task", "temporal"): 0.25}), 0)
    assert subset.limits[ALL] == 40
    assert (subset.taken["task", "temporal"], subset.taken["task", "referring"]) == (10, 30)
    assert subset.taken["task", OTHERS] == 30


def test_even_dimensions_get_equal_shares() -> None:
    rows = (
        [row(k, "a") for k in range(30)] + [row(30 + k, "b") for k in range(7)] + [row(40, "c"), row(41, "c")]
    )
    subset = choose_subset(rows, Wishes(even=("source",)), 0)
    assert [subset.taken["source", name] for name in "abc"] == [2, 2, 2]


def test_total_and_shares_together() -> None:
    rows = [row(k) for k in range(90)] + [row(90 + k, temporal=1) for k in range(10)]
    subset = choose_subset(rows, Wishes(shares={("task", "temporal"): 0.1}, total=20), 0)
    assert (subset.taken["task", "temporal"], subset.taken["task", "referring"]) == (2, 18)


def test_scarce_records_come_in_before_plentiful_ones_fill_their_cells() -> None:
    rows = [row(k, referring=1) for k in range(50)] + [row(50, referring=1, temporal=1)]
    for seed in range(5):
        kept = numbers(choose_subset(rows, Wishes({("task", "referring"): 3}), seed))
        assert 50 in kept
        assert len(kept) == 3


def test_seed_decides_among_equals() -> None:
    rows = [row(k) for k in range(50)]
    wishes = Wishes(total=10)
    first = numbers(choose_subset(rows, wishes, 0))
    assert first == numbers(choose_subset(rows, wishes, 0)) == sorted(first)
    assert first != numbers(choose_subset(rows, wishes, 1))


@pytest.mark.parametrize(
    ("words", "name"),
    [(0, "0-24"), (24, "0-24"), (25, "25-49"), (199, "100-199"), (200, "200+"), (9999, "200+")],
)
def test_lengths(words: int, name: str) -> None:
    assert length_name(words, (25, 50, 100, 200)) == name


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"caps": {("task", "jumping"): 3}}, "no task 'jumping', there is referring, temporal"),
        ({"caps": {("task", "temporal"): -1}}, "Cap of task temporal is -1"),
        ({"total": -1}, "Cap of all is -1"),
        ({"shares": {("task", "temporal"): 1.5}}, "expected 0 to 1"),
        ({"shares": {("task", "temporal"): 0.6, ("task", "referring"): 0.6}}, "come to 1.2"),
        (
            {"shares": {("task", "temporal"): 0.2, ("task", "referring"): 0.2}},
            "expected 1, as every task has one",
        ),
        ({"shares": {("task", "temporal"): 0.2}, "even": ("task",)}, "even and also given"),
        ({"length_edges": (50, 25)}, "expected rising numbers"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(wishes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose_subset([row(0), row(1, temporal=1)], Wishes(**wishes), 0)


def test_nothing_to_choose_from() -> None:
    subset = choose_subset([], Wishes(total=5, even=("task",)), 0)
    assert subset.kept == []
    assert "0 of 0 records kept" in format_subset(subset)


facts = st.builds(
    lambda source, words, referring, temporal: (
        source,
        words,
        {"referring": referring, "temporal": temporal},
    ),
    st.sampled_from("abc"),
    st.integers(0, 300),
    st.integers(1, 5),
    st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(facts, max_size=60), st.integers(0, 60), st.integers(0, 80), st.integers(0, 3))
def test_no_limit_is_passed_and_every_drop_had_no_room(
    made: list[tuple[str, int, dict[str, int]]], cap: int, total: int, seed: int
) -> None:
    rows = [RecordFacts(k, f"v{k}", source, tasks, words) for k, (source, words, tasks) in enumerate(made)]
    caps = {("task", "referring"): cap} if rows else {}
    subset = choose_subset(rows, Wishes(caps, even=("source",), total=total), seed)
    assert len(subset.kept) + len(subset.dropped) == len(rows)
    assert all(subset.taken[cell] <= limit for cell, limit in subset.limits.items())
    assert subset.taken[ALL] == sum(one.num_turns for one in subset.kept)
    for one in subset.dropped:
        assert one.kept + one.has > subset.limits[one.cell]
        assert one.kept <= subset.taken[one.cell]


def test_a_mixture_reads_what_was_kept(shapes_set: Path, tmp_path: Path) -> None:
    corpus = open_corpus(*find_corpus(shapes_set))
    total = sum(len(corpus.record(k)["turns"]) + len(corpus.record(k)["description"]) for k in range(4))
    subset, _, exported = write_subset(corpus, tmp_path, Wishes(total=total - 1), 0, progress=False)
    assert 0 < len(subset.kept) < 4
    source = SourceConfig(str(exported.files[0]), str(exported.files[1]), str(shapes_set))
    assert len(read_source(source, Path())) == len(subset.kept)
    report = json.loads((tmp_path / "balance.json").read_text())
    assert report["kept"] == numbers(subset)
    assert all("of at most" in one["reason"] for one in report["dropped"])
    assert sorted([*report["kept"], *(one["record"] for one in report["dropped"])]) == [0, 1, 2, 3]


def test_page_is_whole_and_escaped() -> None:
    evil = "<script>alert(1)</script>"
    subset = choose_subset([row(k, evil) for k in range(4)], Wishes(total=2), 0)
    page = Page(format_subset_page(evil, subset))
    assert page.addresses == []
    assert "script" not in [tag for tag, _ in page.tags]
    assert evil in page.text
