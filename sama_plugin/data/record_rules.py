"""The rules that a record has to keep, one code each (`defects.RULES`): for the reader and for `sama data check`.

Source: filters of the official loaders, `sama_official.md` §6.3, and the defects of §10. Differs: what is left out is
counted and said with its reason; an entry of `groundtruth` without ids never repeats its neighbour's mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from sama_plugin.constants import SEG_TOKEN
from sama_plugin.data.conversation_rules import ROWS, conversation_defects, is_id
from sama_plugin.data.defects import RULES, Defect, DefectError
from sama_plugin.data.record_form import (
    OBJECT_KEY,
    Round,
    frame_names,
    modern_tokens,
    num_rounds,
    object_ids,
    read_round,
)
from sama_plugin.data.track_rules import Track, is_seen, track_fault

TrackLookup = Callable[[str], Track | None]
"""Mask id → what the record's dictionary has for it; None if it lacks it."""

UNKNOWN = (None, None)


@dataclass(frozen=True)
class ClipFacts:
    """What is known of a record's frames without their files, or from these.

    Attributes:
        num_frames: None if not known.
        size: (H, W); each None if not known.
    """

    num_frames: int | None = None
    size: tuple[int | None, int | None] = UNKNOWN


def find_defects(
    record: Any, track_of: TrackLookup | None, *, deep: bool = False, clip: ClipFacts | None = None
) -> list[Defect]:
    """Everything that is wrong with one record and its masks; media are not looked at.

    Args:
        record: what one entry of the file says, of whatever type.
        track_of: looks up its masks; None leaves out the rules about them.
        deep: also see that all run lengths decode: most of the time it takes.
        clip: what its media are like, where they were read; else what the record says of them.

    Returns:
        In the order of the record; each defect of a mask once, however many rounds mean it.

    Raises:
        DefectError: from `track_of`, where a whole file cannot be used.
    """
    if faults := list(_form_faults(record)):
        return [Defect("record-form", fault) for fault in faults]
    if outside := _leaves_root(record["video"]):
        return [Defect("video-outside", outside)]
    found: list[Defect] = []
    for rule in (conversation_defects, _description_defects, _object_defects, _bench_defects):
        found += rule(record)
    if track_of is not None:
        found += _mask_defects(record, found, track_of, clip or told_facts(record), deep)
    if not record.get("conversation") and not record.get("description"):
        found.append(Defect("record-empty", "it has neither a conversation nor descriptions"))
    return found


def told_facts(record: Mapping[str, Any]) -> ClipFacts:
    """What a record says of its frames."""
    names = frame_names(record)
    return ClipFacts(None if names is None else len(names), (record.get("height"), record.get("width")))


def kept_rounds(record: Mapping[str, Any], defects: list[Defect]) -> list[Round]:
    """Rounds that no defect of the record costs."""
    if _is_lost(defects):
        return []
    lost = {defect.round for defect in defects if RULES[defect.code].costs == "round"}
    rounds = (read_round(record, index) for index in range(num_rounds(record)) if index not in lost)
    masks = _lost_masks(defects)
    return [one for one in rounds if masks.isdisjoint(one.mask_ids)]


def kept_descriptions(record: Mapping[str, Any], defects: list[Defect]) -> dict[str, tuple[str, str]]:
    """`<objN>` → mask id and description, of objects that have masks and that no defect of the record costs."""
    if _is_lost(defects):
        return {}
    lost = {defect.thing for defect in defects if RULES[defect.code].costs == "description"}
    masks, ids = _lost_masks(defects), object_ids(record)
    return {
        key: (ids[key], text)
        for key, text in (record.get("description") or {}).items()
        if key in ids and key not in lost and ids[key] not in masks
    }


def _is_lost(defects: list[Defect]) -> bool:
    return any(RULES[defect.code].costs == "record" for defect in defects)


def _lost_masks(defects: list[Defect]) -> set[str]:
    return {defect.mask_id for defect in defects if RULES[defect.code].costs == "mask"}


def _form_faults(record: Any) -> Iterator[str]:
    """Fields without which nothing else can be told."""
    if not isinstance(record, dict):
        yield f"it is {record!r:.60}, expected an object"
        return
    if not isinstance(record.get("video"), str) or not record["video"]:
        yield f"'video' is {record.get('video')!r:.60}, expected a path"
    for name in ("conversation", "anno_map", *ROWS):
        if not isinstance(record.get(name, []), list | None):
            yield f"'{name}' is {record[name]!r:.60}, expected a list"
    kinds = (("description", dict), ("description_id", dict), ("frames", list), ("turns", list))
    for name, kind in kinds:
        if not isinstance(record.get(name), kind | None):
            yield f"'{name}' is {record[name]!r:.60}, expected {'an object' if kind is dict else 'a list'}"
    for name in ("height", "width", "frame_step"):
        if name in record and record[name] is not None and not _is_count(record[name]):
            yield f"'{name}' is {record[name]!r:.60}, expected a whole number from 1"
    for i, mask_id in enumerate(_listed(record, "anno_map")):
        if not is_id(mask_id):
            yield f"'anno_map' has {mask_id!r:.60} at {i}, expected ids"
    for i, frame in enumerate(_listed(record, "frames")):
        frame_name = frame.get("raw_filename") if isinstance(frame, dict) else frame
        if not isinstance(frame_name, str) or not frame_name:
            yield f"'frames' has {frame!r:.60} at {i}, expected a name or an object with 'raw_filename'"


def _listed(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _leaves_root(video: str) -> str:
    path = PurePosixPath(video)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in video:
        return f"'video' is {video!r}, expected a path below the media root"
    return ""


def _description_defects(record: Mapping[str, Any]) -> Iterator[Defect]:
    objects = record.get("anno_map") or []
    for key, text in (record.get("description") or {}).items():
        match = OBJECT_KEY.fullmatch(key)
        if match is None or not isinstance(text, str):
            yield Defect(
                "description-form", f"it is {text!r:.60}, expected text under a key <objN>", thing=key
            )
        elif SEG_TOKEN in modern_tokens(text):
            yield Defect("description-form", f"it has {SEG_TOKEN}, which no mask goes with", thing=key)
        elif not text.strip():
            yield Defect("description-empty", "it has no text", thing=key)
        elif int(match[1]) >= len(objects):
            message = f"'anno_map' has {len(objects)} objects, none of this number"
            yield Defect("description-object", message, thing=key)


def _object_defects(record: Mapping[str, Any]) -> Iterator[Defect]:
    first: dict[str, str] = {}
    for key, mask_id in object_ids(record).items():
        if first.setdefault(mask_id, key) != key:
            yield Defect("object-twice", f"'anno_map' has id {mask_id} for {first[mask_id]} too", thing=key)


def _bench_defects(record: Mapping[str, Any]) -> Iterator[Defect]:
    """Ids of a benchmark that some of its questions or descriptions have and others have not."""
    humans = [m for m in (record.get("conversation") or [])[0::2] if isinstance(m, dict)]
    if any("question_id" in message for message in humans):
        for index, message in enumerate(humans):
            if "question_id" not in message:
                yield Defect("bench-id-missing", "its question has no 'question_id'", round=index)
    ids = record.get("description_id")
    if ids is not None:
        for key in record.get("description") or {}:
            if key not in ids:
                yield Defect("bench-id-missing", "'description_id' lacks it", thing=key)


def _mask_defects(
    record: Mapping[str, Any], found: list[Defect], track_of: TrackLookup, clip: ClipFacts, deep: bool
) -> Iterator[Defect]:
    """Defects of every track that the record means, and objects that are to be pointed at but never seen."""
    rounds = kept_rounds(record, found)
    described = kept_descriptions(record, found)
    unseen = set()
    for mask_id in dict.fromkeys(
        [*object_ids(record).values(), *(i for one in rounds for i in one.mask_ids)]
    ):
        try:
            track = track_of(mask_id)
        except DefectError as error:
            if RULES[error.defect.code].costs == "file":
                raise
            yield error.defect
            return
        fault = track_fault(track, clip.num_frames, clip.size, deep=deep)
        if fault is not None:
            yield Defect(*fault, mask_id=mask_id)
        elif track is not None and not is_seen(track, deep=deep):
            unseen.add(mask_id)
    for one in rounds:
        if hidden := unseen.intersection(one.regions):
            message = (
                f"mask {', '.join(sorted(hidden))} is empty on every frame, but the question points at it"
            )
            yield Defect("region-unseen", message, round=one.index)
    for key, (mask_id, _) in described.items():
        if mask_id in unseen:
            yield Defect("description-unseen", f"mask {mask_id} is empty on every frame", thing=key)
