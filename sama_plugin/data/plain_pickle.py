"""Pickles of plain containers, as one published mask dictionary is: whatever could run code is refused unread."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from sama_plugin.data.defects import file_fault, missing_file

PLAIN_OPCODES = frozenset(
    "PROTO FRAME STOP MARK POP POP_MARK NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 "  # noqa: SIM905
    "FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_LIST APPEND APPENDS LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE".split()
)
"""What `pickle` writes for dict, list, tuple, str, bytes, int, float, bool and None; none finds or calls anything."""

MAX_EXPANSION = 100
"""A file may hold one object many times; written out, it may be so many times larger than it is."""

NAMING_OPCODES = ("GLOBAL", "INST")
MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")
BROKEN = (
    pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, EOFError, AttributeError, MemoryError,
    OverflowError, RecursionError,
)  # fmt: skip
"""What unpickling raises on bytes that are no pickle; code of the file's never runs."""


class _PlainUnpickler(pickle.Unpickler):
    """The second lock: finds nothing, even if `PLAIN_OPCODES` were wrong."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it asks for an object outside the file")


def load_plain_pickle(path: Path) -> Any:
    """What a pickle of plain containers holds.

    Every operation of the file is looked at before the first is carried out.

    Raises:
        DefectError: missing; cut off or damaged; or it asks for anything but dict, list, tuple, str, bytes, int, float,
            bool and None, and what it asked for.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except OSError as error:
        raise file_fault("file-damaged", f"{path} cannot be read: {error.strerror}.") from error
    num_operations = _check_operations(path, content)
    try:
        value = _PlainUnpickler(io.BytesIO(content)).load()
    except BROKEN as error:
        raise file_fault(
            "file-damaged", f"{path} is no pickle that can be read: {error}; get it anew."
        ) from error
    _check_expansion(path, value, MAX_EXPANSION * num_operations)
    return value


def _check_operations(path: Path, content: bytes) -> int:
    """Refuse whatever is not plain, and memo places far beyond what the file fills (each takes memory).

    Returns:
        Number of operations.
    """
    count, names = 0, ["", ""]
    is_whole = False
    try:
        for opcode, argument, _ in _operations(content):
            count += 1
            if opcode.name not in PLAIN_OPCODES:
                raise file_fault("pickle-refused", _refusal(path, opcode.name, argument, names))
            if opcode.name in MEMO_OPCODES and argument > count:
                raise file_fault(
                    "pickle-refused", f"{path} is refused: its memo has place {argument} before {count}."
                )
            if isinstance(argument, str):
                names = [names[1], argument]
            is_whole = opcode.name == "STOP"
    except BROKEN as error:
        is_damaged = content.endswith(b".") or "unknown" in str(error)
        code = "file-damaged" if is_damaged else "file-cut"
        raise file_fault(
            code, f"{path} is no whole pickle: {error} after {count} operations; get it anew."
        ) from error
    if not is_whole:
        raise file_fault(
            "file-cut", f"{path} ends after {count} operations, without an end mark; get it anew."
        )

    return count


def _check_expansion(path: Path, value: Any, limit: int) -> None:
    """Refuse containers that hold themselves, or each other so often that nobody could go through them."""
    to_see = [value]
    for _ in range(limit):
        if not to_see:
            return
        one = to_see.pop()
        if isinstance(one, dict | list | tuple):
            to_see.extend(one.values() if isinstance(one, dict) else one)
    raise file_fault("pickle-refused", f"{path} is refused: what it holds goes on without end, or nearly so.")


def _operations(content: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]]:
    return pickletools.genops(content)


def _refusal(path: Path, name: str, argument: Any, names: list[str]) -> str:
    if name in NAMING_OPCODES:
        wanted = ".".join(str(argument).split(" ", 1))
    elif name == "STACK_GLOBAL":
        wanted = ".".join(names)
    else:
        wanted = f"the operation {name}"
    return (
        f"{path} is refused: it asks for {wanted}, expected plain containers only (dict, list, str, numbers). "
        "Such a file can run code; do not load it elsewhere either unless you know who made it."
    )
