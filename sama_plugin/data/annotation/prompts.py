"""The prompts of the model that writes: text files with `$placeholders`, which a user may copy and change."""

from __future__ import annotations

import hashlib
import shutil
import string
from dataclasses import dataclass
from pathlib import Path

from sama_plugin.errors import DataError

SHIPPED = Path(__file__).with_name("prompts")
PLACEHOLDERS: dict[str, set[str]] = {
    "system": set(),
    "describe": {"object", "facts"},
    "converse": {"least", "most", "objects", "facts", "focus", "number"},
    "focus": set(),
    "repair": {"faults"},
    "verify": {"rounds"},
}
"""File without suffix → the placeholders it may hold, and must, but for those in `OPTIONAL`."""

OPTIONAL = {"facts", "focus", "least", "most", "number"}


@dataclass(frozen=True)
class Prompts:
    """Texts by name, as in `PLACEHOLDERS`."""

    texts: dict[str, str]

    def fill(self, name: str, **values: object) -> str:
        """A prompt with its placeholders filled in."""
        return (
            string.Template(self.texts[name])
            .substitute({key: str(value) for key, value in values.items()})
            .strip()
        )

    def focus(self, number: int) -> str:
        """What dialogue `number` cares most for: a line of `focus`, in turn."""
        lines = [line.strip() for line in self.texts["focus"].splitlines() if line.strip()]
        return lines[number % len(lines)] if lines else "variety"

    @property
    def digest(self) -> str:
        """Short name of exactly these texts."""
        return hashlib.sha256(repr(sorted(self.texts.items())).encode()).hexdigest()[:12]


def load_prompts(folder: Path | None = None) -> Prompts:
    """Read and check the prompts.

    Args:
        folder: of the user's own; None takes the shipped ones.

    Raises:
        DataError: a file is missing or has a placeholder too many or too few.
    """
    folder = folder or SHIPPED
    texts = {}
    for name, allowed in PLACEHOLDERS.items():
        path = folder / f"{name}.txt"
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{path} cannot be read ({error}); copy all prompts with `sama annotate --copy-prompts DIR`."
            ) from error
        _check_placeholders(path, text, allowed)
        texts[name] = text
    return Prompts(texts)


def copy_prompts(folder: Path) -> list[Path]:
    """Copy the shipped prompts into a folder; files that are there are left alone and make it fail.

    Raises:
        DataError: one is there already, or the folder cannot be written.
    """
    targets = [folder / f"{name}.txt" for name in PLACEHOLDERS]
    if there := [str(path) for path in targets if path.exists()]:
        raise DataError(f"{there[0]} is there already; choose another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in targets:
            shutil.copyfile(SHIPPED / path.name, path)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error}.") from error
    return targets


def _check_placeholders(path: Path, text: str, allowed: set[str]) -> None:
    used: set[str] = set()
    for match in string.Template.pattern.finditer(text):
        if match["invalid"] is not None:
            line = text.count("\n", 0, match.start()) + 1
            raise DataError(
                f"{path}, line {line} has a $ that begins no placeholder; write $$ for the sign itself."
            )
        used |= {match["named"] or match["braced"]} - {None}
    if spare := used - allowed:
        known = ", ".join(f"${name}" for name in sorted(allowed)) or "none"
        raise DataError(f"{path} has ${min(spare)}, which nothing fills in; expected {known}.")
    if lacking := allowed - used - OPTIONAL:
        raise DataError(
            f"{path} lacks ${min(lacking)}; without it the model does not know what to write about."
        )
