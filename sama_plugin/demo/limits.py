"""What a server lets its visitors have; each limit is an option of `sama serve`, listed by `/api/status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sama_plugin.errors import PromptError

MEGA = 2**20
MEANING = "meaning"
"""Key of a field's metadata: what it bounds, for the help of the command line."""


def _bound(default: float, meaning: str) -> Any:
    return field(default=default, metadata={MEANING: meaning})


@dataclass(frozen=True)
class Limits:
    """Bounds on number, size and time; all are more than 0. The metadata of each says what it bounds."""

    sessions: int = _bound(16, "sessions open at once")
    idle_s: float = _bound(1800.0, "seconds until a session that nobody uses is closed")
    grace_s: float = _bound(
        20.0, "seconds until a session is closed whose page is gone and does not come back"
    )
    upload_bytes: int = _bound(512 * MEGA, "bytes of a video file")
    stall_s: float = _bound(60.0, "seconds without a byte after which a request is given up")
    open_s: float = _bound(60.0, "seconds that looking into an uploaded file may take")
    frames: int = _bound(20_000, "frames of a video")
    frame_width: int = _bound(4096, "pixels of a frame's longer side")
    frame_height: int = _bound(2304, "pixels of a frame's shorter side")
    duration_s: float = _bound(7200.0, "seconds of a video")
    regions: int = _bound(64, "regions of a session")
    points: int = _bound(1000, "clicks, or points of a scribble, of a region")
    turns: int = _bound(64, "turns of a session")
    question_chars: int = _bound(4000, "letters of a question")
    queue: int = _bound(32, "questions that are answered or wait")
    body_bytes: int = _bound(4 * MEGA, "bytes of a request that is no upload, such as a region's mask")
    chat_bytes: int = _bound(32 * MEGA, "bytes of a request for a chat completion, which may hold its video")
    files: int = _bound(16, "files uploaded for chat completions and kept at once")

    def __post_init__(self) -> None:
        for name, value in self.as_dict().items():
            if not 0 < value < float("inf"):
                raise PromptError(f"The limit {name} is {value}, expected more than 0.")

    def as_dict(self) -> dict[str, int | float]:
        """Name → value."""
        return asdict(self)

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Name → what it bounds."""
        return {entry.name: entry.metadata[MEANING] for entry in fields(cls)}
