"""Hand-written data (`data.own_data`) → `Sample`, and → records and masks in the SAMA-239K form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from sama_plugin.data.corpus import MASKS_FILE, RECORDS_FILE
from sama_plugin.data.kept_inputs import check_inputs_kept
from sama_plugin.data.own_data import OwnItem, read_items
from sama_plugin.data.own_regions import OwnTrack, Tracker, find_tracks
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError, MediaError
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import Sample, Turn


class OpenedItem(NamedTuple):
    """A hand-written dialogue with its video and masks.

    Attributes:
        item: as written.
        path: of its video.
        clip: the video.
        tracks: of every region by name.
    """

    item: OwnItem
    path: Path
    clip: VideoClip
    tracks: dict[str, OwnTrack]


def read_own(records: Path, video_root: Path) -> list[Sample]:
    """Samples of a hand-written file; its videos and masks are looked at now, so that errors are told before training.

    Args:
        records: the file.
        video_root: folder its videos are relative to; paths of masks are relative to the file.

    Raises:
        DataError: file, item and field that is wrong.
    """
    return [_sample(opened) for opened in open_items(records, video_root)]


def open_items(records: Path, video_root: Path, tracker: Tracker | None = None) -> Iterator[OpenedItem]:
    """Every item of a file with its video and masks.

    Args:
        records: the file.
        video_root: folder its videos are relative to.
        tracker: see `find_tracks`.

    Raises:
        DataError: file, item and field that is wrong.
    """
    for item in read_items(records):
        path = video_root / item.video
        try:
            clip = VideoClip.open(path)
        except MediaError as error:
            raise DataError(f"{item.where}.video: {error}") from error
        yield OpenedItem(item, path, clip, find_tracks(item, clip, records.parent, tracker))


def _sample(opened: OpenedItem) -> Sample:
    turns = tuple(
        Turn(turn.question, turn.answer, turn.regions, turn.targets, task=turn.task, kind=turn.kind)
        for turn in opened.item.turns
    )
    used = dict.fromkeys(name for turn in turns for name in turn.mask_ids)
    masks = {name: opened.tracks[name].rles for name in used}
    return Sample(opened.item.item_id, str(opened.path), turns, masks, source="own")


def convert_own(records: Path, video_root: Path, out: Path, tracker: Tracker | None = None) -> int:
    """Write a hand-written file in the SAMA-239K form: `records.json` and `mask_dict.json`; media stay where they are.

    Args:
        records: the file.
        video_root: folder its videos are relative to, and lie below.
        out: folder; made if missing.
        tracker: see `find_tracks`.

    Returns:
        How many records were written.

    Raises:
        DataError: file, item and field that is wrong; a video that is not below `video_root`; a file that is
            read would be written over.
    """
    read = [records.parent / masks for masks in _mask_paths(records)]
    check_inputs_kept([records, *read], [out / MASKS_FILE, out / RECORDS_FILE])
    masks: dict[str, Any] = {}
    made = []
    for opened in tqdm(open_items(records, video_root, tracker), desc="convert", unit="item", disable=None):
        first = len(masks)
        numbers = {name: first + k for k, name in enumerate(opened.tracks)}
        masks |= {str(numbers[name]): track.rles for name, track in opened.tracks.items()}
        made.append(_record(opened, numbers, video_root))
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / MASKS_FILE, [json.dumps(masks)])
    write_text(out / RECORDS_FILE, [json.dumps(made, indent=1)])
    return len(made)


def _mask_paths(records: Path) -> Iterator[str]:
    """Files with masks that a file means, as written."""
    for item in read_items(records):
        yield from (one.masks for one in item.regions.values() if isinstance(one.masks, str))


def _record(opened: OpenedItem, numbers: dict[str, int], video_root: Path) -> dict[str, Any]:
    item, clip = opened.item, opened.clip
    if Path(item.video).is_absolute() or ".." in Path(item.video).parts:
        raise DataError(
            f"{item.where}.video is {item.video!r}, expected a path below {video_root}; give the folder that has all "
            "videos as --media."
        )
    return {
        "video": item.video,
        "video_id": item.item_id,
        "height": clip.height,
        "width": clip.width,
        "frames": None,
        "frame_step": 1,
        "anno_map": list(numbers.values()),
        "conversation": [
            {"from": speaker, "value": text}
            for turn in item.turns
            for speaker, text in (("human", turn.question), ("gpt", turn.answer))
        ],
        "obj_masks": [[numbers[name] for name in turn.regions] for turn in item.turns],
        "groundtruth": [[[numbers[name] for name in names] for names in turn.targets] for turn in item.turns],
        "turns": [{"task": turn.task, "kind": turn.kind} for turn in item.turns],
    }
