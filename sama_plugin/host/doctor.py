"""What `sama doctor` finds: interpreter, devices, host, libraries, checkpoint, and how to mend each.

It must work where little else does, so it never raises and needs neither torch nor a host.
"""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import sama_plugin
from sama_plugin.host import compat, registration
from sama_plugin.host.shipped import shipped_path

OK, MISSING, UNSUPPORTED = "ok", "missing", "unsupported"

MIN_PYTHON = (3, 10)

LIBRARIES = (
    # module, distribution, tested range, what it is for ("" = always needed)
    ("accelerate", "accelerate", ">=0.34", ""),
    ("av", "av", ">=12", ""),
    ("pycocotools.mask", "pycocotools", ">=2.0.7", ""),
    ("scipy", "scipy", ">=1.4", "`sama eval`"),
    ("peft", "peft", ">=0.15", "LoRA"),
    ("deepspeed", "deepspeed", ">=0.14", "training on several GPUs, and LLaVA-NeXT's own trainer"),
    ("shtab", "shtab", ">=1.9,<2", "`sama completion`"),
    ("flash_attn", "flash-attn", ">=2.5", "attn_implementation='flash_attention_2' on CUDA"),
)

EXTRAS = (
    # name, what it is for, its distributions with their tested ranges
    (
        "web",
        "`sama serve`",
        {"fastapi": "", "gradio": ">=6.5,<6.18", "python-multipart": "", "uvicorn": ""},
    ),
    ("caption", "scores of captions", {"pycocoevalcap": ">=1.2,<2"}),
)

INSTALL_JAVA = "apt install default-jre-headless   (on Debian and Ubuntu; any JRE from 8 on)"


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked for.
        status: `ok`, `missing` or `unsupported`.
        detail: version, place, or what is wrong.
        mend: the command that mends it; empty when ok.
        is_needed: False if only an optional feature lacks it; then it is no problem.
    """

    name: str
    status: str
    detail: str
    mend: str = ""
    is_needed: bool = True

    @property
    def is_problem(self) -> bool:
        """Whether SAMA cannot be used because of it."""
        return self.is_needed and self.status != OK

    def format(self) -> str:
        """Its line, and a second one with what mends it."""
        status = self.status if self.is_needed or self.status == OK else "optional"
        line = f"  {status:<12}{self.name:<14}{self.detail}".rstrip()
        return f"{line}\n{'':<28}run: {self.mend}" if self.mend else line


@dataclass(frozen=True)
class DoctorReport:
    """All findings, in the order they are shown."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings that keep SAMA from working."""
        return tuple(finding for finding in self.findings if finding.is_problem)

    @property
    def exit_code(self) -> int:
        """0 without problems, else 1."""
        return 1 if self.problems else 0

    @property
    def conclusion(self) -> str:
        """The last line."""
        count = len(self.problems)
        problems = f"{count} problem{'s' if count > 1 else ''}; run the command below each."
        return problems if count else "All well."

    def format(self) -> str:
        """The report as text, one screen."""
        return "\n".join([heading(), *(found.format() for found in self.findings), self.conclusion])


def heading() -> str:
    """The first line."""
    return f"sama {sama_plugin.__version__}"


def report() -> DoctorReport:
    """Look at this machine; imports torch and host where installed, and leaves the host as it was."""
    return DoctorReport(tuple(examine()))


def examine() -> Iterator[Finding]:
    """Look at one thing after the other, as `report` does; imports between them take seconds."""
    basis = []
    for look in (_python, _torch, partial(_required, "transformers"), partial(_required, "sam2"), _host):
        basis.append(look())
        yield basis[-1]
    for row in LIBRARIES:
        yield _library(*row)
    for extra in EXTRAS:
        yield _extra(*extra)
    yield _java()
    yield _checkpoint()
    if not any(finding.is_problem for finding in basis):
        yield _registration()


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] < MIN_PYTHON:
        return Finding("python", UNSUPPORTED, f"{version}; wanted >=3.10", "python3.10 -m venv .venv")
    return Finding("python", OK, f"{version} ({sys.executable})")


def _torch() -> Finding:
    found = _required("torch")
    if found.status != OK:
        return found

    def devices() -> str:
        import torch

        names = [
            f"cuda:{i} {torch.cuda.get_device_name(i)} "
            f"{torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB"
            for i in range(torch.cuda.device_count())
        ]
        if torch.backends.mps.is_available():
            names.append("mps")
        return ", ".join([*names, f"cpu with {torch.get_num_threads()} threads"])

    result, error = _attempt(devices)
    if error:
        return Finding("torch", UNSUPPORTED, f"{found.detail}, but: {error}", compat.INSTALL_HINTS["torch"])
    return Finding("torch", OK, f"{found.detail} on {result}")


def _required(name: str) -> Finding:
    distributions, wanted = compat.REQUIRED[name]
    return _versioned(name, compat.installed_version(*distributions), wanted, compat.INSTALL_HINTS[name])


def _versioned(name: str, found: str | None, wanted: str, mend: str) -> Finding:
    if found is None:
        return Finding(name, MISSING, f"wanted {wanted}", mend)
    if not compat.is_within(found, wanted):
        return Finding(name, UNSUPPORTED, f"{found}; wanted {wanted}", mend)
    return Finding(name, OK, found)


def _host() -> Finding:
    host = compat.find_host()
    if host is None:
        wanted = " or ".join(f"{package} {wanted}" for package, wanted in compat.HOST_RANGES.items())
        return Finding("host", MISSING, f"wanted {wanted}", compat.INSTALL_HINTS["host"])
    if (problem := host.problem()) is not None:
        return Finding("host", UNSUPPORTED, problem, compat.INSTALL_HINTS["host"])
    return Finding("host", OK, f"{host.package} {host.version or '(version unknown)'} in {host.location}")


def _library(module: str, distribution: str, wanted: str, purpose: str) -> Finding:
    mend = f'pip install "{distribution}{wanted}"'
    found = _versioned(distribution, compat.installed_version(distribution), wanted, mend)
    if found.status == OK and not purpose:
        _, error = _attempt(lambda: importlib.import_module(module))
        if error:
            mend = f'pip install --force-reinstall "{distribution}{wanted}"'
            found = Finding(distribution, UNSUPPORTED, f"{found.detail}, but: {error}", mend)
    if not purpose:
        return found
    detail = found.detail if found.status == OK else f"{found.detail}; only for {purpose}"
    return Finding(found.name, found.status, detail, found.mend, is_needed=False)


def _extra(name: str, purpose: str, wanted: Mapping[str, str]) -> Finding:
    """Several distributions in one line."""
    versions = {distribution: compat.installed_version(distribution) for distribution in wanted}
    lacking = [
        f"{distribution}{wanted[distribution]}"
        for distribution, found in versions.items()
        if found is None or not compat.is_within(found, wanted[distribution])
    ]
    if not lacking:
        return Finding(
            name, OK, ", ".join(f"{one} {found}" for one, found in versions.items()), is_needed=False
        )
    mend = "pip install " + " ".join(f'"{one}"' for one in lacking)
    return Finding(name, MISSING, f"wanted {', '.join(lacking)}; only for {purpose}", mend, is_needed=False)


def _java() -> Finding:
    found = shutil.which("java")
    if found is None:
        return Finding("java", MISSING, "not on the PATH; only for METEOR", INSTALL_JAVA, is_needed=False)
    return Finding("java", OK, found, is_needed=False)


def _checkpoint() -> Finding:
    folder = shipped_path()
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        return Finding("checkpoint", OK, f"{folder.name} ships in {folder.parent}")
    mend = "pip install -e .   (from a complete clone of this repository)"
    return Finding("checkpoint", MISSING, f"no complete checkpoint in {folder}", mend)


def _registration() -> Finding:
    """Register for a moment: shows a host that is there but does not import."""
    was_registered = registration.is_registered()
    _, error = _attempt(registration.register)
    if error:
        lacking = re.search(r"No module named '([\w.]+)'", error)
        if lacking:
            mend = f"pip install {lacking[1].split('.')[0]}"
            return Finding("registration", UNSUPPORTED, f"the host does not import: {lacking[0]}", mend)
        return Finding("registration", UNSUPPORTED, " ".join(error.split()), 'pip install -e ".[host]"')
    if not was_registered:
        registration.unregister()
    return Finding("registration", OK, "SAMA and host fit together")


def _attempt(action: Callable[[], object]) -> tuple[object, str]:
    """Result of an action and "", or None and its error in words."""
    try:
        return action(), ""
    except Exception as error:  # noqa: BLE001 - whatever is broken here, the report must say so and go on
        return None, f"{type(error).__name__}: {error}"
