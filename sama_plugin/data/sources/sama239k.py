"""SAMA-239K records and mask dictionaries → `Sample`. The small world writes the same form.

Format: `sama_official.md` §6, restated in the README. Extra keys are tolerated; what is there must be consistent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sama_plugin.constants import PHRASE_END, PHRASE_START, SEG_TOKEN
from sama_plugin.errors import DataError
from sama_plugin.schema import Rle, Sample, Turn

LEGACY_TOKENS = {"<seg>": SEG_TOKEN, "<g_s>": PHRASE_START, "<g_e>": PHRASE_END}
INTERLEAVED_REQUEST = " Response with interleaved segmentation masks."
INTERLEAVED_MARK = "with interleaved segmentation masks."


class Record(NamedTuple):
    """A sample and the record it came from, for what a benchmark keeps beside the dialogue."""

    sample: Sample
    raw: dict[str, Any]


def read_json(path: Path) -> Any:
    """Contents of a JSON file.

    Raises:
        DataError: missing or malformed.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; check the folder and the file name.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from error


def read_records(
    records: Path, masks: Path, video_root: Path, *, ask_for_masks: bool = False, source: str = "sama239k"
) -> Iterator[Record]:
    """Read every conversation of a file.

    Args:
        records: JSON list of records.
        masks: JSON mask dictionary, id → one RLE or null per frame.
        video_root: folder the records' `video` is relative to.
        ask_for_masks: append the official request for masks to questions whose answer has any.
        source: name kept in each sample.

    Yields:
        A record per conversation, in file order.

    Raises:
        DataError: file, record index and what is wrong with it.
    """
    tracks: dict[str, list[Rle | None]] = read_json(masks)
    content = read_json(records)
    if not isinstance(content, list):
        raise DataError(f"{records} holds a {type(content).__name__}, expected a list of records.")
    for index, raw in enumerate(content):
        where = f"{records}, record {index}"
        try:
            if raw.get("conversation"):
                yield Record(_sample(raw, tracks, video_root, ask_for_masks, source, index), raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{where}: {type(error).__name__} {error}; see the format in the README."
            ) from error
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _sample(
    raw: dict[str, Any],
    tracks: dict[str, list[Rle | None]],
    video_root: Path,
    ask_for_masks: bool,
    source: str,
    index: int,
) -> Sample:
    conversation = raw["conversation"]
    rounds = list(zip(conversation[0::2], conversation[1::2], strict=False))
    region_ids, targets = raw.get("obj_masks", []), raw.get("groundtruth", [])
    details = raw.get("turns") or [{}] * len(rounds)
    for name, rows in (("obj_masks", region_ids), ("groundtruth", targets), ("turns", details)):
        if len(rows) < len(rounds):
            raise DataError(
                f"'{name}' has {len(rows)} entries for {len(rounds)} rounds of questions and answers."
            )
    turns = []
    for r, (human, gpt) in enumerate(rounds):
        answer = gpt["value"]
        for old, new in LEGACY_TOKENS.items():
            answer = answer.replace(old, new)
        question = _strip_media_mark(human["value"])
        if ask_for_masks and SEG_TOKEN in answer and INTERLEAVED_MARK not in question:
            question += INTERLEAVED_REQUEST
        span = details[r].get("span")
        turns.append(
            Turn(
                question=question,
                answer=answer,
                region_ids=tuple(str(i) for i in region_ids[r]),
                target_ids=tuple(tuple(str(i) for i in ids) for ids in targets[r]),
                task=details[r].get("task", "general"),
                kind=details[r].get("kind", ""),
                span=tuple(span) if span else None,
            )
        )
    used = {i for turn in turns for i in (*turn.region_ids, *(k for ids in turn.target_ids for k in ids))}
    missing = sorted(i for i in used if i not in tracks)
    if missing:
        raise DataError(f"mask ids {', '.join(missing[:5])} are not in the mask dictionary.")
    return Sample(
        sample_id=f"{raw.get('video_id', raw['video'])}/{index}",
        video_path=str(video_root / raw["video"]),
        turns=tuple(turns),
        masks={i: tracks[i] for i in used},
        source=source,
    )


def _strip_media_mark(question: str) -> str:
    for mark in ("<image>", "<video>"):
        question = question.replace(f"{mark}\n", "").replace(f"\n{mark}", "").replace(mark, "")
    return question
