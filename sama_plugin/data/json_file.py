"""JSON files, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from sama_plugin.data.defects import file_fault, missing_file

HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""Half of a pair that stands for one character, or an escaped backslash before such letters."""

LONGEST_WORD = len("false")
"""A fault that is followed by less than this may be a word or number that was cut off."""


def read_text(path: Path) -> str:
    """Contents of a UTF-8 file, line ends as they are.

    Raises:
        DefectError: missing, unreadable or in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except UnicodeDecodeError as error:
        raise file_fault("file-damaged", f"{path} is not valid JSON: {error}.") from error
    except OSError as error:
        raise file_fault("file-damaged", f"{path} cannot be read: {error.strerror}.") from error


def read_json(path: Path) -> Any:
    """Contents of a JSON file.

    Raises:
        DefectError: missing or malformed.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise json_fault(path, text, error) from error
    if half := half_character(text, value):
        raise file_fault("file-damaged", f"{path} is not valid JSON: it has {half}.")
    return value


def half_character(text: str, value: Any) -> str:
    r"""What is wrong with JSON whose strings have half a character, such as `\ud800` alone; empty if none has.

    Nothing can be written of such a string: no UTF-8 has it.

    Args:
        text: the JSON.
        value: what it means.
    """
    if HALF.search(text) is None:
        return ""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"half a character, \\u{ord(error.object[error.start]):x}"
    return ""


def unreadable_value(error: ValueError | RecursionError) -> str:
    """What is wrong with JSON that is well-formed as far as it goes."""
    return (
        "brackets nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
    )


def json_fault(path: Path, text: str, error: ValueError | RecursionError) -> Exception:
    """The error for text that is not JSON: cut off where the fault lies at its end, else damaged."""
    if not isinstance(error, json.JSONDecodeError):
        return file_fault("file-damaged", f"{path} cannot be read as JSON: it has {unreadable_value(error)}.")
    is_cut = _is_cut(error, text)
    what = "it ends in the middle, half written or half copied" if is_cut else "it is damaged"
    return file_fault(
        "file-cut" if is_cut else "file-damaged", f"{path} is not valid JSON: {error} ({what})."
    )


def repeated_keys(text: str) -> list[str]:
    """Keys that stand twice in one object of valid JSON."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            repeated.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)

    json.loads(text, object_pairs_hook=note)
    return repeated


def _is_cut(error: json.JSONDecodeError, text: str) -> bool:
    if error.msg.startswith("Extra data"):
        return False
    return error.msg.startswith("Unterminated string") or len(text[error.pos :].strip()) < LONGEST_WORD
