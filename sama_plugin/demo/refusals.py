"""A request that is not granted, and why: the code that programs read, the sentence that people read."""

from __future__ import annotations

from sama_plugin.errors import CancelledError, MediaError, SamaError, own_words

STATUSES = {
    "no_session": 404,
    "not_found": 404,
    "cancelled": 409,
    "too_large": 413,
    "not_a_video": 415,
    "bad_request": 422,
    "too_many_sessions": 429,
    "too_many_requests": 429,
    "forbidden": 403,
    "internal": 500,
    "worker_crashed": 503,
    "no_room": 507,
}
"""Code → HTTP status."""


class RefusedError(SamaError):
    """A request that is not granted.

    Attributes:
        code: one of `STATUSES`.
        message: what is wrong and what to do.
    """

    def __init__(self, code: str, message: str):
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """HTTP status."""
        return STATUSES[self.code]

    def as_dict(self) -> dict[str, str]:
        """`code` and `message`."""
        return {"code": self.code, "message": self.message}


def refusal_of(error: SamaError, media: str = "bad_request") -> RefusedError:
    """An error of the package as a refusal.

    Args:
        error: of any kind.
        media: code of a `MediaError`.
    """
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, CancelledError):
        return RefusedError("cancelled", own_words(error))
    return RefusedError(media if isinstance(error, MediaError) else "bad_request", own_words(error))
