from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data.distribution import Bins, Distribution, nice_step, whole_bins


def filled(values: list[float], digits: int = 0) -> Distribution:
    made = Distribution(digits)
    for value in values:
        made.add(value)
    return made


def test_summary_of_a_case_by_hand() -> None:
    summary = filled([1, 1, 2, 10]).summary()
    assert summary == {
        "num": 4,
        "mean": 3.5,
        "min": 1,
        "p5": 1,
        "p25": 1,
        "median": 1,
        "p75": 2,
        "p95": 10,
        "max": 10,
    }
    assert Distribution().summary() == {"num": 0}


def test_values_are_rounded_so_that_memory_is_bounded() -> None:
    made = filled([k / 1e6 for k in range(5000)], digits=3)
    assert len(made) == 5000
    assert len(made.counts) == 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1))
def test_summary_is_of_the_values(values: list[int]) -> None:
    summary = filled(list(values)).summary()
    assert summary["median"] == statistics.median_low(values)
    assert summary["mean"] == pytest.approx(statistics.fmean(values))
    assert (summary["min"], summary["max"]) == (min(values), max(values))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_every_value_is_in_one_bin(values: list[int]) -> None:
    made = filled(list(values))
    bins = whole_bins(made)
    assert len(bins.edges) == len(bins.labels) <= 24
    assert sum(made.histogram(bins)) == len(values)


def test_a_few_values_far_out_do_not_flatten_the_picture() -> None:
    bins = whole_bins(filled([*range(10)] * 10 + [5000]))
    assert bins.labels[:2] == ["0", "2"]
    assert bins.labels[-1].endswith("+")


def test_bins_hold_what_lies_from_their_edge_on() -> None:
    bins = Bins([0, 1, 10], ["0", "1", "10"])
    assert filled([0.0, 0.9, 1.0, 9.9, 10.0, 99.0], digits=1).histogram(bins) == [2, 2, 2]


@pytest.mark.parametrize(
    ("least", "step"), [(0.1, 1), (1, 1), (1.1, 2), (3, 5), (6, 10), (11, 20), (2001, 5000)]
)
def test_steps_are_round(least: float, step: int) -> None:
    assert nice_step(least) == step


def test_distributions_add_up() -> None:
    one, other = filled([1, 2]), filled([2, 3])
    one.add_all(other)
    assert one.counts == {1: 1, 2: 2, 3: 1}
