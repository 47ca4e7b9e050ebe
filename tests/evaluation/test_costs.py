"""The benchmarks of conversations on small sizes: what they compare is the same, and what they count is right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sama_plugin
from sama_plugin.cli.main import main
from sama_plugin.errors import HostError, SamaError
from sama_plugin.evaluation import length_cost, scoring_cost, tracking_cost, turn_cost
from tests.conftest import LoadedCheckpoint, load_checkpoint


@pytest.fixture(scope="module")
def shipped() -> LoadedCheckpoint:
    return load_checkpoint(Path(sama_plugin.shipped_checkpoint()))


def parts(shipped: LoadedCheckpoint) -> tuple[Any, Any, Any]:
    return shipped.model, shipped.tokenizer, shipped.image_processor


def test_turns_are_the_same_in_all_ways_and_encode_once(
    shipped: LoadedCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = {"mixed": (turn_cost.TEXT[0], turn_cost.ALL, turn_cost.ONE)}
    monkeypatch.setattr(turn_cost, "CONVERSATIONS", conversation)
    (cost,) = turn_cost.measure_turns(parts(shipped), turn_cost.bench_clip(tmp_path), rounds=1)
    assert cost.same_text
    assert cost.least_iou > 0.999
    kept, peers = ([turn.answer for turn in cost.turns[way]] for way in ("kept", "peers"))
    assert [len(answer.objects) for answer in kept] == [0, 3, 1]
    assert [answer.counters["sam2_frames_encoded"] for answer in kept] == [0, 48, 0]
    assert [answer.counters["sam2_frames_encoded"] // 48 for answer in peers] == [0, 3, 1]
    assert [answer.counters["vision_frames_encoded"] for answer in kept] == [12, 0, 0]
    assert [answer.counters["vision_frames_encoded"] for answer in peers] == [12, 12, 12]
    table = turn_cost.format_turns([cost])
    assert "the same text" in table
    turn_cost.plot_turns([cost], tmp_path / "turns.png")
    assert (tmp_path / "turns.png").stat().st_size > 1000


def test_objects_are_tracked_as_sam2s_predictor_does(shipped: LoadedCheckpoint, tmp_path: Path) -> None:
    video = turn_cost.bench_clip(tmp_path).video
    sama = shipped.model.sama
    (cost,) = tracking_cost.measure_tracking(shipped.model.sam2_head, sama.sam2, video, (2,), rounds=1)
    assert cost.objects == 2
    assert cost.least_iou > 0.99
    tracking_cost.plot_tracking([cost], tmp_path / "objects.png")
    assert "least IoU" in tracking_cost.format_tracking([cost])


@pytest.mark.slow
def test_memory_is_measured_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "memory", "--frames", "16", "--plot", str(tmp_path / "memory.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if "%" in line] == [["sama", "16"], ["sam2", "16"]]
    assert all(int(line.split()[-1].rstrip("%")) > 50 for line in lines if "%" in line)
    assert (tmp_path / "memory.png").exists()


def test_event_of_a_long_video_is_answered_as_alone(shipped: LoadedCheckpoint) -> None:
    answers = length_cost.measure_long(parts(shipped), length_s=120)
    assert answers["alone"].text == answers["long"].text
    assert answers["long"].iou == pytest.approx(answers["alone"].iou, abs=0.05)
    assert "first token" in length_cost.format_long(answers)


def test_scenes_are_shown_to_and_fro() -> None:
    assert list(length_cost._to_and_fro(8, 3)) == [0, 1, 2, 1, 0, 1, 2, 1]
    assert list(length_cost._to_and_fro(3, 1)) == [0, 0, 0]
    assert np.array_equal(
        length_cost._resized(np.array([[0, 255]], np.uint8), (2, 4)), [[0, 0, 255, 255], [0, 0, 255, 255]]
    )


def test_scoring_is_measured_on_equal_scores() -> None:
    pytest.importorskip("vos_benchmark.evaluator", reason="`pip install vos-benchmark` is missing")
    costs = scoring_cost.measure_scoring(num_frames=1, rounds=1)
    assert [cost.shape for cost in costs] == list(scoring_cost.SHAPES)
    assert max(cost.difference for cost in costs) < 1e-9
    table = scoring_cost.format_scoring(costs, {4: 100.0, 40: 101.0})
    assert "largest peak / smallest: 1.010" in table


def test_what_scoring_is_measured_against_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vos_benchmark.evaluator", None)
    with pytest.raises(HostError, match="pip install vos-benchmark"):
        scoring_cost.measure_scoring()


def test_videos_are_scored_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        scoring_cost, "measure_apart", lambda command, what: asked.append(command) or {"peak_mb": 1.0}
    )
    assert scoring_cost.measure_videos((1, 2)) == {1: 1.0, 2: 1.0}
    assert [command[1:] for command in asked] == [["--videos", "1"], ["--videos", "2"]]
    monkeypatch.setattr(scoring_cost, "measure_apart", lambda command, what: None)
    with pytest.raises(SamaError, match="1 videos was killed"):
        scoring_cost.measure_videos((1,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory", "--frames", "0"], "--frames is 0, expected 1 or more"),
        (["train", "--batch", "0"], "--batch is 0, expected 1 or more"),
        (["turns", "--plot", "."], "it is a folder"),
    ],
)
def test_numbers_and_places_that_cannot_be_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["turns", "--frames", "3"], ["train", "--dtype", "float16"]])
def test_options_that_a_measurement_does_not_heed_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", *arguments])
    assert end.value.code == 2


def test_turns_are_measured_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turn_cost, "CONVERSATIONS", dict.fromkeys(("text", "mixed"), turn_cost.TEXT[:2]))
    assert main(["bench", "turns", "--device", "cpu", "--plot", str(tmp_path / "turns.png")]) == 0
    assert "median of turns 2 to 2 / turn 1" in capsys.readouterr().out
    assert (tmp_path / "turns.png").exists()
