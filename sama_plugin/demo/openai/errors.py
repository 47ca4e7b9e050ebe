"""Errors as clients of OpenAI's API expect them: their statuses, in their form."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from sama_plugin.demo.refusals import RefusedError, refusal_of
from sama_plugin.demo.responses import json_response
from sama_plugin.errors import PromptError, SamaError

INVALID, LIMITED, SERVER = "invalid_request_error", "rate_limit_error", "server_error"
BAD_REQUEST = 400
"""Of all that a client can mend by another request; its SDKs know no 415 and 422 of ours."""

AS_BAD_REQUEST = ("bad_request", "not_a_video")

NOT_TO_REPEAT = ("cancelled", "too_many_sessions")
"""Codes whose statuses let an SDK ask again by itself, though that mends nothing."""


class BadParameterError(PromptError):
    """A part of a request that cannot be used.

    Attributes:
        param: where, such as `messages[0].content`; None for the whole.
        code: for programs.
        status: HTTP status.
    """

    def __init__(
        self, message: str, param: str | None = None, code: str = "invalid_value", status: int = BAD_REQUEST
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


def error_document(error: SamaError) -> tuple[int, dict[str, Any]]:
    """HTTP status and body of an error."""
    if isinstance(error, BadParameterError):
        return error.status, _document(str(error), INVALID, error.param, error.code)
    refusal: RefusedError = refusal_of(error)
    status = BAD_REQUEST if refusal.code in AS_BAD_REQUEST else refusal.status
    kind = LIMITED if status == 429 else SERVER if status >= 500 else INVALID
    return status, _document(refusal.message, kind, None, refusal.code)


def error_response(error: SamaError) -> Response:
    """An error as a response."""
    status, document = error_document(error)
    response = json_response(document, status)
    if document["error"]["code"] in NOT_TO_REPEAT:
        response.headers["x-should-retry"] = "false"
    return response


def _document(message: str, kind: str, param: str | None, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
