"""The errors a user can meet: one base, six kinds. Each says what, where, got, expected, and what to do."""

from typing import Any


class SamaError(Exception):
    """Base of every error this package raises on purpose; the command line ends with exit code 2 on it."""


class PromptError(SamaError):
    """A question, region or token sequence that cannot be used as given."""


class MediaError(SamaError):
    """A video, frame, mask or image that cannot be read or does not fit."""


class DamagedVideoError(MediaError):
    """A video that turns out, while it is read, to break in the middle; what comes before can be used.

    Attributes:
        num_readable: frames from the start of the clip, 1 or more, before the first that cannot be decoded; go
            on with `clip.window(0, error.num_readable)`. Frames that were not read yet may turn out damaged too.
    """

    def __init__(self, message: str, num_readable: int = 0):
        super().__init__(message)
        self.num_readable = num_readable


class DataError(SamaError):
    """A record, dataset or configuration file that breaks its format."""


class HostError(SamaError):
    """A missing or unsupported host, transformers, torch or sam2."""


class EndpointError(HostError):
    """A model behind a URL that did not answer a request, however often it was asked.

    Attributes:
        kind: `down` (no connection, or errors of its own), `slow` (no answer in time), `denied` (the key),
            `limited` (too many requests, or no quota left), `refused` (it does not take this request).
    """

    def __init__(self, message: str, kind: str = "down"):
        super().__init__(message)
        self.kind = kind


class ReplyError(DataError):
    """An answer of a model that is not of the form that was asked for.

    Attributes:
        text: what it said.
        faults: what is wrong with it, one sentence each.
        usage: what it took, as the endpoint counts it.
    """

    def __init__(self, message: str, text: str = "", faults: tuple[str, ...] = (), usage: Any = None):
        super().__init__(message)
        self.text = text
        self.faults = faults
        self.usage = usage


class CheckpointError(SamaError):
    """A checkpoint folder that is incomplete, foreign or damaged."""


class CancelledError(SamaError):
    """An answer that its session was told to stop; the conversation is as it was before the question."""


def own_words(error: SamaError) -> str:
    """What an error says, without the traceback that a loader's worker process puts before it."""
    text = str(error)
    return text.rpartition(f"{type(error).__name__}: ")[2].strip() if "Original Traceback" in text else text
