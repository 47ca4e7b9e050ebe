"""What a verb says beside its result: nothing of it under `--quiet`.

The result is what was asked for as text: answers, reports, tables, lists. Where it is files, all that is said of them
is a note, and so are the lines about what is being done, what was left out, progress bars and warnings.
"""

from __future__ import annotations

import sys
from typing import TextIO

_chosen = {"quiet": False}


def set_quiet(is_quiet: bool) -> None:
    """Let notes and progress bars be shown, or not, from here on; bars look for a terminal on stderr."""
    _chosen["quiet"] = is_quiet
    if is_quiet:
        sys.stderr.isatty = lambda: False  # type: ignore[method-assign]


def note(text: str, to: TextIO | None = None) -> None:
    """Say something that is no result, on stdout or there."""
    if not _chosen["quiet"]:
        print(text, file=to or sys.stdout, flush=True)


def note_loading(name: str) -> None:
    """Say at once, on a terminal, that a model is being loaded, since that takes seconds or minutes."""
    if sys.stderr.isatty():
        note(f"sama: loading {name} ...", sys.stderr)
