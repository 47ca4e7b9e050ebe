"""Makes `import llava...` resolve to the host's redistribution `llavaction`, to the very same module objects.

Only where LLaVA-NeXT itself is not installed. Same objects, not a second copy: two copies of the host would
be two sets of classes, and `isinstance` and every rebound attribute would see only one of them.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

ALIAS = "llava"


class AliasFinder(importlib.abc.MetaPathFinder):
    """Finds `llava[.x]` as `<target>[.x]`."""

    def __init__(self, target: str) -> None:
        self.target = target

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec whose loader hands out the target's module; None for other names and for parts it lacks."""
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            return None
        real_name = self.target + fullname[len(ALIAS) :]
        real = importlib.util.find_spec(real_name)
        if real is None:
            return None
        spec = ModuleSpec(fullname, _AliasLoader(real_name), origin=real.origin)
        spec.submodule_search_locations = real.submodule_search_locations
        return spec


class _AliasLoader(importlib.abc.Loader):
    """Hands out an already imported module and leaves its own `__spec__` in place."""

    def __init__(self, real_name: str) -> None:
        self._real_name = real_name
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._real_name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just put the alias's spec there


def install_alias(target: str) -> None:
    """Put the alias first on the import path's finders; a second call does nothing."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder(target))


def remove_alias() -> None:
    """Take the alias away, with every `llava...` entry of `sys.modules` that it made."""
    targets = [finder.target for finder in sys.meta_path if isinstance(finder, AliasFinder)]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, AliasFinder)]
    for target in targets:
        for name in [name for name in sys.modules if name == ALIAS or name.startswith(ALIAS + ".")]:
            if sys.modules[name] is sys.modules.get(target + name[len(ALIAS) :]):
                del sys.modules[name]
