"""What the exit code of `sama` says; `docs/exit_codes.md` and `sama --help` have the same table."""

from __future__ import annotations

DONE = 0
RESULT_SAYS_NO = 1
USER_ERROR = 2
BUG = 70
INTERRUPTED = 130
NO_READER = 141

EXIT_CODES = {
    DONE: "done",
    RESULT_SAYS_NO: "done, but the result says no: defects, failed conversations, something left or missing",
    USER_ERROR: "not done: a wrong input, or something that is not installed; one line says what",
    BUG: "not done: a defect of sama itself; the lines above it are what a report needs",
    INTERRUPTED: "interrupted by Ctrl-C; nothing half-written is left",
    NO_READER: "nobody read on, as in `sama eval list | head`; nothing is said",
}
