"""JSON of a request, and its values by type; what does not fit is told by its place."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from sama_plugin.demo.openai.errors import BadParameterError

HALF_CHARACTER = re.compile("[\ud800-\udfff]")
SHOWN = 60
"""Characters of a value in a message."""


def read_json(body: bytes) -> dict[str, Any]:
    """The object of a JSON body.

    Raises:
        BadParameterError: it is none; NaN and Infinity are no JSON either.
    """
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadParameterError(
            "The body is nested too deeply to be a request.", code="invalid_json"
        ) from None
    except ValueError as error:  # also bytes that are no UTF-8, and numbers of thousands of digits
        raise BadParameterError(
            f"The body is not JSON ({str(error)[:SHOWN]}); send an object as UTF-8 text.", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise BadParameterError(f"The body is {_kind(value)}, expected an object.", code="invalid_type")
    return value


def text_of(value: Any, param: str) -> str:
    """Text.

    Raises:
        BadParameterError: it is none, or holds half a character.
    """
    if not isinstance(value, str):
        _refuse(value, param, "text")
    if not value.isascii() and HALF_CHARACTER.search(value):  # a video as text is long, but ASCII
        raise BadParameterError(f"{param} holds half a character (a lone surrogate); send whole ones.", param)
    return str(value)


def list_of(value: Any, param: str, longest: int) -> list[Any]:
    """A list that is not too long.

    Raises:
        BadParameterError: it is none, or is.
    """
    if not isinstance(value, list):
        _refuse(value, param, "a list")
    if len(value) > longest:
        raise BadParameterError(f"{param} has {len(value)} items, expected at most {longest}.", param)
    return list(value)


def object_of(value: Any, param: str) -> dict[str, Any]:
    """An object.

    Raises:
        BadParameterError: it is none.
    """
    if not isinstance(value, dict):
        _refuse(value, param, "an object")
    return dict(value)


def flag_of(value: Any, param: str) -> bool:
    """True or false.

    Raises:
        BadParameterError: it is neither.
    """
    if not isinstance(value, bool):
        _refuse(value, param, "true or false")
    return bool(value)


def number_of(value: Any, param: str, least: float, most: float) -> float:
    """A number in a range.

    Raises:
        BadParameterError: it is none, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(value, param, f"a number from {least:g} to {most:g}")
    if not least <= value <= most or not math.isfinite(value):
        raise BadParameterError(f"{param} is {_shorten(value)}, expected {least:g} to {most:g}.", param)
    return float(value)


def whole_of(value: Any, param: str, least: int, most: int) -> int:
    """A whole number in a range.

    Raises:
        BadParameterError: it is none, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        _refuse(value, param, "a whole number")
    if not least <= value <= most:
        raise BadParameterError(f"{param} is {_shorten(value)}, expected {least} to {most}.", param)
    return int(value)


def _refuse(value: Any, param: str, expected: str) -> NoReturn:
    raise BadParameterError(f"{param} is {_kind(value)}, expected {expected}.", param, "invalid_type")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
