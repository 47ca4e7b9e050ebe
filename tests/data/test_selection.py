from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.selection import Chain, Selection, TurnColumns, lengths_of, tasks_of
from sama_plugin.schema import Sample, Turn

TURNS = st.builds(
    lambda task, kind, words: Turn("q" * words, "a", task=task, kind=kind),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["k", "l", "m"]),
    st.integers(1, 9),
)
SAMPLES = st.lists(
    st.builds(
        lambda video, turns: (video, tuple(turns)),
        st.sampled_from("ab"),
        st.lists(TURNS, min_size=1, max_size=4),
    ),
    max_size=9,
).map(lambda rows: [Sample(str(i), video, turns, {}) for i, (video, turns) in enumerate(rows)])


def by_reading(samples: list[Sample], kinds: list[str], tasks: list[str], merge: int) -> list[Sample]:
    """The same choice, by a loop written for reading."""
    kept = []
    for sample in samples:
        turns = tuple(
            t for t in sample.turns if (not kinds or t.kind in kinds) and (not tasks or t.task in tasks)
        )
        if turns:
            kept.append(dataclasses.replace(sample, turns=turns))
    joined = []
    for _, run in itertools.groupby(kept, key=lambda sample: sample.video_path):
        members = list(run)
        for i in range(0, len(members), merge):
            part = members[i : i + merge]
            joined.append(dataclasses.replace(part[0], turns=sum((s.turns for s in part), ())))
    return joined


class OnDisk(list):
    """Samples that know their columns and count how often they are read."""

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)

    def turn_columns(self) -> TurnColumns:
        rows = [
            (i, t.task, t.kind, len(t.question) + len(t.answer))
            for i, s in enumerate(list.__iter__(self))
            for t in s.turns
        ]
        videos = [s.video_path for s in list.__iter__(self)]
        return TurnColumns.of_rows(rows, videos, videos)


@settings(max_examples=60, deadline=None)
@given(
    SAMPLES,
    st.lists(st.sampled_from("klm"), max_size=2),
    st.lists(st.sampled_from("xy"), max_size=1),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_choice_by_columns_is_the_choice_by_reading(samples, kinds, tasks, merge, repeat) -> None:
    expected = by_reading(samples, kinds, tasks, merge) * repeat
    on_disk = OnDisk(samples)
    for dialogues in (samples, on_disk):
        chosen = Selection(dialogues, kinds=kinds, tasks=tasks, merge=merge, repeat=repeat)
        assert on_disk.reads == 0
        assert tasks_of(chosen) == tasks_of(expected)
        assert lengths_of(chosen) == lengths_of(expected)
        assert chosen.videos == {sample.video_path for sample in expected}
        assert len(chosen) == len(expected)
        assert chosen == expected
        on_disk.reads = 0


def test_examples_are_taken_by_index_and_slice() -> None:
    samples = [Sample(str(i), "v", (Turn("q", "a"),), {}) for i in range(4)]
    chosen = Selection(samples, merge=2, repeat=2)
    assert [chosen[i].sample_id for i in (0, 1, 2, 3, -1)] == ["0", "2", "0", "2", "2"]
    assert [sample.sample_id for sample in chosen[1:3]] == ["2", "0"]
    assert len(chosen[0].turns) == 2


def test_chain_is_its_parts_one_after_the_other() -> None:
    samples = [Sample(str(i), "v", (Turn("q", "a"),), {}) for i in range(5)]
    chain = Chain([samples[:2], [], samples[2:]])
    assert chain == samples
    assert chain[-1] is samples[4]
    assert chain[1:4] == samples[1:4]
    assert len(Chain([])) == 0


def test_video_of_no_path_is_none() -> None:
    assert Selection([Sample("0", "", (Turn("q", "a"),), {})]).videos == frozenset()
    assert np.array(Selection([]).lengths).size == 0


def test_length_counts_the_turns_that_are_drawn() -> None:
    class Drawn(OnDisk):
        def turn_columns(self) -> TurnColumns:
            return dataclasses.replace(super().turn_columns(), num_drawn=2)

    few, many = (Sample(v, v, (Turn("q" * 9, "a"),) * n, {}, num_drawn=2) for v, n in (("v", 1), ("w", 8)))
    chosen = Selection(Drawn([few, many]))
    assert (chosen.lengths, chosen.paths) == ([10, 20], ["v", "w"])
