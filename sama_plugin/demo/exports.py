"""A conversation as files to keep: a video, pictures, masks in the forms other tools read, and code that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sama_plugin.inference.answer_file import answer_document, write_answer_file
from sama_plugin.inference.outputs import ANSWER_FILE, OVERLAY_FILE, STRIP_FILE
from sama_plugin.inference.visualization import write_overlay, write_strip
from sama_plugin.media.decode import VideoClip
from sama_plugin.schema import GroundedAnswer, Region

Writer = Callable[[Path, VideoClip, Sequence[GroundedAnswer], Sequence[Region]], None]


def write_export(
    path: Path, kind: str, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]
) -> None:
    """Write one of `EXPORTS`.

    Args:
        path: where to.
        kind: which.
        clip: the video.
        answers: the turns.
        regions: what was pointed at.

    Raises:
        MediaError: the video cannot be read any more, or the disk refuses.
    """
    EXPORTS[kind][1](path, clip, answers, regions)


def _write_answers(
    path: Path, clip: VideoClip, answers: Sequence[GroundedAnswer], regions: Sequence[Region]
) -> None:
    write_answer_file(path, answer_document(clip, answers, regions))


EXPORTS: dict[str, tuple[str, Writer]] = {
    OVERLAY_FILE: ("video/mp4", write_overlay),
    STRIP_FILE: ("image/png", write_strip),
    ANSWER_FILE: ("application/json", _write_answers),
}
"""File → its media type and what writes it."""
