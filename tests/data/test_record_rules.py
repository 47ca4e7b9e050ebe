from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.checking import RecordChecker
from sama_plugin.data.corpus import JsonCorpus
from sama_plugin.data.defects import RULES, Defect
from sama_plugin.data.record_rules import find_defects, kept_rounds
from sama_plugin.data.sources.sama239k import make_samples
from sama_plugin.schema import Rle
from tests.data.published_fixture import track, train_records, write_published

MASKS: dict[str, Any] = {"41": track(41, 3), "42": track(42, 3), "9": [None] * 3}


def defects_of(masks: dict[str, Any] = MASKS, **changes: Any) -> list[Defect]:
    return find_defects(train_records()[0] | changes, masks.get, deep=True)


def test_record_of_the_format_has_no_defect() -> None:
    assert defects_of() == []


def test_defect_of_a_mask_is_said_once_and_costs_every_round_that_means_it() -> None:
    record = train_records()[0]
    defects = find_defects(record, {"41": MASKS["41"]}.get)
    assert [(one.code, one.mask_id) for one in defects] == [("mask-missing", "42")]
    assert kept_rounds(record, defects) == []


def test_entries_without_ids_stand_for_no_seg() -> None:
    assert defects_of(groundtruth=[[[], [41], [42], []], [[41, 42]]]) == []
    (defect,) = defects_of(groundtruth=[[[41], []], [[41, 42]]])
    assert (defect.code, defect.round) == ("seg-count", 0)


def test_every_fault_of_a_round_is_said() -> None:
    conversation = copy.deepcopy(train_records()[0]["conversation"])
    conversation[2].update({"from": "user", "value": " "})
    conversation[3].update(value="<p></p> [SEG] [SEG]")
    codes = [one.code for one in defects_of(conversation=conversation)]
    assert codes == ["role-unknown", "question-empty", "seg-count", "phrase-brackets"]


@pytest.mark.parametrize(
    "answer", ["</p> a <p> [SEG]", "<p> a [SEG]", "<p> <p> a </p> </p> [SEG]", "a </p> [SEG]"]
)
def test_brackets_that_are_no_pairs(answer: str) -> None:
    conversation = copy.deepcopy(train_records()[0]["conversation"])
    conversation[3].update(value=answer)
    assert [one.code for one in defects_of(conversation=conversation)] == ["phrase-brackets"]


@pytest.mark.parametrize(
    "changes",
    [
        {"video": 3},
        {"video": ""},
        {"frames": "00000"},
        {"frames": ["00000", 1, "00002"]},
        {"frames": [{"raw_filename": ""}] * 3},
        {"height": 0},
        {"width": 1.5},
        {"height": True},
        {"anno_map": {"0": 41}},
        {"anno_map": [None]},
        {"conversation": "Q"},
        {"description": ["A goat."]},
        {"description_id": [1]},
        {"frame_step": 0},
        {"turns": {}, "obj_masks": 1},
    ],
)
def test_fields_of_another_form_end_the_look_at_a_record(changes: dict[str, Any]) -> None:
    assert {one.code for one in defects_of(**changes)} == {"record-form"}


@pytest.mark.parametrize("video", ["/etc", "../a", "mevis/../../a", ".", "a\0b"])
def test_videos_outside_the_root_are_refused(video: str) -> None:
    assert [one.code for one in defects_of(video=video)] == ["video-outside"]


@pytest.mark.parametrize(
    "details", [[{}], [{}, []], [{}, {"span": [1]}], [{}, {"span": "12"}], [{"task": 3}, {}], ["x", {}]]
)
def test_details_of_rounds_have_their_own_form(details: list[Any]) -> None:
    assert [one.code for one in defects_of(turns=details)] == ["round-form"]


@pytest.mark.parametrize(
    ("masks", "code"),
    [
        ("none", "track-form"),
        ([1, None, None], "track-form"),
        ([{"size": [1, 2, 3], "counts": ""}, None, None], "track-form"),
        ([{"size": [0, 2], "counts": ""}, None, None], "track-form"),
        ([{"size": [24, 32]}, None, None], "track-form"),
        ([[{"size": [24, 32], "counts": 3}], None, None], "track-form"),
        ([None, None], "track-length"),
        ([None] * 4, "track-length"),
        ([{"size": [32, 24], "counts": [768]}, None, None], "mask-size"),
        ([{"size": [24, 32], "counts": [767]}, None, None], "mask-damaged"),
        ([[], None, None], "region-unseen"),
        ([{"size": [24, 32], "counts": [768]}, None, None], "region-unseen"),
    ],
)
def test_tracks_of_every_kind_of_damage(masks: Any, code: str) -> None:
    (first, *_) = defects_of(MASKS | {"41": masks})
    assert first.code == code


@pytest.mark.parametrize("text", ["It moves [SEG].", "It moves <seg>.", 3])
def test_descriptions_are_plain_text(text: Any) -> None:
    assert [one.code for one in defects_of(description={"<obj0>": text})] == ["description-form"]


def test_size_is_that_of_the_first_mask_where_the_record_has_none() -> None:
    other: list[Rle | None] = [*MASKS["41"][:2], {"size": [32, 24], "counts": [0, 768]}]
    record = train_records()[0] | {"height": None, "width": None}
    assert find_defects(record, MASKS.get) == []
    (defect,) = find_defects(record, (MASKS | {"41": other}).get)
    assert (defect.code, defect.mask_id) == ("mask-size", "41")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 50) | st.floats() | st.sampled_from(["", "a", "<mask>", "[SEG]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["from", "value", "<obj0>"]), inner),
    max_leaves=5,
)  # fmt: skip


def put(value: Any, path: list[int], new: Any) -> Any:
    """A copy with another value somewhere inside."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = keys[path[0] % len(keys)]
    changed = copy.copy(value)
    changed[key] = put(value[key], path[1:], new)
    return changed


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> JsonCorpus:
    published = write_published(tmp_path_factory.mktemp("fuzz") / "set")
    return JsonCorpus(published.records[0], published.masks, published.media)


class OneRecord:
    """A corpus of one record, with the masks and media of another."""

    name, path = "fuzz", Path("fuzz.json")

    def __init__(self, corpus: JsonCorpus, record: Any) -> None:
        self.corpus, self.one = corpus, record
        self.track, self.media, self.files = corpus.track, corpus.media, corpus.files

    def __len__(self) -> int:
        return 1

    def record(self, index: int) -> Any:
        return self.one

    def record_text(self, index: int) -> str:
        return json.dumps(self.one)


@settings(max_examples=100, deadline=None)
@given(number=st.integers(0, 5), path=st.lists(st.integers(0, 20), max_size=5), new=json_values)
def test_no_damage_of_a_record_ends_in_anything_but_defects(
    corpus: JsonCorpus, number: int, path: list[int], new: Any
) -> None:
    damaged = OneRecord(corpus, put(corpus.record(number), path, new))
    records, defects = make_samples(damaged, 0, part="both")
    assert all(defect.code in RULES for defect in defects)
    result = RecordChecker(damaged, corpus.video_root, "headers").check_part(range(1))
    shallow = {one.code for one in defects} - {"frame-size"}
    assert shallow <= {row["code"] for row in result["defects"]} | {"track-length", "mask-size"}
    for sample, _ in records:
        for turn in sample.turns:
            assert turn.question.count("<mask>") == len(turn.region_ids)


@pytest.mark.parametrize("mask_id", ["41", "42"])
def test_lookup_is_asked_for_each_mask_once(mask_id: str) -> None:
    asked: list[str] = []

    def look_up(masks: dict[str, Any], key: str) -> Any:
        asked.append(key)
        return masks.get(key)

    find_defects(train_records()[0], functools.partial(look_up, MASKS))
    assert asked.count(mask_id) == 1
