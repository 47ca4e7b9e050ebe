"""A server of one's own, for measurements and tests: `sama serve` as others start it, with what it costs looked at."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sama_plugin.errors import HostError

START_S = 300.0
"""That loading a model may take on a busy machine."""

END_S = 60.0
LOOK_S = 0.05
READY = "sama serve: http"
KILO = 1024
MODEL_KB = 300 * KILO
"""More than any other of the processes takes."""


class OwnServer:
    """A running `sama serve`.

    Args:
        options: of the command, beside port and work folder.
        work: where it keeps files.

    Attributes:
        url: of the server.
        work: as given.

    Raises:
        HostError: it did not start; its last words say why.
    """

    def __init__(self, options: Sequence[str], work: Path):
        self.work = work
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server
        command = [sys.executable, "-m", "sama_plugin.cli.main", "serve", "--port", "0", "--work", str(work)]
        self._process = subprocess.Popen([*command, *options], stdout=self._said, stderr=subprocess.STDOUT)
        self.url = self._wait_until_ready()

    @property
    def pid(self) -> int:
        """Of the server's own process."""
        return self._process.pid

    def said(self) -> str:
        """What it has printed so far."""
        self._said.seek(0)
        return self._said.read().decode("utf-8", "replace")

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; gives the exit code."""
        if self.is_running():
            self._process.send_signal(number)
        try:
            return self._process.wait(END_S)
        finally:
            self._process.kill()

    def files(self) -> list[Path]:
        """What lies in its work folder, markers and the examples left out."""
        found = (path for path in self.work.rglob("*") if path.is_file())
        return sorted(path for path in found if path.name[0] != "." and not path.stem.startswith("shapes-"))

    def memory_mb(self) -> float:
        """Resident memory of all its processes, in 10^6 bytes; Linux only."""
        return sum(_resident_kb(pid) for pid in process_tree(self.pid)) * KILO / 1e6

    def model_pid(self) -> int:
        """The process that has the model: the one that is large, once it has loaded it."""
        largest = max(process_tree(self.pid)[1:], key=_resident_kb, default=self.pid)
        while _resident_kb(largest) < MODEL_KB and self.is_running():
            time.sleep(LOOK_S)
            largest = max(process_tree(self.pid)[1:], key=_resident_kb, default=self.pid)
        return largest

    def _wait_until_ready(self) -> str:
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.is_running():
            for line in self.said().splitlines():
                if line.startswith(READY):
                    return line.split()[2]
            time.sleep(LOOK_S)
        self._process.kill()
        last = (self.said().strip().splitlines() or ["it says nothing"])[-1]
        raise HostError(f"The server did not start: {last.removeprefix('sama: ')}")


@contextlib.contextmanager
def own_server(options: Sequence[str], work: Path) -> Iterator[OwnServer]:
    """A server for the length of a block; see `OwnServer`."""
    server = OwnServer(options, work)
    try:
        yield server
    finally:
        server.stop()


def process_tree(pid: int) -> list[int]:
    """A process and all below it; Linux only."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with contextlib.suppress(OSError, IndexError):
                stat = Path("/proc", entry, "stat").read_text()
                parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    tree = [pid]
    for known in tree:
        tree += parents.get(known, [])
    return tree


def _resident_kb(pid: int) -> int:
    """Of one process; 0 if it is gone."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)
