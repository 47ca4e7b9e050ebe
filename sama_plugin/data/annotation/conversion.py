"""Dialogues with tags → records of the published form: `<objN>` becomes `<mask>` in questions, `[SEG]` in answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sama_plugin.constants import DATA_REGION, PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.data.annotation.rounds import GROUNDED, TAG, TaggedRound, tag
from sama_plugin.data.annotation.tracks import TrackedVideo


def make_record(
    video: TrackedVideo,
    ids: Mapping[int, int],
    rounds: Sequence[TaggedRound],
    descriptions: Mapping[int, str],
    number: int,
) -> dict[str, Any]:
    """One dialogue as a record; `turns`, `frame_step` and `<objN>` counted from 0 as in the small world's records.

    Args:
        video: what it is about.
        ids: number of each object in the video → mask id; `<objN>` of the record counts along these.
        rounds: the dialogue; none for a record that only describes.
        descriptions: number → text, of the objects this record describes.
        number: of the record within the video.

    Source: published layout, `sama_official.md` §6.1. Differs: additions `turns` and `frame_step`.
    """
    order = {n: k for k, n in enumerate(ids)}
    record: dict[str, Any] = {
        "video": video.video,
        "video_id": f"{video.video_id}_{number}",
        "height": video.height,
        "width": video.width,
        "frames": None if video.frames is None else list(video.frames),
        "anno_map": list(ids.values()),
        "conversation": [],
        "obj_masks": [[ids[n] for n in one.regions] for one in rounds],
        "groundtruth": [[[ids[n] for n in numbers] for numbers in one.targets] for one in rounds],
        "description": {tag(order[n]): text for n, text in descriptions.items()},
        "turns": _details(rounds),
    }
    for one in rounds:
        record["conversation"] += [
            {"from": "human", "value": TAG.sub(DATA_REGION, one.question)},
            {"from": "gpt", "value": to_answer(one.answer)},
        ]
    if video.frame_step != 1:
        record["frame_step"] = video.frame_step
    return record


def to_answer(text: str) -> str:
    """An answer with one `[SEG]` for each phrase, however many objects the phrase means."""
    return GROUNDED.sub(lambda m: f"{PHRASE_START} {m['phrase'].strip()} {PHRASE_END} {SEG_TOKEN}", text)


def _details(rounds: Sequence[TaggedRound]) -> list[dict[str, Any]]:
    """What the published form has no place for, one entry per round."""
    details = []
    found: dict[int, int] = {}
    count = 0
    for one in rounds:
        details.append(
            {
                "task": one.task,
                "kind": one.kind,
                "span": None if one.span is None else list(one.span),
                "needs_history": one.needs_history,
                "refers": [found.get(n) for n in one.regions],
                "answer_key": one.answer_key,
            }
        )
        for numbers in one.targets:
            if len(numbers) == 1:
                found[numbers[0]] = count
            count += 1
    return details
