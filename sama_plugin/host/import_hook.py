"""Calls a function once a module has been imported: at once, or when somebody imports it later."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

AfterImport = Callable[[ModuleType], None]


def call_after_import(name: str, action: AfterImport) -> Callable[[], None]:
    """Call `action(module)` now if module `name` is imported, else right after its import.

    Returns:
        A function that withdraws the wish if the module has not come by then.
    """
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return lambda: None
    finder = _WaitingFinder(name, action)
    sys.meta_path.insert(0, finder)
    return finder.withdraw


class _WaitingFinder(importlib.abc.MetaPathFinder):
    """Waits for one module name, then lets the other finders find it and wraps its loader."""

    def __init__(self, name: str, action: AfterImport) -> None:
        self._name = name
        self._action = action

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _ActingLoader(spec.loader, self)
                return spec
        return None

    def withdraw(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def arrived(self, module: ModuleType) -> None:
        self.withdraw()
        self._action(module)


class _ActingLoader(importlib.abc.Loader):
    """The module's own loader; once it has run, it stands in the module again and the action is called."""

    def __init__(self, loader: Any, waiting: _WaitingFinder) -> None:
        self._loader = loader
        self._waiting = waiting

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None, "the import system sets __spec__ before it runs a module"
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._waiting.arrived(module)
