"""MeViS: expressions about what moves, of one object or several, in videos given as folders of frames.

Published layout, of a split: `meta_expressions.json` with `videos: {name: {frames, expressions: {id: {exp, obj_id,
anno_id}}}}`, `mask_dict.json` with `{anno_id: [RLE or null, one per frame]}`, `JPEGImages/<name>/<frame>.jpg`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sama_plugin.data.json_rows import JsonTable
from sama_plugin.data.lazy_samples import LazySamples
from sama_plugin.data.referring import Expression, ReferredVideo, read_videos, sample_videos


def read_mevis(meta: Path, masks: Path, frames_root: Path, source: str = "mevis") -> LazySamples:
    """A sample per video, a turn per expression.

    Args:
        meta: `meta_expressions.json`.
        masks: `mask_dict.json`; a mask is read when it is asked for.
        frames_root: `JPEGImages`.
        source: name of the corpus, of those that have this layout.

    Raises:
        DataError: files missing or malformed, or nothing that can be used.

    Source: published layout; official `VideoReVOSDataset` (spec §6.4). Differs: see `data.referring`.
    """
    videos = read_videos(meta)
    return sample_videos(source, list(videos.items()), _understand, frames_root, JsonTable(masks))


def _understand(record: tuple[str, Any]) -> ReferredVideo:
    name, video = record
    expressions = (
        Expression(key, one["exp"], tuple(str(mask_id) for mask_id in one["anno_id"]))
        for key, one in sorted(video["expressions"].items())
    )
    return ReferredVideo(name, tuple(sorted(video["frames"])), tuple(expressions))
