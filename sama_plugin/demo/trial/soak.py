"""A server under visitors who come and go with faults thrown in: does it answer throughout, and what does it keep?"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from sama_plugin.data.shapes.writer import sample_clip
from sama_plugin.demo.trial.own_server import OwnServer, own_server
from sama_plugin.demo.trial.path_probes import Breach, make_probes, run_probes
from sama_plugin.demo.trial.visits import FAULTS, Fault, VisitError, Visitor, kill_model
from sama_plugin.media.encode import write_video

WARM_UP = (Fault("model killed", kill_model), *FAULTS[:1] * 3)
"""Before the memory is looked at: a process that has not worked yet is smaller."""

LAST = 4
"""Visits at the end that go well, so that a model's process that was started anew has worked."""

OPTIONS = ("--max-idle-s", "8", "--max-grace-s", "1")
"""Of the server: tabs that nobody closes are closed while we wait."""

PULSE_S = 0.25
SETTLE_S = 60.0
SYSTEM_FILE = Path("/etc/passwd")


@dataclass
class SoakReport:
    """What was found.

    Attributes:
        visits: by fault.
        unexpected: what visitors did not expect, one sentence each.
        pulses: requests for the status meanwhile, four times a second.
        lost_pulses: those without an answer.
        slowest_pulse_s: of them.
        start_mb: memory of all processes after the warm-up, no session open.
        end_mb: at the end, no session open.
        peak_mb: the most seen in between.
        probes: requests for files outside.
        breaches: those that got one, or made the server fail.
        files_left: in the work folder at the end, no session open.
        files_after: in the work folder when the server has ended.
    """

    visits: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    pulses: int = 0
    lost_pulses: int = 0
    slowest_pulse_s: float = 0.0
    start_mb: float = 0.0
    end_mb: float = 0.0
    peak_mb: float = 0.0
    probes: int = 0
    breaches: list[Breach] = field(default_factory=list)
    files_left: list[str] = field(default_factory=list)
    files_after: list[str] = field(default_factory=list)

    @property
    def growth(self) -> float:
        """Share by which the memory grew."""
        return self.end_mb / self.start_mb - 1

    def is_good(self) -> bool:
        """Whether nothing is wrong; memory may grow by a tenth."""
        faults = (self.unexpected, self.lost_pulses, self.breaches, self.files_left, self.files_after)
        return not any(faults) and self.growth <= 0.1


def plan_visits(count: int) -> list[Fault]:
    """So many visits: every fault in turn, and at the end some without."""
    return [FAULTS[k % len(FAULTS)] for k in range(count - LAST)] + [FAULTS[0]] * min(LAST, count)


def measure_soak(
    work: Path,
    visits: Sequence[Fault],
    *,
    warm_up: Sequence[Fault] = WARM_UP,
    side_by_side: int = 2,
    options: Sequence[str] = OPTIONS,
) -> SoakReport:
    """Start a server, send it visitors and probes, and look at what stays.

    Args:
        work: an empty folder.
        visits: that come and go.
        warm_up: visits before anything is measured.
        side_by_side: of the visits.
        options: of `sama serve`.

    Raises:
        HostError: the server did not start.
    """
    report = SoakReport()
    video, canary = work / "clip.mp4", work / "canary.txt"
    scene, frames, _ = sample_clip(seed=5, split="test")
    write_video(video, frames, scene.fps)
    canary.write_text(secrets.token_hex(32))
    with own_server(options, work / "served") as server:
        for fault in warm_up:
            fault.visit(Visitor(server, video))
        report.start_mb = _settled_mb(server)
        with _Pulse(server, report), ThreadPoolExecutor(side_by_side) as threads:
            list(threads.map(lambda fault: _visit(server, video, fault, report), visits))
            _probe(server, video, canary, report)
        report.end_mb = _settled_mb(server)
        report.files_left = [path.name for path in server.files()]
        server.stop()
        report.files_after = [str(path) for path in (work / "served").rglob("*")]
    return report


def format_soak(report: SoakReport) -> str:
    """The report as lines."""
    faults = ", ".join(f"{name} {count}" for name, count in sorted(report.visits.items()))
    lines = [
        f"visits            {report.visits.total()} ({faults})",
        f"unexpected        {len(report.unexpected)}",
        f"status asked      {report.pulses} times meanwhile, {report.lost_pulses} without an answer, slowest "
        f"{report.slowest_pulse_s:.2f} s",
        f"memory            {report.start_mb:.0f} MB after the warm-up, {report.end_mb:.0f} MB at the end "
        f"({report.growth:+.1%}), peak {report.peak_mb:.0f} MB",
        f"path probes       {report.probes}, {len(report.breaches)} of them read a file outside or broke the server",
        f"files left        {len(report.files_left)} with the server running, {len(report.files_after)} after it",
    ]
    lines += [f"  {sentence}" for sentence in report.unexpected]
    lines += [f"  {breach.fault}: {breach.probe.method} {breach.probe.path}" for breach in report.breaches]
    lines += [f"  left: {name}" for name in (*report.files_left, *report.files_after)]
    return "\n".join(lines)


class _Pulse:
    """Asks for the status again and again, beside the visits."""

    def __init__(self, server: OwnServer, report: SoakReport):
        self._server, self._report = server, report
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _beat(self) -> None:
        report = self._report
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._is_over.wait(PULSE_S):
                started = time.perf_counter()
                try:
                    is_lost = client.get("/api/status").status_code != 200
                except httpx.HTTPError:
                    is_lost = True
                report.pulses += 1
                report.lost_pulses += is_lost
                report.slowest_pulse_s = max(report.slowest_pulse_s, time.perf_counter() - started)
                report.peak_mb = max(report.peak_mb, self._server.memory_mb())


def _visit(server: OwnServer, video: Path, fault: Fault, report: SoakReport) -> None:
    """One visit; a model that another one killed is no surprise."""
    report.visits[fault.name] += 1
    try:
        fault.visit(Visitor(server, video))
    except (VisitError, httpx.HTTPError, OSError) as error:
        if "worker_crashed" not in str(error):
            report.unexpected.append(f"{fault.name}: {type(error).__name__}: {error}")


def _probe(server: OwnServer, video: Path, canary: Path, report: SoakReport) -> None:
    visitor = Visitor(server, video)
    session = visitor.open().json()["id"]
    probes = make_probes(canary.absolute(), session, visitor.client.get("/api/status").json()["model"])
    hidden = [canary.read_bytes()]
    if SYSTEM_FILE.exists():
        hidden.append(SYSTEM_FILE.read_bytes().splitlines()[0])
    report.probes = len(probes)
    report.breaches = run_probes(server.url, probes, hidden)
    visitor.close(session)


def _settled_mb(server: OwnServer) -> float:
    """Memory when no session is open any more."""
    end = time.monotonic() + SETTLE_S
    with httpx.Client(base_url=server.url, timeout=30) as client:
        while client.get("/api/status").json()["sessions"] and time.monotonic() < end:
            time.sleep(0.2)
    time.sleep(1)  # what sessions held is given back after they are gone
    return server.memory_mb()
