from __future__ import annotations

import sys

import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.caption_scores import CAPTION_METRICS
from sama_plugin.evaluation.metrics.catalogue import METRICS, NEEDS, format_metrics, metric_of


@pytest.mark.parametrize(
    ("name", "variant"), [(name, variant) for name, metric in METRICS.items() for variant in metric.functions]
)
def test_every_variant_is_a_documented_function(name: str, variant: str) -> None:
    function = METRICS[name].load(variant)
    assert "Args:" in (function.__doc__ or "")


def test_what_metrics_need_is_known() -> None:
    assert {need for metric in METRICS.values() for need in metric.needs} <= {*NEEDS}
    assert {*CAPTION_METRICS} <= {*METRICS}


@pytest.mark.parametrize("name", ["mIoU", "official/mIoU", "multi_turn/mIoU", "mIoU/held_out"])
def test_subsets_and_variants_are_seen_through(name: str) -> None:
    assert metric_of(name) is METRICS["mIoU"]


def test_a_benchmarks_own_number_is_none_of_them() -> None:
    assert metric_of("false_none_rate") is None


def test_lower_can_be_better() -> None:
    assert [name for name, metric in METRICS.items() if not metric.is_higher_better] == ["span_error"]


def test_a_variant_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="no variant 'official' of it, expected one of corrected"):
        METRICS["J"].load("official")


def test_what_is_absent_here_is_said(
    hide_java: None, hide_package: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert METRICS["J"].why_absent() is None
    assert METRICS["CLAIR"].why_absent() is None, "its judge is the caller's to name"
    assert "sama-plugin[caption]" in (METRICS["METEOR"].why_absent() or "")
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    assert "sama-plugin[eval]" in (METRICS["mIoU"].why_absent() or "")


def test_java_is_looked_for(hide_java: None) -> None:
    pytest.importorskip("pycocoevalcap.bleu.bleu", reason="the extra 'caption' is missing")
    assert "apt install default-jre-headless" in (METRICS["METEOR"].why_absent() or "")
    assert METRICS["CIDEr"].why_absent() is None
    assert "absent here: Java is not on the PATH" in format_metrics()


def test_table_has_a_line_for_each() -> None:
    lines = format_metrics().splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["metric", *METRICS]
    assert "CoreNLP" in format_metrics()
