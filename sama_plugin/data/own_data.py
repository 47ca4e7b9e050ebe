"""The JSON in which a person writes training data by hand: videos, regions, turns. Checked here, nothing is opened.

{"items": [{
  "video": "clip.mp4",                            // beside this file, or below the media folder
  "regions": {
    "dog":  {"frame": 12, "mask": "dog.png"},     // or box, point, scribble; time_s in place of frame
    "cat":  "box@3.5s:40,30,120,160",             // the same in the grammar of `sama chat`
    "ball": {"masks": "ball.json"}},              // a mask for every frame: RLEs, or a folder of pictures
  "turns": [
    {"question": "What does <dog> do?",
     "answer": "It runs after <p>the ball</p>[SEG:ball]."}]}]}

`<name>` in a question points at a region; `[SEG:name]` in an answer, after its `<p>phrase</p>`, is the masks of one,
and `[SEG:a+b]` those of several together. What an answer segments needs a mask for every frame (`masks`, or tracks by
SAM2, `sama data convert --sam2`); what a question points at needs one on one frame. A box, click or scribble is no
mask: SAM2 makes one of it, or `"filled": true` says that the whole box is meant. JSON Schema:
`own_data.schema.json` here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.json_file import read_json
from sama_plugin.errors import DataError, PromptError
from sama_plugin.media.regions import check_region_name
from sama_plugin.prompting.placeholders import PLACEHOLDER
from sama_plugin.schema import REGION_KINDS

SCHEMA_FILE = Path(__file__).with_name("own_data.schema.json")
FILE_KEYS = ("items", "$schema")
ITEM_KEYS = ("video", "regions", "turns", "id")
TURN_KEYS = ("question", "answer", "task", "kind")
POINTING_KEYS = (*REGION_KINDS, "frame", "time_s", "filled")
TRACK_KEYS = ("masks", "id")

SEG = re.compile(r"\[SEG(?::([^\]]*))?\]")
PHRASE = re.compile(r"<p>\s*(.*?)\s*</p>\s*(?=\[SEG)", re.DOTALL)


@dataclass(frozen=True)
class Pointing:
    """Where a region is on one frame, as it was written.

    Attributes:
        text: in the grammar of `sama chat` behind the name; else empty.
        kind: one of `REGION_KINDS`; empty with `text`.
        value: of that kind.
        frame: index; None if not given.
        time_s: seconds; None if not given.
        filled: the box itself is the mask.
    """

    text: str = ""
    kind: str = ""
    value: Any = None
    frame: int | None = None
    time_s: float | None = None
    filled: bool = False


@dataclass(frozen=True)
class OwnRegion:
    """A region: on some frames, or with masks for all.

    Attributes:
        name: as questions and answers call it.
        where: of the region, for errors.
        pointings: one per frame that it is given on; none with `masks`.
        masks: path of a file or folder, or a list with an RLE or None per frame; None with `pointings`.
        mask_id: key in a file that is a mask dictionary; empty elsewhere.
    """

    name: str
    where: str
    pointings: tuple[Pointing, ...] = ()
    masks: str | list[Any] | None = None
    mask_id: str = ""


@dataclass(frozen=True)
class OwnTurn:
    """A question and its answer in the form of the data files, and the names of the regions they mean.

    Attributes:
        question: text with a `<mask>` per region.
        answer: text with a `[SEG]` per target.
        regions: names, one per `<mask>`.
        targets: names whose union is meant, one tuple per `[SEG]`.
        task, kind: for balancing.
    """

    question: str
    answer: str
    regions: tuple[str, ...]
    targets: tuple[tuple[str, ...], ...]
    task: str
    kind: str


@dataclass(frozen=True)
class OwnItem:
    """A dialogue about a video.

    Attributes:
        where: file and item, for errors.
        item_id: as given, else the position in the file.
        video: as written.
        regions: by name.
        turns: at least one.
    """

    where: str
    item_id: str
    video: str
    regions: dict[str, OwnRegion]
    turns: tuple[OwnTurn, ...]


def read_items(path: Path) -> list[OwnItem]:
    """Everything that a file says.

    Raises:
        DataError: file, item and field that is wrong, what it is and what was expected.
    """
    content = read_json(path)
    if isinstance(content, dict):
        check_keys(content, FILE_KEYS, str(path), needed=("items",))
        content = content["items"]
    if not isinstance(content, list) or not content:
        raise DataError(
            f"{path} has {content!r:.60}, expected a list of items with video, regions and turns."
        )
    items = [_read_item(item, f"{path}, item {i}", str(i)) for i, item in enumerate(content)]
    seen: dict[str, str] = {}
    for item in items:
        if item.item_id in seen:
            raise DataError(
                f"{item.where}: id '{item.item_id}' is that of {seen[item.item_id]} too; give another."
            )
        seen[item.item_id] = item.where
    return items


def check_keys(value: Any, known: Collection[str], where: str, needed: Collection[str] = ()) -> None:
    """See that a value is an object with known keys and all that are needed.

    Raises:
        DataError: it is not; names near matches.
    """
    if not isinstance(value, dict):
        raise DataError(f"{where} is {value!r:.60}, expected an object with {', '.join(known)}.")
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3) or sorted(known)
            raise DataError(f"{where}: unknown key '{key}'; did you mean {', '.join(near)}?")
    if missing := [key for key in needed if key not in value]:
        raise DataError(f"{where} lacks {', '.join(missing)}.")


def _text(value: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    text = value.get(key, default)
    if not isinstance(text, str) or (default is None and not text.strip()):
        raise DataError(f"{where}.{key} is {text!r:.60}, expected text.")
    return text


def _read_item(value: Any, where: str, position: str) -> OwnItem:
    check_keys(value, ITEM_KEYS, where, needed=("video", "turns"))
    if "id" in value:
        where = f"{where} ('{value['id']}')"
    item_id = str(value["id"]) if isinstance(value.get("id"), int) else _text(value, "id", where, position)
    written = value.get("regions", {})
    if not isinstance(written, dict):
        raise DataError(f"{where}.regions is {written!r:.60}, expected an object: name to region.")
    regions = {
        name: _read_region(name, region, f"{where}.regions.{name}") for name, region in written.items()
    }
    turns = value["turns"]
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{where}.turns is {turns!r:.60}, expected a list of questions and answers.")
    read = tuple(_read_turn(turn, regions, f"{where}.turns[{k}]") for k, turn in enumerate(turns))
    return OwnItem(where, item_id, _text(value, "video", where), regions, read)


def _read_region(name: str, value: Any, where: str) -> OwnRegion:
    """A region from an object with `masks`, or from one or several pointings."""
    try:
        check_region_name(name)
    except PromptError as error:
        raise DataError(f"{where}: {error}") from error
    if isinstance(value, dict) and "masks" in value:
        check_keys(value, TRACK_KEYS, where)
        masks = value["masks"]
        if not isinstance(masks, str | list) or not masks:
            raise DataError(f"{where}.masks is {masks!r:.60}, expected a path, or an RLE or null per frame.")
        return OwnRegion(name, where, masks=masks, mask_id=str(value.get("id", "")))
    values = value if isinstance(value, list) else [value]
    if not values:
        raise DataError(f"{where} is [], expected at least one frame on which the region is given.")
    places = [where] if not isinstance(value, list) else [f"{where}[{k}]" for k in range(len(values))]
    return OwnRegion(name, where, pointings=tuple(map(_read_pointing, values, places)))


def _read_pointing(value: Any, where: str) -> Pointing:
    if isinstance(value, str):
        return Pointing(text=value)
    check_keys(value, (*POINTING_KEYS, *TRACK_KEYS), where)
    kinds = [kind for kind in REGION_KINDS if kind in value]
    if len(kinds) != 1:
        raise DataError(
            f"{where} has {' and '.join(kinds) or 'no place'}, expected exactly one of {', '.join(REGION_KINDS)}, "
            "or masks."
        )
    filled = value.get("filled", False)
    if not isinstance(filled, bool) or (filled and kinds != ["box"]):
        raise DataError(
            f"{where}.filled is {filled!r:.60} with a {kinds[0]}, expected true or false, with a box."
        )
    for key, types in (("frame", (int,)), ("time_s", (int, float))):
        if key in value and (isinstance(value[key], bool) or not isinstance(value[key], types)):
            raise DataError(f"{where}.{key} is {value[key]!r:.60}, expected a number.")
    return Pointing(
        kind=kinds[0],
        value=value[kinds[0]],
        frame=value.get("frame"),
        time_s=value.get("time_s"),
        filled=filled,
    )


def _read_turn(value: Any, regions: Mapping[str, OwnRegion], where: str) -> OwnTurn:
    check_keys(value, TURN_KEYS, where, needed=("question", "answer"))
    question, answer = (_text(value, key, where) for key in ("question", "answer"))
    names = PLACEHOLDER.findall(question)
    for name in names:
        _check_name(name, regions, f"{where}.question", f"<{name}>")
    if SEG.search(question):
        raise DataError(
            f"{where}.question has {SEG_TOKEN}, which only answers have; point at a region as <name>."
        )
    if answer.count(PHRASE_START) != answer.count(PHRASE_END):
        raise DataError(
            f"{where}.answer has {PHRASE_START} and {PHRASE_END} that are no pairs: {answer!r:.80}."
        )
    if named := [name for name in PLACEHOLDER.findall(answer) if name != PHRASE_START.strip("<>")]:
        raise DataError(
            f"{where}.answer has <{named[0]}>; answers name regions as <p>phrase</p>[SEG:{named[0]}]."
        )
    targets = tuple(_read_targets(match, regions, f"{where}.answer") for match in SEG.finditer(answer))
    return OwnTurn(
        question=PLACEHOLDER.sub(DATA_REGION, question),
        answer=SEG.sub(SEG_TOKEN, PHRASE.sub(rf"{PHRASE_START} \1 {PHRASE_END} ", answer)),
        regions=tuple(names),
        targets=targets,
        task=_text(value, "task", where, "general"),
        kind=_text(value, "kind", where, ""),
    )


def _read_targets(match: re.Match[str], regions: Mapping[str, OwnRegion], where: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (match[1] or "").split("+") if name.strip())
    if not names:
        raise DataError(
            f"{where} has {match[0]}, expected the name of a region as in [SEG:dog]; what is not there is said in "
            "words."
        )
    for name in names:
        _check_name(name, regions, where, match[0])
    return names


def _check_name(name: str, regions: Mapping[str, OwnRegion], where: str, written: str) -> None:
    if name not in regions:
        near = difflib.get_close_matches(name, regions, n=3) or sorted(regions)
        known = f"did you mean {', '.join(near)}?" if near else "the item has no regions."
        raise DataError(f"{where} has {written}, but there is no region '{name}'; {known}")
