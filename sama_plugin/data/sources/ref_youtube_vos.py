"""Ref-YouTube-VOS: expressions of one object each, in videos given as folders of frames.

Published layout: `meta_expressions/train/meta_expressions.json` as MeViS's, without `anno_id`; frames
`train/JPEGImages/<name>/<frame>.jpg`. Its masks come as Sa2VA's pickle `{"<n>": [RLE or None, one per frame]}`, where n
counts expressions: videos in the order of the file, the ids of a video's expressions sorted as text.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sama_plugin.data.lazy_samples import LazySamples
from sama_plugin.data.plain_pickle import load_plain_pickle
from sama_plugin.data.referring import Expression, ReferredVideo, read_videos, sample_videos
from sama_plugin.errors import DataError


def read_ref_youtube_vos(meta: Path, masks: Path, frames_root: Path) -> LazySamples:
    """A sample per video, a turn per expression.

    Args:
        meta: `meta_expressions.json` of the training split.
        masks: the pickle, of plain containers only.
        frames_root: `train/JPEGImages`.

    Raises:
        DataError: files missing or malformed, a pickle that is more than containers, or as many masks as expressions
            are not there, so that the count would mean other objects; or nothing that can be used.

    Source: published layout; official `VideoRefYoutubeVOSDataset` (spec §6.4). Differs: see `data.referring`.
    """
    videos = read_videos(meta)
    tracks = load_plain_pickle(masks)
    counts = [len(_expressions(video)) for video in videos.values()]
    if not isinstance(tracks, dict) or len(tracks) != sum(counts):
        held = f"{len(tracks)} masks" if isinstance(tracks, dict) else f"a {type(tracks).__name__}"
        raise DataError(
            f"{masks} holds {held}, expected one mask for each of the {sum(counts)} expressions of {meta}: masks "
            "go by the count of expressions, so both files have to be of the same release."
        )
    starts = itertools.accumulate(counts, initial=0)
    records = [(name, video, start) for (name, video), start in zip(videos.items(), starts, strict=False)]
    by_text = {str(key): track for key, track in tracks.items()}
    return sample_videos("ref_youtube_vos", records, _understand, frames_root, by_text)


def _expressions(video: Any) -> Mapping[str, Any]:
    """Those of a video; none where it has another form, which is told when it is understood."""
    found = video.get("expressions") if isinstance(video, dict) else None
    return found if isinstance(found, dict) else {}


def _understand(record: tuple[str, Any, int]) -> ReferredVideo:
    name, video, start = record
    expressions = (
        Expression(key, one["exp"], (str(count),))
        for count, (key, one) in enumerate(sorted(video["expressions"].items()), start)
    )
    return ReferredVideo(name, tuple(sorted(video["frames"])), tuple(expressions))
