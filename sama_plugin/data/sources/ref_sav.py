"""Ref-SAV: long descriptions of the objects of SA-V videos.

Published layout: `Ref-SAV.json` with `{video: {video_path, anno_path, objects: {channel: {formated, short_caps}}}}`;
the first folder of both paths stands for the root. A video's annotation is SA-V's: `masklet` has, for every fourth
frame of the mp4, the RLE of each object, by channel.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.data.lazy_samples import LazySamples, LazyTracks, LeftOut, Track
from sama_plugin.data.record_form import SAV_FRAME_STEP
from sama_plugin.data.referring import EXPRESSIONS_PER_EXAMPLE
from sama_plugin.data.wordings import FOUND, SEGMENT_DESCRIBED, pick
from sama_plugin.errors import DataError
from sama_plugin.media.masks import mask_area
from sama_plugin.schema import Sample, Turn

SHOWN_MISSING = 3


def read_ref_sav(descriptions: Path, root: Path) -> LazySamples:
    """A sample per video, a turn per object.

    Args:
        descriptions: `Ref-SAV.json`.
        root: folder that stands for the first one of the paths in it.

    Raises:
        DataError: files missing or malformed, annotations missing (how many, and which), or nothing that can be used.

    Source: published layout; official `VideoSAM2Dataset`, mode `long` (spec §6.4). Differs: no object is drawn twice.
    """
    videos = read_json(descriptions)
    if not isinstance(videos, dict):
        raise DataError(f"{descriptions} holds a {type(videos).__name__}, expected an object of videos.")
    _check_annotations(videos, root)

    def make(record: tuple[str, Any], left_out: LeftOut) -> Sample | None:
        name, video = record
        turns = tuple(
            turn for channel, one in video["objects"].items() if (turn := _turn(name, channel, one, left_out))
        )
        if not turns:
            return None
        load = _loader(_below(root, video["anno_path"]), f"ref_sav/{name}")
        return Sample(
            sample_id=f"ref_sav/{name}",
            video_path=str(_below(root, video["video_path"])),
            turns=turns,
            masks=LazyTracks([i for turn in turns for i in turn.mask_ids], load),
            source="ref_sav",
            frame_step=SAV_FRAME_STEP,
            num_drawn=EXPRESSIONS_PER_EXAMPLE,
        )

    return LazySamples("ref_sav", list(videos.items()), make, num_drawn=EXPRESSIONS_PER_EXAMPLE)


def _turn(name: str, channel: str, described: Any, left_out: LeftOut) -> Turn | None:
    text = described["formated"].strip()
    if not text:
        left_out.add("expression-empty", f"video {name}, object {channel}")
        return None
    key = f"{name}/{channel}"
    question, answer = pick(SEGMENT_DESCRIBED, key).format(it=text), pick(FOUND, key, "answer")
    return Turn(question, answer, (), ((str(int(channel)),),), "grounding", "description")


def _below(root: Path, path: str) -> Path:
    """A path of the file without its first folder, below the root; `..` leads nowhere."""
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", ".", "..")]
    return root.joinpath(*(parts[1:] or parts))


def _check_annotations(videos: dict[str, Any], root: Path) -> None:
    paths = [video.get("anno_path") for video in videos.values() if isinstance(video, dict)]
    files = [_below(root, path) for path in paths if isinstance(path, str)]
    if missing := [str(file) for file in files if not file.is_file()]:
        shown = ", ".join(missing[:SHOWN_MISSING])
        raise DataError(f"{len(missing)} of {len(files)} annotations are missing, such as {shown}.")


def _loader(annotation: Path, sample_id: str) -> Callable[[str], Track]:
    """Reads the track of a channel; the file once for all of a sample's."""
    frames: list[Any] = []

    def load(channel: str) -> Track:
        if not frames:
            frames.extend(_masklet(annotation))
        place = int(channel)
        if short := [n for n, rles in enumerate(frames) if place >= len(rles)]:
            raise DataError(
                f"Sample '{sample_id}': object {channel} is not in frame {short[0]} of {annotation}, which has "
                f"{len(frames[short[0]])} objects there."
            )
        return [rle if mask_area(rle) else None for rle in (rles[place] for rles in frames)]

    return load


def _masklet(annotation: Path) -> list[Any]:
    content = read_json(annotation)
    masklet = content.get("masklet") if isinstance(content, dict) else None
    if not isinstance(masklet, list) or not all(isinstance(rles, list) for rles in masklet):
        raise DataError(f"{annotation} has no 'masklet' with a list of masks for every frame.")
    return masklet
