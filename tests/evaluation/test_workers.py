"""Runs in several processes, in shards and killed again and again: always the same totals."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import sama_plugin
from sama_plugin.errors import CheckpointError, DataError, HostError
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import OpenedAnswerer, evaluate, run_benchmark
from sama_plugin.evaluation.predictions import Shard
from sama_plugin.evaluation.results import code_version, read_results
from sama_plugin.evaluation.scoring import score_predictions
from sama_plugin.evaluation.workers import WorkerPool
from tests.evaluation.fake_answerers import FIRST_DIALOGUE, SECOND_DIALOGUE, FakeAnswerer, write_shapes
from tests.forked import fork

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
SLOW = """
import sys, time
from functools import partial
from pathlib import Path
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import run_benchmark
from tests.evaluation.test_workers import open_slow
if __name__ == "__main__":
    opener = partial(open_benchmark, "shapes", Path(sys.argv[1]))
    run_benchmark(opener(), open_slow, Path(sys.argv[2]), processes=3, reopen=opener)
"""


class SlowAnswerer(FakeAnswerer):
    """Takes a moment for each dialogue."""

    def start(self, sample):
        time.sleep(0.01)
        return super().start(sample)


def open_slow(number: int) -> OpenedAnswerer:
    return OpenedAnswerer(SlowAnswerer(), {"seed": 0})


def open_broken(number: int) -> OpenedAnswerer:
    raise CheckpointError("no such folder")


def die(state: None, task: int) -> int:
    if task == 3:
        os._exit(9)
    return task


def nothing(number: int) -> None:
    return None


@pytest.fixture
def steady_code(monkeypatch):
    for module in ("harness", "scoring"):
        monkeypatch.setattr(f"sama_plugin.evaluation.{module}.code_version", lambda _=None: {"version": "1"})


@pytest.fixture
def data(tmp_path):
    return write_shapes(tmp_path / "data", [FIRST_DIALOGUE, SECOND_DIALOGUE] * 20)


def test_processes_predict_what_one_predicts(data, tmp_path):
    opener = partial(open_benchmark, "shapes", data)
    one = evaluate(opener(), SlowAnswerer(), tmp_path / "one", {"seed": 0})
    run_benchmark(opener(), open_slow, tmp_path / "two", processes=2, reopen=opener)
    two = score_predictions(opener(), tmp_path / "two", tmp_path / "two", processes=2, reopen=opener)
    assert one == two


def test_shards_are_scored_as_one_run(data, tmp_path, steady_code):
    benchmark = open_benchmark("shapes", data)
    whole = evaluate(benchmark, FakeAnswerer(), tmp_path / "whole", {})
    for number in (1, 2, 3):
        run_benchmark(
            benchmark, lambda _: OpenedAnswerer(FakeAnswerer(), {}), tmp_path / "s", shard=Shard(number, 3)
        )
    assert score_predictions(benchmark, tmp_path / "s", tmp_path / "s") == whole
    assert len(list((tmp_path / "s").glob("predictions-*-of-3.jsonl"))) == 3


def ask_alone_in_a_fork(data: Path, out: Path) -> None:
    run_benchmark(open_benchmark("shapes", data), open_slow, out)


def kill_when_it_has_grown(run, path: Path, delay_s: float) -> None:
    """Kill a run shortly after it has kept one more dialogue."""
    before = path.stat().st_size if path.exists() else 0
    while run.is_running() and (not path.exists() or path.stat().st_size == before):
        time.sleep(0.001)
    time.sleep(delay_s)
    run.kill()


class Fork:
    """A run in a copy of this process, which has everything imported."""

    def __init__(self, data: Path, out: Path) -> None:
        self.process = fork(ask_alone_in_a_fork, data, out)

    def is_running(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


class Program:
    """A run in three processes of a program of its own."""

    def __init__(self, data: Path, out: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", SLOW, str(data), str(out)]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.slow
def test_a_run_killed_twenty_times_has_the_same_totals(data, tmp_path):
    code = code_version()  # which the files of a checkout decide that may change meanwhile
    opener = partial(open_benchmark, "shapes", data)
    path = tmp_path / "killed" / "predictions.jsonl"
    rng = random.Random(0)
    for kill in range(KILLS):
        kind = Program if kill % 10 == 5 else Fork
        kill_when_it_has_grown(kind(data, tmp_path / "killed"), path, rng.uniform(0, 0.03))
    num_lines = path.read_bytes().count(b"\n")
    assert 1 < num_lines <= 1 + len(opener().dialogue_ids)
    run_benchmark(opener(), open_slow, tmp_path / "killed")
    killed = score_predictions(opener(), tmp_path / "killed", tmp_path / "killed")
    whole = evaluate(opener(), SlowAnswerer(), tmp_path / "whole", {"seed": 0})
    assert killed == whole
    assert read_results(tmp_path / "killed" / "results.json") == killed
    assert killed.code == code


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import os, time\nfrom tests.evaluation.test_workers import nothing, slow_pid\n"
        "from sama_plugin.evaluation.workers import WorkerPool\n"
        "if __name__ == '__main__':\n"
        "    with WorkerPool(2, nothing) as pool:\n"
        "        print(*[pid for _, pid in pool.map(slow_pid, [0, 1])], flush=True)\n"
        "        time.sleep(60)\n"
    )
    path = tmp_path / "main.py"
    path.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(sama_plugin.__file__).parents[1])}
    with subprocess.Popen([sys.executable, str(path)], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = {int(pid) for pid in parent.stdout.readline().split()}
        parent.kill()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def slow_pid(state: None, task: int) -> int:
    time.sleep(0.2)
    return os.getpid()


def test_a_worker_that_dies_is_said(tmp_path):
    with (
        pytest.raises(HostError, match="One of the 2 processes died"),
        WorkerPool(2, nothing) as pool,
    ):
        list(pool.map(die, range(6)))


def test_an_error_of_a_worker_is_the_user_s(data, tmp_path):
    opener = partial(open_benchmark, "shapes", data)
    with pytest.raises(CheckpointError, match="no such folder"):
        run_benchmark(opener(), open_broken, tmp_path / "out", processes=2, reopen=opener)


def test_no_process_is_refused():
    with pytest.raises(DataError, match="--processes is 0"):
        WorkerPool(0, nothing)
