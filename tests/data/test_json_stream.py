from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sama_plugin.data import json_stream
from sama_plugin.data.defects import DefectError
from sama_plugin.data.json_file import read_json
from sama_plugin.data.json_stream import JsonStream, file_digest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FILES = st.lists(VALUES, max_size=6) | st.dictionaries(st.text(max_size=3), VALUES, max_size=6)
ANYWHERE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@ANYWHERE
@given(
    value=FILES,
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 9),
    stop=st.integers(0, 6),
)
def test_entries_are_those_of_the_file_and_reading_goes_on_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    value: Any,
    indent: Any,
    ascii_only: bool,
    chunk: int,
    stop: int,
) -> None:
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", chunk)
    path = tmp_path / "file.json"
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
    whole = list(value.items()) if isinstance(value, dict) else [(str(i), v) for i, v in enumerate(value)]
    read, counted, place = [], [], 0
    outermost = "{" if isinstance(value, dict) else "["
    stream = JsonStream(path, outermost, on_bytes=counted.append)
    for entry in stream:
        if len(read) == stop:
            break
        read.append((entry.key, entry.value))
        assert json.loads(entry.text) == entry.value
        place = stream.tell()
    rest = JsonStream(path, outermost, start=place, known=len(read), on_bytes=counted.append)
    read += [(entry.key, entry.value) for entry in rest]
    assert read == whole
    assert repr(read) == repr(whole)  # 1 is not 1.0, and keys keep their order
    assert rest.digest == file_digest(path)
    assert sum(counted) >= path.stat().st_size


def test_text_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(' [ {"b": 1.0e2, "a":"\\u00e9"} ,\n {"x" : [1 , 2]} ] ')
    assert [entry.text for entry in JsonStream(path, "[")] == [
        '{"b": 1.0e2, "a":"\\u00e9"}',
        '{"x" : [1 , 2]}',
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "entry 0, near byte 0, has no end: it was cut off"),
        (b"3", r"has '3' where '\[' should be"),
        (b'[{"a": 1}, {"a"', r"entry 1, near byte 11, has Expecting ':' delimiter"),
        (b'[{"a": 1},', "entry 1, near byte 10, has Expecting value"),
        (b'[{"a": 1}', "has no end: it was cut off"),
        (b'[{"a": "xx', "entry 0, near byte 1, has Unterminated string"),
        (b"[1 2]", "has '2' where ',' should be"),
        (b"[1,]", "has Expecting value"),
        (b"{1: 2}", "has 1 where a name in quotes should be"),
        (b'{"a" 2}', "has '2' where ':' should be"),
        (b"[1] 2", "has '2' behind its end"),
        (b'["\xff"]', "has bytes that are no UTF-8"),
        (b"[" + b"[" * 100_000, "has brackets nested too deeply"),
        (b"[" + b"1" * 5_000 + b"]", "has a number of too many digits"),
        (rb'[{"a": "\ud83d"}]', r"entry 0, near byte \d+, has half a character, \\ud83d"),
        (rb'{"\udc00": 1}', "has half a character"),
    ],
)
def test_malformed_file_is_refused_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DefectError, match=f"file.json is not valid JSON: .*{message}") as caught:
        list(JsonStream(path, "{" if content.startswith(b"{") else "["))
    is_cut = any(
        word in message for word in ("cut off", "Unterminated", "':' delim", "byte 10, has Expecting")
    )
    assert caught.value.defect.code == ("file-cut" if is_cut else "file-damaged")


def test_characters_of_two_escapes_and_escaped_backslashes_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(r'["\ud83d\ude00", "\\ud800"]')
    assert [entry.value for entry in JsonStream(path, "[")] == ["\U0001f600", r"\ud800"]


def test_small_files_are_refused_for_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for content, message in (
        (r'"\ud83d"', "it has half a character"),
        ("1" * 5_000, "it has a number of too many digits"),
        ("[" * 100_000, "it has brackets nested too deeply"),
    ):
        path.write_text(content)
        with pytest.raises(DefectError, match=rf"file\.json .*{message}") as caught:
            read_json(path)
        assert caught.value.defect.code == "file-damaged"


def test_file_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("{}")
    with pytest.raises(DefectError, match=r"file\.json holds an object, expected a list"):
        list(JsonStream(path, "["))


def test_bracket_that_never_closes_is_told_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "MAX_ENTRY_CHARS", 100)
    monkeypatch.setattr(json_stream, "CHUNK_BYTES", 30)
    path = tmp_path / "file.json"
    path.write_text("[[" + "1," * 1000)
    with pytest.raises(DefectError, match="more than 100 characters in it: a bracket is not closed"):
        list(JsonStream(path, "["))


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefectError, match=r"none\.json does not exist; check"):
        list(JsonStream(tmp_path / "none.json", "["))
    with pytest.raises(DefectError, match=r"none\.json does not exist; check"):
        file_digest(tmp_path / "none.json")
