from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sama_plugin.data.worker_pool import map_parallel
from sama_plugin.errors import DataError


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_of_the_items(workers: int) -> None:
    offset = 10
    assert list(map_parallel(lambda k: k + offset, range(20), workers)) == list(range(10, 30))


def test_error_of_an_item_is_raised_as_it_is() -> None:
    def check(k: int) -> int:
        if k == 1:
            raise DataError("item 1")
        return k

    with pytest.raises(DataError, match="item 1"):
        list(map_parallel(check, range(3), 2))


def test_killed_process_is_said() -> None:
    with pytest.raises(DataError, match="A worker process was killed"):
        list(map_parallel(lambda k: os.kill(os.getpid(), signal.SIGKILL), range(3), 2))


SLEEPERS = """
import os, sys, time
from sama_plugin.data.worker_pool import map_parallel

def sleep(k):
    os.write(1, f"{os.getpid()}\\n".encode())  # whole, whatever the other one writes
    time.sleep(600)

forks = []

def be_late():
    if len(forks) == 3:  # the one with nothing to do
        time.sleep(1)

os.register_at_fork(before=lambda: forks.append(1), after_in_child=be_late)
list(map_parallel(sleep, range(2), 3))
"""


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(how: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    if how == signal.SIGINT:
        os.killpg(parent.pid, how)  # as a terminal sends it
    else:
        parent.kill()
    _, said = parent.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
    assert said.count("Traceback") == (1 if how == signal.SIGINT else 0), said  # the parent's only


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
def test_workers_ignore_what_their_parent_ignores() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    os.killpg(parent.pid, signal.SIGINT)
    time.sleep(0.5)
    assert parent.poll() is None
    assert all(map(is_running, workers))
    os.killpg(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=60)


def test_no_worker_is_refused() -> None:
    with pytest.raises(DataError, match="workers is 0"):
        list(map_parallel(abs, [1], 0))
