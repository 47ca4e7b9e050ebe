"""Files with mask tracks → `VideoEntry`s, told by what is in them: SA-V, MeViS-like, or records of our own form.

Source: SA-V's `*_manual.json` and `*_auto.json` (a list of RLEs per mask frame, every fourth frame of the video); the
`videos` form of MeViS that the official annotation reads (`sama_official.md` §9), with `expressions` or `objects`.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sama_plugin.data.annotation.tracks import TrackedObject, TrackedVideo, VideoEntry
from sama_plugin.data.corpus import MASKS_FILE, JsonCorpus
from sama_plugin.data.defects import missing_file
from sama_plugin.data.frame_extraction import VIDEO_SUFFIXES
from sama_plugin.data.json_file import read_json
from sama_plugin.data.record_form import NO_MASK, SAV_FRAME_STEP, frame_names, frame_step, media_path
from sama_plugin.data.track_rules import join_parts, track_fault
from sama_plugin.errors import DataError, MediaError
from sama_plugin.media.masks import check_mask, mask_area, union_masks
from sama_plugin.schema import Rle

SAV_SUFFIXES = ("_manual", "_auto")

Masks = Mapping[str, Sequence[Rle | None]]

Below = Callable[[Path], Mapping[str, Path]]
"""A folder → videos somewhere in it, by their file names."""

Prompted = Callable[[Path, Any, Path], list[VideoEntry]]
"""A file with clicks and boxes, what it holds as `prompts`, and its video root → its videos."""


def find_videos(
    paths: Sequence[Path], masks: Path | None, video_root: Path | None, prompted: Prompted | None = None
) -> list[VideoEntry]:
    """List the videos of some files; only lists of records and mask dictionaries are read at once.

    Args:
        paths: files, or folders of SA-V files.
        masks: mask dictionary of MeViS-like files and of records; None looks for `mask_dict.json` beside them.
        video_root: folder that videos are relative to; None is the folder of each file.
        prompted: called for a file with clicks and boxes in place of masks; None takes no such file.

    Raises:
        DataError: a file of no known form, a missing dictionary, nothing found, or two videos of one id.
    """
    entries: list[VideoEntry] = []
    below = functools.cache(_videos_below)
    for path in _files(paths):
        entries += _entries_of(path, masks, video_root or path.parent, prompted, below)
    counts = Counter(entry.video_id for entry in entries)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(
            f"{len(twice)} videos have the same id as another, such as '{twice[0]}'; annotate their files apart."
        )
    if not entries:
        raise DataError(f"There is no video with tracks in {', '.join(map(str, paths))}.")
    return entries


def _files(paths: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise missing_file(path)
        found = [path]
        if path.is_dir():
            found = sorted(p for s in SAV_SUFFIXES for p in path.rglob(f"*{s}.json"))
            if not found:
                raise DataError(f"{path} holds no SA-V files (*_manual.json, *_auto.json); name the files.")
        files += found
    return files


def _entries_of(
    path: Path, masks: Path | None, video_root: Path, prompted: Prompted | None, below: Below
) -> list[VideoEntry]:
    if path.stem.endswith(SAV_SUFFIXES):
        return [_sav_entry(path, video_root, below)]
    content = read_json(path)
    if isinstance(content, dict) and "masklet" in content:
        return [_sav_entry(path, video_root, below)]
    if isinstance(content, dict) and "prompts" in content and prompted is not None:
        return prompted(path, content["prompts"], video_root)
    dictionary = masks or path.parent / MASKS_FILE
    if isinstance(content, dict) and isinstance(content.get("videos"), dict):
        tracks = _read_masks(dictionary)
        return [
            VideoEntry(name, video_root / name, partial(_mevis_video, path, name, about, tracks))
            for name, about in content["videos"].items()
        ]
    if isinstance(content, list):
        return _record_entries(path, dictionary, video_root)
    raise DataError(
        f"{path} has no form that is known: expected SA-V ('masklet'), MeViS-like ('videos'), a list of SAMA "
        "records, or clicks and boxes ('prompts')."
    )


def _read_masks(path: Path) -> Masks:
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, expected a mapping of ids to tracks.")
    return content


# SA-V.


def _videos_below(folder: Path) -> dict[str, Path]:
    """Videos of a folder and all folders in it by their file names; the first of a name."""
    found: dict[str, Path] = {}
    for file in sorted(folder.rglob("*.mp4")):
        found.setdefault(file.name, file)
    return found


def _sav_entry(path: Path, video_root: Path, below: Below) -> VideoEntry:
    video_id = path.stem
    for suffix in SAV_SUFFIXES:
        video_id = video_id.removesuffix(suffix)
    media = next(
        (path.with_name(video_id + s) for s in VIDEO_SUFFIXES if path.with_name(video_id + s).exists()), None
    )
    name = f"{video_id}.mp4"
    media = media or below(video_root).get(name, video_root / name)
    video = media.relative_to(video_root) if media.is_relative_to(video_root) else Path(media.name)
    return VideoEntry(path.stem, media, partial(_sav_video, path, str(video)))


def _sav_video(path: Path, video: str) -> TrackedVideo:
    content = read_json(path)
    try:
        rows = content["masklet"]
        height, width = int(content["video_height"]), int(content["video_width"])
        count = max(len(row) for row in rows)
        tracks = [[_sav_mask(row[k], height, width) for row in rows] for k in range(count)]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is no SA-V annotation ({type(error).__name__} {error}); expected 'video_height', "
            "'video_width' and 'masklet', a list of as many RLEs for each mask frame."
        ) from error
    objects = tuple(TrackedObject(track) for track in tracks)
    return TrackedVideo(path.stem, video, height, width, objects, frame_step=SAV_FRAME_STEP)


def _sav_mask(rle: Any, height: int, width: int) -> Rle | None:
    """An RLE, None for one without a pixel: SA-V keeps those."""
    if rle is None:
        return None
    if list(rle["size"]) != [height, width]:
        raise ValueError(f"a mask of {rle['size']} in a video of {[height, width]}")
    check_mask(rle)
    return rle if mask_area(rle) else None


# MeViS-like.


def _mevis_video(path: Path, name: str, about: Any, masks: Masks) -> TrackedVideo:
    try:
        frames = tuple(str(frame) for frame in about["frames"])
        said = _mevis_objects(about)
        objects = tuple(
            TrackedObject(_united([masks[key] for key in ids]), expressions=tuple(words))
            for ids, words in said.items()
        )
        size = next(rle["size"] for thing in objects for rle in thing.track if rle is not None)
        height, width = (int(side) for side in size)
    except (KeyError, TypeError, ValueError, AttributeError, MediaError) as error:
        raise DataError(
            f"{path}, video '{name}': {type(error).__name__} {error}; expected MeViS's form."
        ) from error
    except StopIteration:
        raise DataError(f"{path}, video '{name}': no object has a mask on any frame.") from None
    return TrackedVideo(name, name, height, width, objects, frames)


def _mevis_objects(about: Any) -> dict[tuple[str, ...], list[str]]:
    """Mask ids of each object → what is said of it alone; expressions of several objects are left out."""
    said: dict[tuple[str, ...], list[str]] = {}
    if "objects" in about:
        for thing in about["objects"].values():
            ids = tuple(str(i) for i in thing["anno_ids"])
            said.setdefault(ids, []).extend(str(text) for text in thing.get("expressions", ()))
        return said
    for expression in about["expressions"].values():
        keys = [str(i) for i in expression["anno_id"]]
        for key in keys:
            said.setdefault((key,), [])
        if len(keys) == 1:
            said[(keys[0],)].append(str(expression["exp"]))
    return said


def _united(tracks: Sequence[Sequence[Rle | None]]) -> list[Rle | None]:
    """The union of tracks of one length."""
    if len(tracks) > 1:
        return [union_masks([rle for rle in masks if rle is not None]) for masks in zip(*tracks, strict=True)]
    for rle in tracks[0]:
        if rle is not None:
            check_mask(rle)
    return list(tracks[0])


# Records of our own form.


def _record_entries(path: Path, masks: Path, video_root: Path) -> list[VideoEntry]:
    """One entry per video: of several dialogues about one, the first tells its objects."""
    corpus = JsonCorpus(path, masks, video_root)
    entries: dict[str, VideoEntry] = {}
    for index in range(len(corpus)):
        record = corpus.record(index)
        try:
            video = str(record["video"])
            if video not in entries and record.get("anno_map"):
                load = partial(_record_video, corpus, index)
                entries[video] = VideoEntry(video, video_root / media_path(record), load)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, record {index}: {type(error).__name__} {error}; see `sama data check`."
            ) from error
    return list(entries.values())


def _record_video(corpus: JsonCorpus, index: int) -> TrackedVideo:
    record, where = corpus.record(index), f"{corpus.path}, record {index}"
    keys = [str(key) for key in record["anno_map"]]
    tracks = {key: corpus.track(record, key) for key in keys if key != NO_MASK}
    if missing := [key for key, track in tracks.items() if track is None]:
        raise DataError(f"{where}: mask ids {', '.join(missing[:5])} are not in the mask dictionary.")
    for key, track in tracks.items():
        if fault := track_fault(track, None, (None, None), deep=True):
            raise DataError(f"{where}: mask id {key}: {fault[1]} ({fault[0]}).")
    joined = {key: join_parts(track) for key, track in tracks.items() if track is not None}
    things = record.get("objects") or [{}] * len(keys)
    if not isinstance(things, list) or not all(isinstance(thing, dict) for thing in things):
        raise DataError(f"{where}: 'objects' is {things!r:.60}, expected a list with an object for each id.")
    if len(things) != len(keys):
        raise DataError(f"{where}: 'objects' has {len(things)} entries for {len(keys)} in 'anno_map'.")
    length = max((len(track) for track in joined.values()), default=0)
    objects = tuple(
        TrackedObject(
            joined.get(key) or [None] * length,
            str(thing.get("name") or "") if thing.get("named", True) else "",
        )
        for key, thing in zip(keys, things, strict=True)
    )
    size = next((rle["size"] for thing in objects for rle in thing.track if rle is not None), None)
    if size is None:
        raise DataError(f"{where}: no object has a mask on any frame.")
    video = str(record["video"])
    names, step = frame_names(record), frame_step(record)
    return TrackedVideo(video, video, int(size[0]), int(size[1]), objects, names, step)
