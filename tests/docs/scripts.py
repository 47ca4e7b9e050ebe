"""Scripts of the repository, run as they are; what they start (`sama`, `python`, `torchrun`) writes down its words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.docs.pages import ROOT

AT_HAND = ("sama_plugin", "scripts", "data_configs", "patches", "setup.py")
STARTED = ("sama", "python", "torchrun")
EXTRAS = re.compile(r"(?:setup\.sh |extras=)([a-z]+(?:,[a-z]+)*)")
RECORD = """\
#!{python}
import json, pathlib, sys
words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]
if words[:2] == ["python", "-c"]:  # asked whether something is there
    sys.exit(print(0))
with open({log!r}, "a") as log:
    print(json.dumps(words), file=log)
"""


def calls_of_script(words: list[str], folder: Path) -> tuple[list[list[str]] | None, str]:
    """What `bash scripts/NAME.sh ...` starts.

    Args:
        words: of the command.
        folder: where it runs, see `lay_out`.

    Returns:
        Words of each program, None where the script failed; and what it said.
    """
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "calls.jsonl"
        environment = _ready_environment(Path(name), log)
        done = subprocess.run(
            words,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = log.read_text().splitlines() if log.exists() else []
    return (None if done.returncode else [json.loads(line) for line in lines]), done.stdout


def starts_programs(script: Path) -> bool:
    """Whether a script sets up an environment to start something in it."""
    return "setup.sh" in script.read_text(encoding="utf-8")


def lay_out(folder: Path) -> None:
    """Make a folder look like the repository to its scripts."""
    for name in AT_HAND:
        (folder / name).symlink_to(ROOT / name)


def _ready_environment(folder: Path, log: Path) -> dict[str, str]:
    """Make an environment that `setup.sh` takes for ready."""
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    for name in STARTED:
        (programs / name).write_text(RECORD.format(python=sys.executable, log=str(log)))
        (programs / name).chmod(0o755)
    sums = f"cat '{ROOT}/setup.py' '{ROOT}/scripts/setup.sh' | cksum | tr ' ' '-'"
    stamp = subprocess.run(sums, shell=True, capture_output=True, text=True, check=True).stdout.strip()
    for script in (ROOT / "scripts").glob("*.sh"):
        for extras in EXTRAS.findall(script.read_text(encoding="utf-8")):
            (folder / "venv" / f".sama-setup-{stamp}-{extras.replace(',', '-')}").touch()
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "VIRTUAL_ENV": str(folder / "venv"), "PATH": path}
