"""What is annotated: a video and the masks of its objects, whatever files they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sama_plugin.errors import DataError
from sama_plugin.schema import Rle


@dataclass(frozen=True)
class TrackedObject:
    """One object of a video.

    Attributes:
        track: one `Rle` or None (absent) per mask frame.
        name: what it is, without article, such as `small red circle`; empty if nobody said.
        expressions: what the source says of it.
    """

    track: Sequence[Rle | None]
    name: str = ""
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrackedVideo:
    """A video with mask tracks.

    Attributes:
        video_id: unique in its source.
        video: path of the file or folder, as records name it, relative to the video root.
        height, width: of the masks, pixels.
        objects: number N is what `<objN>` means; each has as many mask frames as the others.
        frames: names of the frames of a folder, without suffix; None for a video file.
        frame_step: decoded frames per mask frame; 4 for SA-V.
    """

    video_id: str
    video: str
    height: int
    width: int
    objects: tuple[TrackedObject, ...]
    frames: tuple[str, ...] | None = None
    frame_step: int = 1

    def __post_init__(self) -> None:
        lengths = {len(thing.track) for thing in self.objects}
        if len(lengths) != 1 or lengths == {0}:
            raise DataError(
                f"Video '{self.video_id}' has tracks of {sorted(lengths)} frames, expected one length, 1 or more."
            )
        if self.frames is not None and len(self.frames) != self.num_frames:
            raise DataError(
                f"Video '{self.video_id}' has {len(self.frames)} frames but tracks of {self.num_frames}."
            )

    @property
    def num_frames(self) -> int:
        """Mask frames."""
        return len(self.objects[0].track)

    def fingerprint(self) -> str:
        """Another one where its objects, their masks or what is said of them are others."""
        things = [[list(thing.track), thing.name, thing.expressions] for thing in self.objects]
        content = json.dumps([self.height, self.width, things], sort_keys=True, default=bytes.decode)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class VideoEntry:
    """A video that is loaded when it is its turn.

    Attributes:
        video_id: unique in its source.
        media: file or folder of the video; it may be missing.
        load: reads its tracks; all their masks decode.
    """

    video_id: str
    media: Path
    load: Callable[[], TrackedVideo]
