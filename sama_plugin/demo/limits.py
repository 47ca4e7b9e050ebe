"""What a server lets its visitors have; each limit is an option of `sama serve`, listed by `/api/status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from sama_plugin.errors import PromptError

MEGA = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds on number, size and time.

    Attributes:
        sessions: open at once.
        idle_s: a session that nobody asks for anything so long is closed, seconds.
        upload_bytes: of a video file.
        frames: of a video.
        frame_width: of a video, pixels; its longer side.
        frame_height: of a video, pixels; its shorter side.
        duration_s: of a video, seconds.
        stall_s: without a byte of an upload, after which it is given up, seconds.
        open_s: that looking into an uploaded file may take, seconds.
        regions: of a session.
        turns: of a session.
        question_chars: of a question.
        queue: questions that are answered or wait.
        body_bytes: of a request that is no upload, such as a region's mask.
        chat_bytes: of a request for a chat completion, which may hold its video.
        files: uploaded for chat completions and kept at once.
    """

    sessions: int = 16
    idle_s: float = 1800.0
    upload_bytes: int = 512 * MEGA
    frames: int = 20_000
    frame_width: int = 4096
    frame_height: int = 2304
    duration_s: float = 7200.0
    stall_s: float = 60.0
    open_s: float = 60.0
    regions: int = 64
    turns: int = 64
    question_chars: int = 4000
    queue: int = 32
    body_bytes: int = 4 * MEGA
    chat_bytes: int = 64 * MEGA
    files: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise PromptError(f"The limit {field.name} is {value}, expected more than 0.")

    def as_dict(self) -> dict[str, int | float]:
        """Name → value."""
        return asdict(self)
