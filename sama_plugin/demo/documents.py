"""Sessions, regions and turns as the plain values that programs get."""

from __future__ import annotations

from typing import Any

from sama_plugin.inference.answer_file import object_document
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.marks import hex_colour, object_colour
from sama_plugin.prompting.answer_parsing import locate_phrases
from sama_plugin.schema import GroundedAnswer, RegionPrompt


def video_document(clip: VideoClip) -> dict[str, Any]:
    """What a video consists of."""
    return {
        "num_frames": clip.num_frames,
        "width": clip.width,
        "height": clip.height,
        "fps": clip.fps,
        "duration_s": clip.duration_s,
        "timestamps_s": clip.timestamps_s.tolist(),
        **({"damage": clip.damage} if clip.damage else {}),
    }


def prompt_document(prompt: RegionPrompt) -> dict[str, Any]:
    """What a region was made from: `point`, `box` or `scribble`; nothing of a mask, which is the region itself."""
    if prompt.box_xyxy is not None:
        return {"box": list(prompt.box_xyxy)}
    if prompt.points_xy is None:
        return {}
    rows = prompt.points_xy.tolist()
    if prompt.point_labels is not None:
        rows = [[*row, label] for row, label in zip(rows, prompt.point_labels.tolist(), strict=True)]
    return {prompt.kind: rows}


def turn_document(answer: GroundedAnswer) -> dict[str, Any]:
    """A finished turn; `objects` also say their colour and the characters of `text` they stand at."""
    places = locate_phrases(answer.raw)
    return {
        "question": answer.question,
        "text": answer.text,
        "raw": answer.raw,
        "objects": [
            {
                **object_document(thing),
                "colour": hex_colour(object_colour(thing.id)),
                "start": start,
                "end": end,
            }
            for thing, (start, end) in zip(answer.objects, places, strict=False)
        ],
        "num_tokens": answer.num_tokens,
        "is_cut": answer.is_cut,
        "timing_s": dict(answer.timing_s),
        "counters": dict(answer.counters),
    }
