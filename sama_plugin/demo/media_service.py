"""Processes that read visitors' files: a decoder that dies, or a file that decodes to hours, harms nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.demo.child_loop import Task
from sama_plugin.demo.exports import write_export
from sama_plugin.demo.frame_reader import FrameReader
from sama_plugin.demo.limits import Limits
from sama_plugin.demo.refusals import RefusedError
from sama_plugin.errors import MediaError
from sama_plugin.media.decode import IMAGE_SUFFIXES, VIDEO_FORMATS, VideoClip
from sama_plugin.media.encode import write_video

CLOSED_WORLD = {"format_whitelist": ",".join(sorted(VIDEO_FORMATS)), "protocol_whitelist": "file"}
"""For ffmpeg: containers that hold a video themselves."""

THREADS = 4
"""That decode side by side."""


class MediaService:
    """Does jobs that need no model; `operations` says which."""

    num_threads = THREADS

    def __init__(self) -> None:
        self._frames = FrameReader()
        self.operations: dict[str, Callable[..., Any]] = {
            "open": open_upload,
            "frame": self._frames.read,
            "forget": self._frames.forget,
            "example": render_example,
            "export": write_export,
        }

    def facts(self) -> None:
        """Nothing."""

    def do(self, _: Task, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Do one of `operations`."""
        return self.operations[operation](*arguments)


def open_upload(path: Path, name: str, limits: Limits) -> VideoClip:
    """Open a visitor's file, after a look at its header.

    Args:
        path: of the file.
        name: as the visitor calls it.
        limits: what it may be at most.

    Raises:
        RefusedError: it is no video, or larger than the limits.
    """
    if path.suffix not in IMAGE_SUFFIXES:  # of a picture, opening it reads no more than the header
        _check_header(path, name, limits)
    try:
        clip = VideoClip.open(path)
    except MediaError as error:
        raise RefusedError("not_a_video", str(error).replace(str(path), name)) from error
    _check_size(name, clip.width, clip.height, limits)
    _check_length(name, clip.num_frames, clip.duration_s, limits)
    clip.path = name
    return clip


def render_example(path: Path, seed: int) -> None:
    """Write a clip of the small world, of kinds that training has not seen."""
    scene, frames, _ = sample_clip(seed, "test")
    write_video(path, frames, scene.fps)


def _check_header(path: Path, name: str, limits: Limits) -> None:
    """Refuse a file by what it says of itself, before a frame of it is decoded; playlists open no other file."""
    try:
        with av.open(f"file:{path}", options=CLOSED_WORLD) as container:
            for stream in container.streams.video[:1]:
                if stream.codec_context is not None:
                    _check_size(name, stream.codec_context.width, stream.codec_context.height, limits)
                stream_s = float((stream.duration or 0) * (stream.time_base or 0))
                file_s = (container.duration or 0) / av.time_base
                _check_length(name, stream.frames, max(stream_s, file_s), limits)
    except av.FFmpegError as error:
        raise RefusedError(
            "not_a_video",
            f"'{name}' is not a video that can be read ({error.strerror}); expected mp4, mov, webm, mkv, avi or gif. "
            "If it should be one, it may be cut off.",
        ) from error


def _check_size(name: str, width: int, height: int, limits: Limits) -> None:
    if max(width, height) > limits.frame_width or min(width, height) > limits.frame_height:
        raise RefusedError(
            "too_large",
            f"'{name}' has frames of {width}x{height} pixels, at most {limits.frame_width}x{limits.frame_height} "
            "are taken; make it smaller.",
        )


def _check_length(name: str, num_frames: int, duration_s: float, limits: Limits) -> None:
    if num_frames > limits.frames:
        raise RefusedError(
            "too_large", f"'{name}' has {num_frames} frames, at most {limits.frames} are taken; cut it."
        )
    if duration_s > limits.duration_s:
        raise RefusedError(
            "too_large",
            f"'{name}' lasts {duration_s:.0f} s, at most {limits.duration_s:.0f} s are taken; cut it.",
        )
