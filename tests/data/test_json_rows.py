from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sama_plugin.data import json_stream
from sama_plugin.data.json_rows import JsonRows, JsonTable
from sama_plugin.errors import DataError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries lie across the borders of what is read at once."""
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 7)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows") / "file.json"


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_rows_are_what_the_file_says(file: Path, values: list[Any], plain: bool, indent: int | None) -> None:
    file.write_text(json.dumps(values, ensure_ascii=plain, indent=indent), encoding="utf-8")
    rows = JsonRows(file)
    assert list(rows) == list(rows) == values  # while the file is gone through, and by places
    assert JsonRows(file)[1:] == values[1:]
    if values:
        assert rows[-1] == values[-1]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5), st.booleans())
def test_table_is_what_the_file_says(file: Path, values: dict[str, Any], plain: bool) -> None:
    file.write_text(json.dumps(values, ensure_ascii=plain), encoding="utf-8")
    table = pickle.loads(pickle.dumps(JsonTable(file)))
    assert dict(table) == values
    assert all(key in table for key in values)
    assert "no such key" not in table


def test_last_of_two_entries_of_one_key_counts(file: Path) -> None:
    file.write_text('{"a": 1, "b": 2, "a": 3}')
    assert dict(JsonTable(file)) == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("kind", "text"), [(JsonRows, "{}"), (JsonTable, "[]"), (JsonRows, "[1, 2"), (JsonRows, "")]
)
def test_other_forms_are_refused(file: Path, kind: Any, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=r"file\.json"):
        len(kind(file))


def test_file_that_was_changed_is_told(file: Path) -> None:
    file.write_text('["long enough", 2]')
    rows = JsonRows(file)
    assert len(rows) == 2
    file.write_text("[")
    with pytest.raises(DataError, match=r"Entry 1 of .*file\.json cannot be read"):
        rows[1]
