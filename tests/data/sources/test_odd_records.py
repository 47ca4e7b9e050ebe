"""Records with anything in any place: readers leave them out or say what is wrong, in words of ours."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data.sources.forms import FORMS
from sama_plugin.errors import SamaError
from tests.data.sources.made_corpora import MAKERS

ODD = (
    None,
    True,
    -1,
    10**9,
    2.5,
    "",
    "x",
    "<mask>",
    "[SEG]",
    [],
    ["x"],
    [[]],
    [None],
    {},
    {"x": 1},
    "../..",
    "\0",
)
TRIES = 60


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Ways to everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(content: Any, rng: random.Random) -> Any:
    """The content with something odd in one place."""
    content = copy.deepcopy(content)
    *way, last = rng.choice(list(places(content)))
    holder = content
    for key in way:
        holder = holder[key]
    holder[last] = rng.choice(ODD)
    return content


READ_ALIKE = {"refcoco_plus", "refcocog", "gcg_openpsg", "osprey_part", "osprey_lvis"}


@pytest.mark.parametrize("name", sorted(set(MAKERS) - READ_ALIKE))
def test_only_our_errors_come_out(name: str, tmp_path: Path) -> None:
    files = MAKERS[name](tmp_path)
    rng = random.Random(name)
    for path in filter(None, (files.records, files.masks)):
        is_pickle = path.suffix in (".p", ".pkl")
        original = path.read_bytes()
        content = pickle.loads(original) if is_pickle else json.loads(original)
        for _ in range(TRIES):
            odd = changed(content, rng)
            path.write_bytes(pickle.dumps(odd) if is_pickle else json.dumps(odd).encode())
            with contextlib.suppress(SamaError):
                for sample in FORMS[name].read(files):
                    for mask_id in sample.mask_ids:
                        with contextlib.suppress(SamaError):
                            assert len(sample.masks[mask_id]) > 0
        path.write_bytes(original)
