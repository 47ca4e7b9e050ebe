"""Jobs are done once, each result is on disk when it is known, and an endpoint that is down ends the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.data.annotation.tracks import TrackedVideo, VideoEntry
from sama_plugin.data.annotation.work import MOST_FAILURES, Job, VideoShelf, run_jobs
from sama_plugin.data.run_file import RunFile
from sama_plugin.errors import DataError, EndpointError
from tests.data.annotation.made_tracks import make_video, rectangle_track

IDENTITY = {"schema": "test/1"}


def fail(kind: str) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        raise EndpointError("no answer.", kind)

    return work


@pytest.mark.parametrize("concurrency", [1, 4])
def test_each_job_is_done_once_over_runs(tmp_path: Path, concurrency: int) -> None:
    done: list[int] = []
    jobs = [Job(f"v/{k}", lambda k=k: done.append(k) or {"k": k}) for k in range(9)]
    for stop in (4, 9):
        with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file:
            assert run_jobs(jobs[:stop], run_file, name="x", concurrency=concurrency) == 0
    assert sorted(done) == list(range(9))
    with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file:
        assert {k: row["k"] for k, row in run_file.rows.items()} == {f"v/{k}": k for k in range(9)}


def test_single_failures_are_left_for_another_run(tmp_path: Path) -> None:
    jobs = [Job(f"v/{k}", fail("slow") if k % 2 else lambda: {}) for k in range(2 * MOST_FAILURES)]
    with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file:
        assert run_jobs(jobs, run_file, name="x", concurrency=1) == MOST_FAILURES
        assert list(run_file.rows) == [f"v/{k}" for k in range(0, 2 * MOST_FAILURES, 2)]


@pytest.mark.parametrize(
    ("kind", "asked"), [("denied", 1), ("down", MOST_FAILURES), ("limited", MOST_FAILURES)]
)
def test_a_run_ends_when_the_endpoint_is_down(tmp_path: Path, kind: str, asked: int) -> None:
    calls: list[int] = []
    jobs = [Job(f"v/{k}", lambda: calls.append(1) or fail(kind)()) for k in range(20)]
    with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file, pytest.raises(EndpointError):
        run_jobs(jobs, run_file, name="x", concurrency=1)
    assert len(calls) == asked


def test_another_error_ends_the_run_and_what_is_done_is_kept(tmp_path: Path) -> None:
    def break_off() -> dict[str, Any]:
        raise DataError("broken")

    jobs = [Job("a", lambda: {"x": 1}), Job("b", break_off), Job("c", lambda: {})]
    with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file, pytest.raises(DataError, match="broken"):
        run_jobs(jobs, run_file, name="x", concurrency=1)
    with RunFile(tmp_path / "run.jsonl", IDENTITY) as run_file:
        assert run_file.rows == {"a": {"x": 1}}


def test_a_video_is_loaded_once_while_it_is_in_use() -> None:
    loads: list[str] = []
    lock = threading.Lock()

    def entry(name: str) -> VideoEntry:
        def load() -> TrackedVideo:
            with lock:
                loads.append(name)
            time.sleep(0.02)
            return make_video([rectangle_track([(20, 20)] * 4)], video_id=name)

        return VideoEntry(name, Path(name), load)

    shelf = VideoShelf(2)
    a, b, c = (entry(name) for name in "abc")
    with ThreadPoolExecutor(4) as pool:
        videos = list(pool.map(shelf.load, [a, a, a, b]))
    assert videos[0] is videos[1] is videos[2]
    assert sorted(loads) == ["a", "b"]
    for one in (a, c, b):
        shelf.load(one)
    assert sorted(loads) == ["a", "b", "b", "c"]
