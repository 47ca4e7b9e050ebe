from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.corpus import find_corpus, open_corpus
from sama_plugin.data.record_facts import RecordFacts, gather_facts
from sama_plugin.data.split_folder import format_split, write_split
from sama_plugin.data.splitting import Part, part_sizes, read_parts, split_videos
from sama_plugin.errors import DataError
from tests.data.planted_defects import PLANTED
from tests.data.published_fixture import write_published

THREE = (Part("train", 0.8), Part("val", 0.1), Part("test", 0.1))


def row(record: int, video: str, source: str = "a", words: int = 10, **tasks: int) -> RecordFacts:
    return RecordFacts(record, video, source, tasks or {"referring": 1}, words)


@pytest.mark.parametrize(
    ("texts", "num_videos", "sizes"),
    [
        (["train=0.8", "val=0.1", "test=0.1"], 100, [80, 10, 10]),
        (["train=rest", "test=7"], 20, [13, 7]),
        (["train=rest", "test=0.25"], 10, [8, 2]),
        (["a=0.5", "b=0.5"], 3, [2, 1]),
        (["a=2", "b=3"], 5, [2, 3]),
    ],
)
def test_sizes_are_exact(texts: list[str], num_videos: int, sizes: list[int]) -> None:
    assert part_sizes(read_parts(texts), num_videos) == sizes


@pytest.mark.parametrize(
    ("texts", "num_videos", "message"),
    [
        (["train=0.8", "val=0.1"], 100, "come to 90 of 100 videos"),
        (["train=rest", "val=15"], 12, "come to 15 of 12"),
        (["train=rest", "val=12"], 12, "train would get none"),
        (["train=0.9", "val=0.1"], 0, "would get none of 0"),
        (["train=1"], 9, "two or more"),
        (["a=rest", "b=rest"], 9, "one 'rest'"),
        (["a=0.5", "a=0.5"], 9, "names of their own"),
        (["../a=0.5", "b=0.5"], 9, "no name for a folder"),
        (["a=0", "b=rest"], 9, "size '0'"),
        (["a=1.5", "b=rest"], 9, "size '1.5'"),
        (["a=nan", "b=rest"], 9, "size 'nan'"),
        (["a", "b=rest"], 9, "size ''"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(texts: list[str], num_videos: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        part_sizes(read_parts(texts), num_videos)


def test_every_part_gets_its_share_of_each_source_and_task() -> None:
    rows = [
        row(k, f"v{k}", "ab"[k % 2], referring=3, **({"temporal": 1} if k % 5 == 0 else {}))
        for k in range(200)
    ]
    given_to = split_videos(rows, THREE, seed=3)
    temporal = Counter((given_to[one.video], one.source) for one in rows if "temporal" in one.tasks)
    assert temporal == {
        (part, source): n for part, n in (("train", 16), ("val", 2), ("test", 2)) for source in "ab"
    }
    whole = Counter((given_to[one.video], one.source) for one in rows)
    assert whole == {
        (part, source): n for part, n in (("train", 80), ("val", 10), ("test", 10)) for source in "ab"
    }


def test_seed_decides_and_order_of_records_does_not() -> None:
    rows = [row(k, f"v{k}") for k in range(40)]
    first = split_videos(rows, THREE, 0)
    assert split_videos(rows[::-1], THREE, 0) == first
    assert split_videos(rows, THREE, 1) != first


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.integers(1, 9)), min_size=40, max_size=80
    ),
    st.integers(0, 9),
)
def test_no_video_is_in_two_parts_and_none_is_lost(records: list[tuple[int, str, int]], seed: int) -> None:
    rows = [row(k, f"v{v}", source, referring=n) for k, (v, source, n) in enumerate(records)]
    videos = {one.video for one in rows}
    parts = (Part("x", None), Part("y", 2.0))
    if len(videos) < 3:
        return
    given_to = split_videos(rows, parts, seed)
    assert set(given_to) == videos
    assert Counter(given_to.values()) == {"x": len(videos) - 2, "y": 2}


def test_parts_are_written_in_the_published_form(shapes_set: Path, tmp_path: Path) -> None:
    corpus = open_corpus(*find_corpus(shapes_set))
    made, facts = write_split(corpus, tmp_path, read_parts(["a=1", "b=1"]), 0, progress=False)
    assert not facts.unusable
    texts = []
    for part in made:
        written = open_corpus(*find_corpus(tmp_path / part.name, video_root=shapes_set))
        texts += [written.record_text(k) for k in range(len(written))]
        assert len({written.record(k)["video"] for k in range(len(written))}) == 1
        assert len(gather_facts(written, progress=False).rows) == 2
    assert sorted(texts) == sorted(corpus.record_text(k) for k in range(len(corpus)))
    report = json.loads((tmp_path / "split.json").read_text())
    assert report["schema"] == "sama.split/1"
    assert [len(part["videos"]) for part in report["parts"].values()] == [1, 1]
    assert [line.split()[0] for line in format_split(made).splitlines()[:3]] == ["part", "a", "b"]


def test_records_of_which_nothing_is_left_go_nowhere(tmp_path: Path) -> None:
    published = write_published(tmp_path / "set")
    PLANTED["record-form"].plant(published)
    (records,) = published.records
    corpus = open_corpus(records, published.masks, published.media)
    made, facts = write_split(corpus, tmp_path / "out", read_parts(["a=2", "b=rest"]), 0, progress=False)
    assert sum(len(part.rows) for part in made) == 5
    assert list(facts.unusable.values()) == [["record-form"]]
