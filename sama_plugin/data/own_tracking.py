"""Tracks of hand-written regions by SAM2; apart from the reader, which needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sama_plugin.data.own_regions import Tracker
from sama_plugin.grounding.prompt_tracking import track_prompts
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import RegionPrompt, Rle


def sam2_tracker(head: Sam2Head) -> Tracker:
    """A tracker that asks SAM2."""

    def track(clip: VideoClip, prompts: Mapping[str, Sequence[RegionPrompt]]) -> dict[str, list[Rle | None]]:
        return dict(zip(prompts, track_prompts(head, clip, list(prompts.values())), strict=True))

    return track
