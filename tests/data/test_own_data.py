from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data import own_data
from sama_plugin.data.own_data import OwnTurn, Pointing, read_items
from sama_plugin.errors import DataError

ITEM: dict[str, Any] = {
    "video": "clip.mp4",
    "regions": {
        "dog": {"frame": 12, "mask": "dog.png"},
        "cat": "box@3.5s:40,30,120,160",
        "ball": {"masks": "ball.json"},
        "men": [{"time_s": 0.5, "box": [1, 2, 3, 4], "filled": True}, "point@2:4,5"],
    },
    "turns": [
        {
            "question": "What do <dog> and <cat> do?",
            "answer": "They run after <p>the  ball</p>[SEG:ball] and <p> both </p> [SEG:men + ball].",
            "task": "grounding",
        },
        {"question": "Why?", "answer": "It is fun."},
    ],
}


def read(folder: Path, content: Any) -> list[own_data.OwnItem]:
    path = folder / "own.json"
    path.write_text(json.dumps(content))
    return read_items(path)


def changed(path: str, value: Any) -> dict[str, Any]:
    """`ITEM` with one value set at a path such as `turns.0.answer`; a value of None takes it out."""
    item: Any = json.loads(json.dumps(ITEM))
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = item
    for part in way:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return item


def test_example_is_read(tmp_path: Path) -> None:
    (item,) = read(tmp_path, {"items": [ITEM]})
    assert (item.item_id, item.video) == ("0", "clip.mp4")
    first, second = item.turns
    assert first == OwnTurn(
        question="What do <mask> and <mask> do?",
        answer="They run after <p> the  ball </p> [SEG] and <p> both </p> [SEG].",
        regions=("dog", "cat"),
        targets=(("ball",), ("men", "ball")),
        task="grounding",
        kind="",
    )
    assert second == OwnTurn("Why?", "It is fun.", (), (), "general", "")
    assert item.regions["dog"].pointings == (Pointing(kind="mask", value="dog.png", frame=12),)
    assert item.regions["cat"].pointings == (Pointing(text="box@3.5s:40,30,120,160"),)
    assert item.regions["ball"].masks == "ball.json"
    box, point = item.regions["men"].pointings
    assert box == Pointing(kind="box", value=[1, 2, 3, 4], time_s=0.5, filled=True)
    assert point.text == "point@2:4,5"
    assert read(tmp_path, [ITEM])[0].turns == item.turns


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"item": [ITEM]}, "unknown key 'item'; did you mean items"),
        ({}, "lacks items"),
        ([], r"has \[\], expected a list of items"),
        ("dogs", "has 'dogs', expected a list of items"),
        ([3], "item 0 is 3, expected an object with video, regions, turns, id"),
        ([changed("video", None)], "item 0 lacks video"),
        ([changed("video", 3)], r"item 0\.video is 3, expected text"),
        ([changed("vidoe", "x")], "item 0: unknown key 'vidoe'; did you mean video"),
        (
            [{**ITEM, "id": "a"}, {**ITEM, "id": "a"}],
            r"item 1 \('a'\): id 'a' is that of .*item 0 \('a'\) too",
        ),
        ([changed("regions", [1])], r"item 0\.regions is \[1\], expected an object: name to region"),
        ([changed("regions.dog", 3)], r"regions\.dog is 3, expected an object"),
        ([changed("regions.dog", [])], r"regions\.dog is \[\], expected at least one frame"),
        ([changed("regions.dog.fram", 3)], r"regions\.dog: unknown key 'fram'; did you mean frame"),
        (
            [changed("regions.dog.mask", None)],
            r"regions\.dog has no place, expected exactly one of point, box",
        ),
        ([changed("regions.dog.box", [1])], r"regions\.dog has box and mask, expected exactly one"),
        ([changed("regions.dog.frame", "12")], r"regions\.dog\.frame is '12', expected a number"),
        ([changed("regions.dog.filled", True)], r"regions\.dog\.filled is True with a mask"),
        ([changed("regions.men.0.filled", "yes")], r"regions\.men\[0\]\.filled is 'yes' with a box"),
        ([changed("regions.ball.masks", 3)], r"regions\.ball\.masks is 3, expected a path, or an RLE"),
        ([changed("regions.ball.frame", 3)], r"regions\.ball: unknown key 'frame'"),
        ([changed("regions.obj3", "box@1:1,2,3,4")], r"regions\.obj3: Region name 'obj3' is reserved"),
        ([changed("turns", [])], r"turns is \[\], expected a list of questions"),
        ([changed("turns.0.answer", None)], r"turns\[0\] lacks answer"),
        ([changed("turns.0.question", " ")], r"turns\[0\]\.question is ' ', expected text"),
        ([changed("turns.0.task", 3)], r"turns\[0\]\.task is 3, expected text"),
        (
            [changed("turns.0.question", "<dgo>?")],
            r"question has <dgo>, but .* no region 'dgo'; did you mean dog",
        ),
        ([changed("turns.0.question", "[SEG:dog]?")], r"question has \[SEG\], which only answers have"),
        ([changed("turns.0.answer", "[SEG:bal]")], r"answer has \[SEG:bal\], but .*'bal'; did you mean ball"),
        ([changed("turns.0.answer", "[SEG]")], r"answer has \[SEG\], expected the name of a region"),
        ([changed("turns.0.answer", "[SEG:]")], r"answer has \[SEG:\], expected the name of a region"),
        ([changed("turns.0.answer", "<p>x [SEG:dog]")], r"answer has <p> and </p> that are no pairs"),
        ([changed("turns.0.answer", "A <dog>.")], r"answer has <dog>; answers name regions as"),
        (
            [{"video": "v", "turns": [{"question": "<a>", "answer": "b"}]}],
            "no region 'a'; the item has no regions",
        ),
    ],
)
def test_errors_name_item_and_field(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"own\.json.*{message}"):
        read(tmp_path, content)


def test_schema_file_knows_the_same_keys() -> None:
    schema = json.loads(own_data.SCHEMA_FILE.read_text())
    parts = schema["$defs"]
    assert set(schema["oneOf"][1]["properties"]) == set(own_data.FILE_KEYS)
    assert set(parts["item"]["properties"]) == set(own_data.ITEM_KEYS)
    assert set(parts["turn"]["properties"]) == set(own_data.TURN_KEYS)
    assert set(parts["pointing"]["properties"]) == set(own_data.POINTING_KEYS)
    assert set(parts["track"]["properties"]) == set(own_data.TRACK_KEYS)
    assert {rule["required"][0] for rule in parts["pointing"]["oneOf"]} == set(own_data.REGION_KINDS)
    assert re.match(parts["text"]["pattern"], ITEM["regions"]["cat"])
