"""Are the video or frames of a record there, readable to the end, and of one size?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sama_plugin.data.defects import Defect
from sama_plugin.data.record_form import frame_names, frame_step
from sama_plugin.data.record_rules import UNKNOWN, ClipFacts, told_facts
from sama_plugin.errors import MediaError
from sama_plugin.media.decode import VideoClip, list_pictures, open_pictures

MEDIA_DEPTHS = ("full", "headers", "none")
"""Decode every frame; or only open videos and pictures; or do not look at media."""


def check_media(record: Mapping[str, Any], path: Path, depth: str) -> tuple[list[Defect], ClipFacts | None]:
    """Look at the media of a record.

    Args:
        record: what it says; well-formed.
        path: its video or folder of frames.
        depth: `full` or `headers`.

    Returns:
        What is wrong; and what its clip is like, None where that cannot be told.
    """
    names = frame_names(record)
    if not os.path.exists(path) or (names is not None and not path.is_dir()):
        return [
            Defect("media-missing", f"there is no {'file or folder' if names is None else 'folder'} {path}")
        ], None
    defects: list[Defect] = []
    if path.is_dir():
        facts = _check_folder(path, names, depth, defects)
    else:
        facts = _check_video(path, frame_step(record), depth, defects)
    told = told_facts(record).size
    if facts is not None and facts.size == UNKNOWN:
        return defects, replace(facts, size=told)
    if facts is not None and any(a is not None and a != b for a, b in zip(told, facts.size, strict=True)):
        message = f"its frames are {list(facts.size)} (height, width), the record says {list(told)}"
        defects.append(Defect("frame-size", message))
    return defects, facts


def _check_video(path: Path, step: int, depth: str, defects: list[Defect]) -> ClipFacts | None:
    try:
        clip = VideoClip.open(path)
        if clip.damage:
            defects.append(Defect("media-damaged", clip.damage.rstrip(".")))
            return None
        if depth == "full":
            for _ in clip.iter_frames():
                pass
    except MediaError as error:
        defects.append(Defect("media-damaged", str(error).rstrip(".")))
        return None
    return ClipFacts(-(-clip.num_frames // step), (clip.height, clip.width))


def _check_folder(
    path: Path, names: tuple[str, ...] | None, depth: str, defects: list[Defect]
) -> ClipFacts | None:
    there = {file.stem: file for file in list_pictures(path)}
    wanted = tuple(there) if names is None else names
    if not wanted:
        defects.append(Defect("media-missing", f"folder {path} has no frames"))
        return None
    if missing := [name for name in wanted if name not in there]:
        defects.append(Defect("frame-missing", _some(f"{path} lacks", missing, len(wanted))))
    sizes: dict[str, tuple[int, int]] = {}
    damaged = []
    for name in wanted:
        if name in there:
            try:
                sizes[name] = _picture_size(there[name], depth)
            except MediaError as error:
                damaged.append(f"{name} ({str(error).rstrip('.')})")
    if damaged:
        defects.append(Defect("frame-damaged", _some("it cannot read", damaged, len(wanted))))
    if not sizes:
        return None
    size = Counter(sizes.values()).most_common(1)[0][0]
    if other := [f"{name} {list(found)}" for name, found in sizes.items() if found != size]:
        defects.append(Defect("frame-size", _some(f"not all are {list(size)}:", other, len(wanted))))
        return ClipFacts(len(wanted))
    return ClipFacts(len(wanted), size)


def _picture_size(file: Path, depth: str) -> tuple[int, int]:
    """(H, W) of a picture.

    Raises:
        MediaError: it cannot be read.
    """
    clip = open_pictures(str(file.parent), (file,))
    if depth == "full":
        clip.read([0])
    return clip.height, clip.width


def _some(what: str, names: list[str], total: int) -> str:
    return f"{what} {len(names)} of {total} frames, such as {names[0]}"
