from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sama_plugin
from sama_plugin.errors import DataError, PromptError
from sama_plugin.inference.batch import SessionBatch
from sama_plugin.inference.batch_file import read_jobs, run_batch
from sama_plugin.inference.session import VideoSession
from tests.conftest import LoadedCheckpoint, load_checkpoint

QUESTIONS = ("What is in the video?", "Segment the circles.", "Describe the video with masks.")
OPTIONS = {"max_new_tokens": 40}


@pytest.fixture(scope="module")
def shipped() -> LoadedCheckpoint:
    return load_checkpoint(Path(sama_plugin.shipped_checkpoint()))


def parts(shipped: LoadedCheckpoint) -> tuple[Any, Any, Any]:
    return shipped.model, shipped.tokenizer, shipped.image_processor


@pytest.fixture
def videos(shapes_set: Path) -> list[Path]:
    return sorted((shapes_set / "videos").glob("*.mp4"))


def test_conversations_side_by_side_are_as_each_alone(shipped: LoadedCheckpoint, videos: list[Path]) -> None:
    asked: list[list[str | None]] = [
        ["What is in the video?", "Segment the circles.", None],
        [None, "Describe the video with masks.", "What moves?"],
        ["Is <r9> red?", "What is there, and where is it?", "What moves?"],
    ]
    clips = [videos[0], videos[1], videos[0]]
    batch = SessionBatch([VideoSession(*parts(shipped), video=clip, **OPTIONS) for clip in clips])
    found = [batch.ask([row[turn] for row in asked]) for turn in range(3)]
    assert isinstance(found[0][2], PromptError)
    assert found[0][1] is None
    for row, clip in enumerate(clips):
        alone = VideoSession(*parts(shipped), video=clip, **OPTIONS)
        for turn in range(3):
            question, answer = asked[row][turn], found[turn][row]
            if question is None or isinstance(answer, PromptError):
                continue
            wanted = alone.ask(question)
            assert answer is not None
            assert answer.raw == wanted.raw
            assert answer.counters == wanted.counters
            assert answer.timing_s.keys() == wanted.timing_s.keys()
            for thing, other in zip(answer.objects, wanted.objects, strict=True):
                assert (thing.masks != other.masks).mean() < 1e-3
    assert any(answer.objects for turn in found for answer in turn if hasattr(answer, "objects"))


def test_batch_of_nothing_or_of_several_models_is_refused(
    shipped: LoadedCheckpoint, loaded: LoadedCheckpoint, videos: list[Path]
) -> None:
    with pytest.raises(PromptError, match="got 0 sessions"):
        SessionBatch([])
    with pytest.raises(PromptError, match="all of one model"):
        SessionBatch([VideoSession(*parts(which), video=videos[0]) for which in (shipped, loaded)])


def write_jobs(path: Path, jobs: list[Any]) -> Path:
    path.write_text("\n".join(job if isinstance(job, str) else json.dumps(job) for job in jobs) + "\n")
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_file_of_conversations_is_answered_in_order_and_gone_on_with(
    shipped: LoadedCheckpoint, videos: list[Path], tmp_path: Path
) -> None:
    jobs = [
        {
            "video": str(videos[0]),
            "ask": ["What is <r1>?", "Segment the circles."],
            "regions": ["r1=box@0:9,9,60,60"],
        },
        {"video": "missing.mp4", "ask": ["What?"]},
        {"video": str(videos[1]), "ask": ["What moves?", "Is <obj9> red?", "Never asked."], "id": "late"},
        {"video": str(videos[1]), "ask": ["What moves?"], "from_s": 0.5, "to_s": 1.5, "id": 7},
    ]
    file, out, again = write_jobs(tmp_path / "jobs.jsonl", jobs), tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    read = read_jobs(file)

    def hold(target: Path, some: list[Any], size: int) -> int:
        return run_batch(
            parts(shipped), some, target, {"settings": OPTIONS}, batch_size=size, session_options=OPTIONS
        )

    assert hold(out, read, 3) == 2
    lines = lines_of(out)
    assert [line["dialogue"] for line in lines] == ["1", "2", "late", "7"]
    assert [line["job"] for line in lines] == jobs
    assert [len(turns["answer"]["turns"]) if turns["answer"] else 0 for turns in lines] == [2, 0, 1, 1]
    assert "missing.mp4" in lines[1]["error"]
    assert "<obj9>" in lines[2]["error"]
    assert lines[0]["error"] is None

    assert hold(again, read[:1], 1) == 0
    torn = again.read_bytes() + out.read_bytes().splitlines()[2][:40]
    again.write_bytes(torn)
    assert hold(again, read, 2) == 2
    for left, right in zip(lines_of(again), lines, strict=True):
        for key in ("dialogue", "job", "error"):
            assert left[key] == right[key]
        assert (left["answer"] is None) == (right["answer"] is None)
        if left["answer"]:
            texts = [[turn["raw"] for turn in line["answer"]["turns"]] for line in (left, right)]
            assert texts[0] == texts[1]

    other = write_jobs(tmp_path / "other.jsonl", [jobs[0] | {"ask": ["Else?"]}])
    with pytest.raises(DataError, match="has an answer to another job '1'"):
        hold(out, read_jobs(other), 1)
    with pytest.raises(DataError, match="--batch-size is 0"):
        hold(out, read, 0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1: no JSON"),
        (["[]"], "line 1: no object"),
        ([{"video": "a.mp4"}], "line 1: 'video' and 'ask' are needed"),
        ([{"video": "a.mp4", "ask": []}], "line 1: 'video' and 'ask' are needed"),
        ([{"video": "a.mp4", "ask": [3]}], "line 1: 'ask' is .3., expected a list of texts"),
        ([{"video": 3, "ask": ["?"]}], "line 1: 'video' is 3"),
        ([{"video": "a.mp4", "ask": ["?"], "from_s": True}], "line 1: 'from_s' is True"),
        ([{"video": "a.mp4", "ask": ["?"], "to": 3}], "line 1: unknown to; expected id, video"),
        (
            [{"video": "a", "ask": ["?"], "id": "2"}, {"video": "a", "ask": ["?"]}],
            "line 2: id '2' is that of line 1",
        ),
        (['{"video": "a", "ask": ["?"], "to_s": NaN}'], "line 1: no JSON .NaN is no number"),
        (['{"video": "a", "ask": ["?"], "to_s": 1e999}'], "line 1: 'to_s' is inf"),
        ([""], "it has no lines"),
        (["{", "[]"], "line 1: no JSON .*; line 2: no object"),
    ],
)
def test_lines_that_are_no_jobs_are_all_named(lines: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_jobs(write_jobs(tmp_path / "jobs.jsonl", lines))


def test_missing_batch_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_jobs(tmp_path / "none.jsonl")


@pytest.mark.slow
def test_killed_batch_goes_on_where_it_was(videos: list[Path], tmp_path: Path) -> None:
    jobs = [{"video": str(videos[i % 2]), "ask": ["Describe the video with masks."]} for i in range(4)]
    file, out = write_jobs(tmp_path / "jobs.jsonl", jobs), tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "sama_plugin.cli.main", "chat", "--batch", str(file), "--json", str(out)]
    run = subprocess.Popen([*command, "--batch-size", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not (out.exists() and out.read_bytes().count(b"\n") >= 2):
        assert run.poll() is None
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    kept = out.read_bytes().splitlines()[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 conversations answered, 0 failed: {out}\n"
    assert out.read_bytes().splitlines()[1] == kept
    assert [line["dialogue"] for line in lines_of(out)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("content", ['{"precious": 1}', "notes", '{"a": 1}\n{"b"'])
def test_file_of_something_else_is_left_alone(
    shipped: LoadedCheckpoint, videos: list[Path], tmp_path: Path, content: str
) -> None:
    jobs = read_jobs(write_jobs(tmp_path / "jobs.jsonl", [{"video": str(videos[0]), "ask": ["What\u2028?"]}]))
    other = tmp_path / "other.json"
    other.write_text(content)
    with pytest.raises(DataError, match="choose another place"):
        run_batch(parts(shipped), jobs, other, {}, batch_size=1, session_options=OPTIONS)
    assert other.read_text() == content
