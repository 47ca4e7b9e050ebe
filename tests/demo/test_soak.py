"""Visitors with faults, and probes for files outside, on the real server; in full: `sama bench serve`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from sama_plugin.demo.trial.path_probes import make_probes, run_probes
from sama_plugin.demo.trial.soak import FAULTS, SoakReport, format_soak, measure_soak, plan_visits

SLOW = ("model killed", "thousand regions")
"""The first is tested by itself, the second in smaller numbers."""

OPTIONS = ("--max-idle-s", "3", "--max-grace-s", "1")


class NaiveHandler(BaseHTTPRequestHandler):
    """Serves whatever file the path leads to, as nobody should."""

    def do_GET(self) -> None:
        place = Path("/srv/site") / unquote(self.path).lstrip("/").partition("file=")[2].lstrip("/")
        try:
            content = Path("/", *place.parts[3:]).resolve().read_bytes()
        except (OSError, ValueError):
            content = b"nothing"
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.send_error(500)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def naive_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NaiveHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_visitors_with_faults_leave_nothing_and_no_probe_gets_anything(tmp_path: Path) -> None:
    faults = [fault for fault in FAULTS if fault.name not in SLOW]
    report = measure_soak(tmp_path, faults, warm_up=faults[:1], options=OPTIONS)
    assert report.is_good(), format_soak(report)
    assert report.probes >= 200
    assert report.visits.total() == 6
    assert report.pulses > 10


def test_probes_see_a_server_that_gives_files_away_and_one_that_breaks(tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("a secret of 32 letters and more ...")
    with naive_server() as url:
        breaches = run_probes(url, make_probes(canary, "session", "model"), [canary.read_bytes()])
    assert {breach.fault for breach in breaches} == {"read a file outside", "status 500"}


def test_a_report_says_what_is_wrong() -> None:
    good = SoakReport(start_mb=100, end_mb=109)
    assert good.is_good()
    for fault in ({"end_mb": 111}, {"lost_pulses": 1}, {"files_left": ["video"]}, {"unexpected": ["no."]}):
        assert not SoakReport(**{"start_mb": 100, "end_mb": 109, **fault}).is_good()
    assert "left: video" in format_soak(SoakReport(start_mb=1, end_mb=1, files_left=["video"]))


def test_a_plan_has_every_fault_and_ends_well() -> None:
    plan = plan_visits(50)
    assert len(plan) == 50
    assert {fault.name for fault in plan} == {fault.name for fault in FAULTS}
    assert {fault.name for fault in plan[-4:]} == {"none"}
