"""Which host, transformers, torch and sam2 are supported, and the shims that let the host import on them.

`find_host` and `check_versions` read metadata only: they import nothing and change nothing. `before_host` and
`before_trainer` put back names that newer transformers moved; `undo_shims` takes them away again.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from sama_plugin.errors import HostError
from sama_plugin.host.alias import AliasFinder
from sama_plugin.host.undo import UndoLog

HOST_RANGES = {"llava": ">=1.7.0.dev0,<1.8", "llavaction": ">=0.0.1,<0.1"}
"""Supported host packages, the one that wins first: LLaVA-NeXT itself, then its redistribution."""

HOST_FILES = (
    "model/builder.py",
    "model/llava_arch.py",
    "model/language_model/llava_qwen.py",
    "model/multimodal_projector/builder.py",
)
"""What the seam attaches to; a `llava` package without them is another LLaVA."""

REQUIRED = {
    "torch": (("torch",), ">=2.5.1"),
    "transformers": (("transformers",), ">=4.49,<4.58"),
    "sam2": (("sam2", "SAM-2"), ">=1.1,<2"),
}
"""Package: names it is distributed under, and the range that was tested."""

INSTALL_HINTS = {
    "torch": "pip install torch torchvision",
    "transformers": 'pip install "transformers>=4.49,<4.58"',
    "sam2": "pip install setuptools wheel && "
    'SAM2_BUILD_CUDA=0 pip install --no-build-isolation "sam2>=1.1,<2"',
    "host": 'pip install "llavaction>=0.0.1,<0.1" einops requests decord',
}

_shims = UndoLog()


@dataclass(frozen=True)
class HostInfo:
    """A host package as found on the import path, not imported.

    Attributes:
        package: `llava` or `llavaction`.
        version: from its metadata; None for a bare checkout on the import path.
        location: folder of the package.
        missing_files: those of `HOST_FILES` it lacks.
    """

    package: str
    version: str | None
    location: Path
    missing_files: tuple[str, ...]

    def problem(self) -> str | None:
        """Why this host cannot be used, or None."""
        wanted = HOST_RANGES[self.package]
        if self.missing_files:
            return (
                f"host '{self.package}' {self.version or 'of unknown version'} in {self.location} is not "
                f"LLaVA-NeXT: it lacks {', '.join(self.missing_files)}; wanted {self.package} {wanted}"
            )
        if self.version is not None and not is_within(self.version, wanted):
            return f"host '{self.package}' {self.version} in {self.location}; wanted {wanted}"
        return None


def is_within(version: str, wanted: str) -> bool:
    """Whether a version lies in a range; pre-releases and local builds count."""
    return SpecifierSet(wanted).contains(version, prereleases=True)


def installed_version(*distributions: str) -> str | None:
    """Version of the first of these distributions that is installed, or None."""
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def find_host() -> HostInfo | None:
    """The host that will be used: `llava` where it is installed, else `llavaction`; None if neither is."""
    for package in HOST_RANGES:
        spec = _find_real_spec(package)
        if spec is None or spec.origin is None:  # a namespace package is some folder of that name, not a host
            continue
        location = Path(spec.origin).parent
        missing = tuple(name for name in HOST_FILES if not (location / name).is_file())
        return HostInfo(package, installed_version(package), location, missing)
    return None


def check_versions() -> HostInfo:
    """Check host, torch, transformers and sam2 without importing any of them; gives back the host.

    Raises:
        HostError: one or more are missing or outside the tested range; every one is named with the version
            found and wanted, and with the command that mends it.
    """
    problems = []
    for package, (distributions, wanted) in REQUIRED.items():
        found = installed_version(*distributions)
        if found is None or not is_within(found, wanted):
            problems.append(
                f"{package} {found or 'not installed'}; wanted {wanted}; run: {INSTALL_HINTS[package]}"
            )
    host = find_host()
    if host is None:
        wanted = " or ".join(f"{name} {wanted}" for name, wanted in HOST_RANGES.items())
        problems.append(f"host not installed; wanted {wanted}; run: {INSTALL_HINTS['host']}")
    elif (problem := host.problem()) is not None:
        problems.append(f"{problem}; run: {INSTALL_HINTS['host']}")
    if problems or host is None:
        raise HostError("SAMA cannot be registered here:\n  " + "\n  ".join(problems))
    return host


def before_host() -> None:
    """Put back what the host imports from `transformers.modeling_utils` (moved away in 4.56). Idempotent.

    On a patched host this is the entry point of the stage `early`: it runs before `llava.model` is imported.
    """
    from transformers import modeling_utils, pytorch_utils

    for name in ("apply_chunking_to_forward", "find_pruneable_heads_and_indices", "prune_linear_layer"):
        if not hasattr(modeling_utils, name) and hasattr(pytorch_utils, name):
            _shims.set_attribute(modeling_utils, name, getattr(pytorch_utils, name))


def before_trainer() -> None:
    """Put back what the host's trainer imports from `transformers.trainer` (moved in 4.46, 4.53)."""
    from accelerate.utils import GradientAccumulationPlugin
    from transformers import pytorch_utils, trainer

    moved = {
        "GradientAccumulationPlugin": GradientAccumulationPlugin,
        "ALL_LAYERNORM_LAYERS": pytorch_utils.ALL_LAYERNORM_LAYERS,
    }
    for name, value in moved.items():
        if not hasattr(trainer, name):
            _shims.set_attribute(trainer, name, value)


def undo_shims() -> None:
    """Take away every name that `before_host` and `before_trainer` put back."""
    _shims.undo()


@contextlib.contextmanager
def quiet_host_import() -> Iterator[io.StringIO]:
    """Import host modules without their prints and without hub look-ups; gives the printed text.

    The host prints why an import of its own failed and goes on, and `llava.conversation` asks the hub for a
    tokenizer at import. Offline mode is read from bound names, so those are set beside the environment,
    and set back.
    """
    undo = UndoLog()
    printed = io.StringIO()
    for module_name, name in (
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("transformers.utils.hub", "_is_offline_mode"),
    ):
        module = sys.modules.get(module_name)
        if module is not None and hasattr(module, name):
            undo.set_attribute(module, name, True)
    undo.set_item(os.environ, "HF_HUB_OFFLINE", "1")
    try:
        with contextlib.redirect_stdout(printed):
            yield printed
    finally:
        undo.undo()


def _find_real_spec(package: str) -> importlib.machinery.ModuleSpec | None:
    """Spec of an installed top-level package, blind to our own alias."""
    for finder in sys.meta_path:
        if not isinstance(finder, AliasFinder):
            spec = finder.find_spec(package, None)
            if spec is not None:
                return spec
    return None
