"""What the exit code of `sama` says, as `sama --help` shows it; `docs/exit_codes.md` has more about each."""

from __future__ import annotations

DONE = 0
RESULT_SAYS_NO = 1
USER_ERROR = 2
BUG = 70
INTERRUPTED = 130
NO_READER = 141

EXIT_CODES = {
    DONE: "done",
    RESULT_SAYS_NO: "done, but the result says no, such as defects found",
    USER_ERROR: "not done: a wrong input, or something is not installed",
    BUG: "not done: a defect of sama itself, to be reported",
    INTERRUPTED: "interrupted by Ctrl-C; nothing half-written is left",
    NO_READER: "nobody read on, as in `sama eval list | head -1`",
}
