"""Referring expressions with the masks that they mean → samples: one turn per expression, some of them per example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.data.lazy_samples import LazySamples, LazyTracks, LeftOut, Track
from sama_plugin.data.track_rules import join_parts, track_fault
from sama_plugin.data.wordings import FOUND, NOT_FOUND, SEGMENT_IN_VIDEO, pick
from sama_plugin.errors import DataError
from sama_plugin.schema import Sample, Turn

EXPRESSIONS_PER_EXAMPLE = 5
"""Drawn anew each epoch. Source: official §1.5. Differs: none is drawn twice."""


@dataclass(frozen=True)
class Expression:
    """One expression of a video.

    Attributes:
        key: of the expression in its video.
        text: as it was written.
        mask_ids: whose union it means; empty where it means nothing in the video.
    """

    key: str
    text: str
    mask_ids: tuple[str, ...]


@dataclass(frozen=True)
class ReferredVideo:
    """A video and what is said of it.

    Attributes:
        name: its folder, below the root of the frames.
        frames: names of its frames, in order.
        expressions: at least one.
    """

    name: str
    frames: tuple[str, ...]
    expressions: tuple[Expression, ...]


def read_videos(meta: Path) -> dict[str, Any]:
    """`videos` of a `meta_expressions` file: name → `{frames, expressions: {id: {exp, ...}}}`.

    Raises:
        DataError: missing, malformed or of another form.
    """
    content = read_json(meta)
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, dict):
        raise DataError(f"{meta} has no 'videos', expected an object with the expressions of each video.")
    return videos


def expression_turn(
    text: str, mask_ids: Sequence[str], key: object, wordings: Sequence[str] = SEGMENT_IN_VIDEO
) -> Turn:
    """Ask for what an expression means.

    Args:
        text: the expression; a question is asked as it stands, anything else in one of the wordings.
        mask_ids: whose union is the answer's mask; without any the answer says that there is nothing.
        key: decides the wording.
        wordings: with `{it}` for the expression.

    Source: official §1.4. Differs: the wordings; an expression that means nothing is answered in words, not by an
        empty mask.
    """
    phrase = text.strip()
    question = phrase if "?" in phrase else pick(wordings, key).format(it=phrase.rstrip(".").lower())
    if not mask_ids:
        return Turn(question, pick(NOT_FOUND, key), task="none", kind="expression")
    return Turn(question, pick(FOUND, key, "answer"), (), (tuple(mask_ids),), "grounding", "expression")


def sample_videos(
    source: str,
    records: Sequence[Any],
    understand: Callable[[Any], ReferredVideo],
    root: Path,
    tracks: Mapping[str, Any],
) -> LazySamples:
    """A sample per video, a turn per expression.

    Args:
        source: name of the corpus.
        records: of the videos.
        understand: record → what is said of its video.
        root: folder of the folders of frames.
        tracks: mask id → one `Rle` or null per frame; maybe read on access.

    Raises:
        DataError: nothing is left. Expressions without words are left out as `expression-empty`, those whose masks the
            dictionary lacks as `mask-missing`.
    """

    def make(record: Any, left_out: LeftOut) -> Sample | None:
        video = understand(record)
        kept = [one for one in video.expressions if _is_usable(one, video, tracks, left_out)]
        turns = tuple(expression_turn(one.text, one.mask_ids, f"{video.name}/{one.key}") for one in kept)
        if not turns:
            return None
        sample_id = f"{source}/{video.name}"
        return Sample(
            sample_id=sample_id,
            video_path=str(root / video.name),
            turns=turns,
            masks=LazyTracks([i for turn in turns for i in turn.mask_ids], _loader(tracks, video, sample_id)),
            source=source,
            frame_names=video.frames,
            num_drawn=EXPRESSIONS_PER_EXAMPLE,
        )

    return LazySamples(source, records, make, num_drawn=EXPRESSIONS_PER_EXAMPLE)


def _is_usable(
    expression: Expression, video: ReferredVideo, tracks: Mapping[str, Any], left_out: LeftOut
) -> bool:
    place = f"video {video.name}, expression {expression.key}"
    if not expression.text.strip():
        left_out.add("expression-empty", place)
        return False
    if missing := [i for i in expression.mask_ids if i not in tracks]:
        left_out.add("mask-missing", f"{place}, mask {missing[0]}")
        return False
    return True


def _loader(tracks: Mapping[str, Any], video: ReferredVideo, sample_id: str) -> Callable[[str], Track]:
    """Reads a track of a video and sees that it has a mask or null for every frame."""

    def load(mask_id: str) -> Track:
        track = tracks[mask_id]
        if fault := track_fault(track, len(video.frames), (None, None), deep=False):
            raise DataError(f"Sample '{sample_id}': mask '{mask_id}': {fault[1]} ({fault[0]}).")
        return join_parts(track)

    return load
