"""Tracks for videos without masks: SAM2 from clicks, boxes, scribbles or a mask on one frame of each object.

{"prompts": [{"video": "clips/a.mp4", "objects": [{"at": "box@12:40,30,120,160", "name": "brown dog"},
                                                  {"at": "point@3.5s:88,40;60,20,0"}]}]}

`at` is the region grammar of `sama chat` without the name. Tracks are found once and kept in a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sama_plugin.data.annotation.tracks import TrackedObject, TrackedVideo, VideoEntry
from sama_plugin.data.json_file import read_json
from sama_plugin.data.text_file import write_text
from sama_plugin.errors import DataError
from sama_plugin.grounding.prompt_tracking import track_prompts
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.regions import parse_regions


def find_prompted_videos(
    path: Path, prompts: Any, video_root: Path, head: Sam2Head, folder: Path
) -> list[VideoEntry]:
    """Videos of a file of prompts.

    Args:
        path: the file, for errors.
        prompts: what it holds under that name.
        video_root: folder that its videos are relative to.
        head: tracks them.
        folder: keeps tracks that were found.

    Raises:
        DataError: not of the form.
    """
    entries = []
    for index, row in enumerate(prompts if isinstance(prompts, list) else [prompts]):
        try:
            video, objects = str(row["video"]), row["objects"]
            texts = [f"r{n}={thing['at']}" for n, thing in enumerate(objects)]
            names = [str(thing.get("name") or "") for thing in objects]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, prompts[{index}]: {type(error).__name__} {error}; expected 'video' and 'objects', each with "
                "'at', such as box@12:40,30,120,160, and if wanted 'name'."
            ) from error
        if not texts:
            raise DataError(f"{path}, prompts[{index}]: 'objects' is empty; point at one at least.")
        media = video_root / video
        load = partial(_load, head, media, video, texts, names, folder)
        entries.append(VideoEntry(video, media, load))
    return entries


def _load(
    head: Sam2Head, media: Path, video: str, texts: Sequence[str], names: Sequence[str], folder: Path
) -> TrackedVideo:
    """Tracks from the folder, or found and kept there."""
    clip = VideoClip.open(media)
    asked = {"video": str(media), "frames": clip.num_frames, "prompts": list(texts)}
    path = folder / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}.json"
    if path.exists():
        content: Mapping[str, Any] = read_json(path)
    else:
        tracks = track_prompts(head, clip, [[prompt] for prompt in parse_regions(texts, clip)])
        content = {**asked, "tracks": tracks}
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, [json.dumps(content)])
    objects = tuple(TrackedObject(t, name) for t, name in zip(content["tracks"], names, strict=True))
    return TrackedVideo(video, video, clip.height, clip.width, objects)
