"""Pointing at things, over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sama_plugin.demo.trial.visits import BOX, Visitor
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import decode_mask, encode_mask

KINDS = [
    {"point": [[30.5, 40.0, 1], [100, 100, 0]]},
    {"box": [20.0, 20.0, 80.0, 80.0]},
    {"scribble": [[30.0, 40.0], [40.0, 50.0]]},
]


def point(visitor: Visitor, session: str, **body: Any) -> Any:
    return visitor.client.post(f"/api/sessions/{session}/regions", json=body)


@pytest.mark.parametrize("shape", KINDS, ids=lambda shape: next(iter(shape)))
def test_regions_come_back_as_drawn_with_a_mask(
    visitor: Visitor, session: str, shape: dict[str, Any]
) -> None:
    response = point(visitor, session, frame=2, colour="#AABBCC", **shape)
    region = response.json()
    clip = VideoClip.open(visitor.video)
    assert response.status_code == 201, response.text
    assert {key: region[key] for key in shape} == shape
    assert (region["name"], region["frame"], region["kind"], region["colour"]) == (
        "r1",
        2,
        next(iter(shape)),
        "#aabbcc",
    )
    assert decode_mask(region["rle"]).shape == (clip.height, clip.width)
    assert visitor.client.get(f"/api/sessions/{session}").json()["regions"] == [region]


def test_a_mask_is_taken_as_it_is(visitor: Visitor, session: str) -> None:
    clip = VideoClip.open(visitor.video)
    mask = np.zeros((clip.height, clip.width), dtype=bool)
    mask[3:9, 4:20] = True
    region = point(visitor, session, mask=encode_mask(mask)).json()
    assert (region["kind"], region["rle"]) == ("mask", encode_mask(mask))


def test_regions_are_drawn_anew_renamed_and_removed(visitor: Visitor, session: str) -> None:
    regions = f"/api/sessions/{session}/regions"
    first, second = (point(visitor, session, box=BOX, frame=frame).json() for frame in (0, 1))
    assert (first["name"], second["name"]) == ("r1", "r2")
    assert first["colour"] != second["colour"]
    again = visitor.client.put(f"{regions}/r1", json={"point": [[40, 40, 1]], "frame": 3}).json()
    assert (again["name"], again["kind"], again["frame"], again["colour"]) == (
        "r1",
        "point",
        3,
        first["colour"],
    )
    named = visitor.client.patch(f"{regions}/r1", json={"name": "ball", "colour": "#000000"}).json()
    assert (named["name"], named["colour"], named["rle"]) == ("ball", "#000000", again["rle"])
    assert visitor.client.delete(f"{regions}/r2").status_code == 204
    names = [region["name"] for region in visitor.client.get(f"/api/sessions/{session}").json()["regions"]]
    assert names == ["ball"]
    assert visitor.answer(session, "What is <ball>?")["text"]
    refused = visitor.client.put(f"{regions}/ball", json={"point": [[41, 41, 1]], "frame": 3})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_request")
    visitor.client.post(f"/api/sessions/{session}/rewind", json={"turns": 0})
    assert visitor.client.put(f"{regions}/ball", json={"point": [[41, 41, 1]], "frame": 3}).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "exactly one of"),
        ({"box": BOX, "point": [1, 1]}, "exactly one of"),
        ({"box": [1, 2, 3]}, "expected x0, y0, x1, y1"),
        ({"box": [50, 50, 10, 10]}, "inside out"),
        ({"box": ["a", {}, None, []]}, "expected x0, y0, x1, y1"),
        ({"point": [[9999, 1, 1]]}, "outside the frame"),
        ({"point": {"x": 1}}, "expected one or several"),
        ({"point": [[1, 1, 0]]}, "only points outside"),
        ({"point": [[1, 1, 1]] * 1001}, "at most 1000"),
        ({"scribble": [[1, 1]] * 1001}, "at most 1000"),
        ({"scribble": "abc"}, "expected one or several"),
        ({"mask": "/etc/passwd"}, "expected an RLE"),
        ({"mask": {"size": [10**9, 10**9], "counts": "0"}}, "expected an RLE"),
        ({"mask": {"size": [128, 160], "counts": "%%%"}}, "run lengths"),
        ({"mask": {"size": [128, 160], "counts": {"a": 1}}}, "Not a mask"),
        ({"box": BOX, "frame": -1}, "not in"),
        ({"box": BOX, "frame": 1.5}, "whole number"),
        ({"box": BOX, "frame": "0"}, "whole number"),
        ({"box": BOX, "name": "../x"}, "cannot be used"),
        ({"box": BOX, "name": "obj1"}, "reserved"),
        ({"box": BOX, "name": 7}, "cannot be used"),
        ({"box": BOX, "colour": "red"}, "#rrggbb"),
        ({"box": BOX, "path": "/etc/passwd"}, "not known"),
    ],
)
def test_what_cannot_be_a_region_is_said(
    visitor: Visitor, shared_session: str, body: dict[str, Any], said: str
) -> None:
    response = point(visitor, shared_session, **body)
    assert response.status_code == 422
    assert said in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "content", [b"[]", b"not json", b'"text"', b"[" * 100_000, b"\xff\xfe", b'{"\\ud800": 1}']
)
def test_a_body_that_cannot_be_used_is_refused(visitor: Visitor, shared_session: str, content: bytes) -> None:
    response = visitor.client.post(
        f"/api/sessions/{shared_session}/regions",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert (response.status_code, response.json()["error"]["code"]) == (422, "bad_request")


def test_more_regions_than_allowed_are_refused(visitor: Visitor, session: str) -> None:
    clip = VideoClip.open(visitor.video)
    rle = encode_mask(np.ones((clip.height, clip.width), dtype=bool))
    statuses = [point(visitor, session, mask=rle).status_code for _ in range(40)]
    assert statuses == [201] * 12 + [422] * 28
    assert "the most" in point(visitor, session, mask=rle).json()["error"]["message"]
