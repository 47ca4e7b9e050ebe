"""A list of changes to other packages' objects that can be taken back, last first."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

_ABSENT = object()


class UndoLog:
    """Makes changes and remembers how each was before; `undo()` restores all of them exactly."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def call(self, step: Callable[[], None]) -> None:
        """Remember a step to take at `undo()`."""
        self._steps.append(step)

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute; a class attribute that was inherited is deleted again at `undo()`, not copied."""
        before = vars(owner).get(name, _ABSENT)
        setattr(owner, name, value)
        self.call(lambda: delattr(owner, name) if before is _ABSENT else setattr(owner, name, before))

    def set_item(self, mapping: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """Set an item of a mapping."""
        before = mapping.get(key, _ABSENT)
        mapping[key] = value

        def restore() -> None:
            if before is _ABSENT:
                mapping.pop(key, None)
            else:
                mapping[key] = before

        self.call(restore)

    def undo(self) -> None:
        """Take every change back, last first, and forget them."""
        while self._steps:
            self._steps.pop()()
