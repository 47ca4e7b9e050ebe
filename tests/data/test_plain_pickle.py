from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sama_plugin.data.defects import DefectError
from sama_plugin.data.plain_pickle import load_plain_pickle

PLAIN: Any = {
    "1": [None, {"size": [4, 6], "counts": b"0;"}, {"size": (4, 6), "counts": "0;"}],
    2: [True, -1.5, 2**80, "ä", ()],
}


def load(folder: Path, content: bytes) -> Any:
    path = folder / "masks.pkl"
    path.write_bytes(content)
    return load_plain_pickle(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_of_every_protocol_are_read(tmp_path: Path, protocol: int) -> None:
    plain = (
        PLAIN if protocol >= 3 else {"1": PLAIN["1"][2:], 2: PLAIN[2]}
    )  # bytes are a call below protocol 3
    assert load(tmp_path, pickle.dumps(plain, protocol)) == plain


leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=20
)


@given(value=values, protocol=st.sampled_from([3, 4, 5]))
def test_whatever_is_plain_comes_back(
    tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "plain.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_plain_pickle(path) == value


class Calls:
    """Leaves a file behind if it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


class Builds:
    def __setstate__(self, state: Any) -> None:
        raise AssertionError("it was run")

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


ATTACKS: dict[str, tuple[bytes, str]] = {
    "global by text": (b"cos\nsystem\n(S'touch {}'\ntR.", r"os\.system"),
    "inst": (b"(S'touch {}'\nios\nsystem\n.", r"os\.system"),
    "obj": (b"(cos\nsystem\nS'touch {}'\no.", r"os\.system"),
    "eval": (b'c__builtin__\neval\n(S\'open("{}", "w")\'\ntR.', r"__builtin__\.eval"),
    "global from the stack": (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01a\x85R.", r"posix\.system"),
    "names from the memo": (
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x8c\x01x\x94h\x00h\x01\x93.",
        r"STACK_GLOBAL|asks for",
    ),
    "reduce of anything": (b"}(tR.", "REDUCE"),
    "new object": (b"\x80\x02})\x81.", "NEWOBJ"),
    "build": (b"}}b.", "BUILD"),
    "persistent id": (b"Pother\n.", "PERSID"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "huge memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo"),
    "huge memo by text": (b"Np99999999\n.", "memo"),
    "out of band buffer": (b"\x80\x05\x97.", "NEXT_BUFFER"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_handmade_attack_is_refused_and_nothing_runs(tmp_path: Path, name: str) -> None:
    content, message = ATTACKS[name]
    trace = tmp_path / "trace"
    with pytest.raises(DefectError, match=message) as caught:
        load(tmp_path, content.replace(b"{}", str(trace).encode()))
    assert caught.value.defect.code == "pickle-refused"
    assert not trace.exists()


def test_one_object_held_often_is_read(tmp_path: Path) -> None:
    shared = {"size": [4, 6], "counts": "0;"}
    assert load(tmp_path, pickle.dumps({"1": [shared] * 500})) == {"1": [shared] * 500}


def test_containers_without_end_are_refused(tmp_path: Path) -> None:
    itself: list[Any] = []
    itself.append(itself)
    bomb: list[Any] = [None]
    for _ in range(40):
        bomb = [bomb, bomb]
    for value in (itself, {"1": itself}, bomb):
        with pytest.raises(DefectError, match="goes on without end") as caught:
            load(tmp_path, pickle.dumps(value))
        assert caught.value.defect.code == "pickle-refused"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("hidden", [False, True])
def test_object_that_runs_code_is_refused(tmp_path: Path, protocol: int, hidden: bool) -> None:
    trace = tmp_path / "trace"
    value = {"1": [None, {"size": [1, 1], "counts": Calls(trace)}]} if hidden else Calls(trace)
    with pytest.raises(DefectError, match=r"(posix|nt)\.system"):
        load(tmp_path, pickle.dumps(value, protocol))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Builds(), "Builds"),
        (OrderedDict(a=1), r"collections\.OrderedDict"),
        (np.zeros(3), r"numpy.*_reconstruct"),
        (np.int64(3), r"numpy.*scalar"),
        ({1, 2}, "EMPTY_SET"),
        (Path("a"), r"pathlib.*PosixPath"),
    ],
)
def test_other_objects_are_refused_by_name(tmp_path: Path, value: Any, wanted: str) -> None:
    with pytest.raises(DefectError, match=wanted):
        load(tmp_path, pickle.dumps(value))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file-cut"),
        (pickle.dumps(PLAIN)[:-1], "file-cut"),
        (pickle.dumps(PLAIN)[:30], "file-cut"),
        (b'{"1": []}', "file-damaged"),
        (b"\x80\x02h\x05.", "file-damaged"),
        (b"a.", "file-damaged"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "file-damaged"),
    ],
)
def test_what_is_no_whole_pickle_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    with pytest.raises(DefectError) as caught:
        load(tmp_path, content)
    assert caught.value.defect.code == code, caught.value


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefectError, match=r"none\.pkl does not exist"):
        load_plain_pickle(tmp_path / "none.pkl")
