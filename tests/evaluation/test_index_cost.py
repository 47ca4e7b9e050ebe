"""The benchmark of the index on a small size: both sides read the same records, and the table says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.cli.main import main
from sama_plugin.data.index import IndexedCorpus
from sama_plugin.evaluation import index_cost


def test_synthetic_corpus_is_without_defects_and_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_cost, "POOL", 2)
    cost = index_cost.measure_index(tmp_path, records=6, reads=3)
    corpus = IndexedCorpus(tmp_path / "records.json.index", tmp_path)
    assert len(corpus) == cost.records == 6
    assert corpus.rows("SELECT DISTINCT defects FROM records") == [("",)]
    track = corpus.track({}, "11")
    assert track is not None
    assert len(track) == index_cost.FRAMES
    index, plain = (cost.sides[side] for side in index_cost.SIDES)
    assert index is not None
    assert plain is not None
    assert min(*index, *plain, cost.build_s, cost.json_mb, cost.index_mb) > 0
    table = index_cost.format_index(cost)
    assert [line.split()[0] for line in table.splitlines()] == ["6", "side", "index", "json", "index"]


def test_counts_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "index", "--records", "0"]) == 2
    assert "--records is 0, expected 1 or more" in capsys.readouterr().err
