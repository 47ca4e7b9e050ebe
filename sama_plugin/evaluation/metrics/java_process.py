"""Java programs of `pycocoevalcap`: found, fed by pipes, timed, and gone when they are done with.

They are run beside the package's own wrappers because those write into the package's folder, which may be shared or not
writable, and wait forever. Here nothing is written.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from sama_plugin.errors import HostError

EXTRA = "pip install 'sama-plugin[caption]'"
NO_JAVA = (
    "Java is not on the PATH; install a JRE 8 or newer (Debian, Ubuntu: apt install default-jre-headless)"
)


class JavaError(HostError):
    """No Java, no program for it, or one that failed; what needs it is absent."""


def find_java() -> str:
    """Path of the Java launcher.

    Raises:
        JavaError: there is none.
    """
    found = shutil.which("java")
    if found is None:
        raise JavaError(NO_JAVA)
    return found


def find_program(module: str, jar: str) -> Path:
    """A jar that lies beside a module of `pycocoevalcap`.

    Args:
        module: its dotted name.
        jar: file name.

    Raises:
        JavaError: the package, or the jar in it, is missing.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise JavaError(f"pycocoevalcap is not installed: {EXTRA}")
    path = Path(spec.origin).with_name(jar)
    if not path.is_file():
        raise JavaError(f"{path} is missing; reinstall pycocoevalcap: {EXTRA}")
    return path


class JavaProcess:
    """A running Java program that answers lines with lines."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors
        self._is_late = False

    def ask(
        self, lines: Sequence[str], num_answers: int, timeout_s: float, *, is_all: bool = False
    ) -> list[str]:
        """Send lines while their answers are read, so that neither side waits for the other's full pipe.

        Args:
            lines: without line ends.
            num_answers: lines to read.
            timeout_s: for all of them; then the program is killed.
            is_all: nothing is asked after that; some programs answer only then.

        Raises:
            JavaError: the program ended or was killed, with its last words.
        """
        writer = threading.Thread(target=self._send, args=(lines, is_all), daemon=True)
        watch = threading.Timer(timeout_s, self._end_late)
        watch.daemon = True
        watch.start()
        writer.start()
        try:
            answers = [self._receive() for _ in range(num_answers)]
            writer.join()
        finally:
            watch.cancel()
        return answers

    def _send(self, lines: Sequence[str], is_all: bool) -> None:
        """Write lines; if the program is gone, whoever reads its answers is told."""
        assert self._process.stdin is not None, "it was opened with a pipe"
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            self._process.stdin.flush()
            if is_all:
                self._process.stdin.close()

    def _receive(self) -> str:
        assert self._process.stdout is not None, "it was opened with a pipe"
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise JavaError(self._why_ended())
        return line.decode(errors="replace").strip()

    def _why_ended(self) -> str:
        if self._is_late:
            return "Java gave no answer in time and was ended"
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        telling = [line for line in said if "Exception" in line or "Error" in line] or said[-1:]
        return f"Java ended with code {code}: {telling[0] if telling else 'it says nothing'}"

    def _end_late(self) -> None:
        self._is_late = True
        _kill(self._process)


@contextlib.contextmanager
def run_java(arguments: Sequence[str]) -> Iterator[JavaProcess]:
    """Start a Java program; when the block ends, however it does, the program is gone and waited for.

    Args:
        arguments: of the launcher.

    Raises:
        JavaError: no Java, or it cannot be started.
    """
    java = find_java()
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                [java, "-Dfile.encoding=UTF-8", *arguments],
                cwd=tempfile.gettempdir(),  # where a crashing Java leaves its dump
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise JavaError(f"{java} cannot be started: {error}") from error
        try:
            yield JavaProcess(process, errors)
        finally:
            _kill(process)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None, "both were opened"
                with contextlib.suppress(OSError):
                    pipe.close()
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started: a launcher may be a script that starts another process."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
