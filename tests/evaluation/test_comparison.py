"""Two runs beside each other: intervals over videos, differences by video, worst cases."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sama_plugin.cli import main
from sama_plugin.errors import DataError
from sama_plugin.evaluation.comparison import (
    Run,
    compare_metrics,
    compare_videos,
    format_comparison,
    headline,
    notes_of_one,
    open_run,
    sum_by_video,
    worst_cases,
)
from sama_plugin.evaluation.results import Results, write_results
from sama_plugin.evaluation.scoring import RESULTS_FILE, SCORES_FILE, SCORES_SCHEMA, run_of

RESULTS = Results("shapes", {}, {}, {}, {}, "d")


def make_run(
    tmp_path, name: str, scores: dict[str, list[float]], metric: str = "J&F", data: str = "d"
) -> Run:
    """Video → a score per question."""
    dialogues = {
        video: {
            "video": video,
            "scores": {},
            "questions": [{"question_id": str(k), "scores": {metric: v}} for k, v in enumerate(values)],
        }
        for video, values in scores.items()
    }
    results = Results("shapes", {}, {}, {}, {}, data)
    return Run(tmp_path / name, results, dialogues)


def test_equal_gains_on_all_videos_leave_no_doubt(tmp_path):
    one = make_run(tmp_path, "one", {f"v{k}": [0.1 * k, 0.5] for k in range(5)})
    two = make_run(tmp_path, "two", {f"v{k}": [0.1 * k + 0.2, 0.7] for k in range(5)})
    (row,) = compare_metrics(one, two)
    assert (row.first, row.second) == (pytest.approx(0.35), pytest.approx(0.55))
    assert (row.low, row.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert row.is_clear
    assert "+0.200 *" in format_comparison(one, two, [row])


def test_the_interval_is_that_of_resampled_videos_and_repeats_with_its_seed(tmp_path):
    gains = [-0.3, 0.4, 0.1, 0.2]
    one = make_run(tmp_path, "one", {f"v{k}": [0.5] for k in range(4)})
    two = make_run(tmp_path, "two", {f"v{k}": [0.5 + g] for k, g in enumerate(gains)})
    (row,) = compare_metrics(one, two, draws=4000, seed=3)
    assert compare_metrics(one, two, draws=4000, seed=3) == [row]
    # all 4^4 resamples, each as likely
    grid = np.array(np.meshgrid(*[gains] * 4)).reshape(4, -1).mean(0)
    low, high = np.quantile(grid, [0.025, 0.975])
    assert (row.low, row.high) == (pytest.approx(low, abs=0.03), pytest.approx(high, abs=0.03))
    assert not row.is_clear


def test_scores_and_results_of_two_runs_are_not_mixed(tmp_path):
    one, two = (replace(RESULTS, settings={"seed": seed}) for seed in (1, 2))
    write_results(tmp_path / RESULTS_FILE, one)
    first = {"schema": SCORES_SCHEMA, **run_of(one)}
    row = {"dialogue": "d", "video": "v", "questions": []}
    (tmp_path / SCORES_FILE).write_text(f"{json.dumps(first)}\n{json.dumps(row)}\n")
    assert open_run(tmp_path).dialogues == {"d": {"video": "v", "questions": []}}
    write_results(tmp_path / RESULTS_FILE, two)
    with pytest.raises(DataError, match=r"of another run than .*seed is 1 there and 2 now"):
        open_run(tmp_path)


def test_what_is_to_be_known_of_one_run_only_is_said(tmp_path):
    words = Run(tmp_path / "a", replace(RESULTS, notes=["both", "cut by words"]), {})
    trees = Run(tmp_path / "b", replace(RESULTS, notes=["both"]), {})
    assert notes_of_one(words, trees) == [f"{tmp_path / 'a'}: cut by words"]


def test_questions_of_a_video_are_drawn_together(tmp_path):
    one = make_run(tmp_path, "one", {"a": [0.0] * 9, "b": [0.0]})
    two = make_run(tmp_path, "two", {"a": [1.0] * 9, "b": [0.0]})
    (row,) = compare_metrics(one, two)
    assert row.second == pytest.approx(0.9)
    assert (row.low, row.high) == (0.0, 1.0)


def test_videos_and_cases_are_in_order_of_what_is_lost(tmp_path):
    one = make_run(tmp_path, "one", {"a": [0.9, 0.9], "b": [0.5, 0.5], "c": [0.1, 0.2]})
    two = make_run(tmp_path, "two", {"a": [0.9, 0.1], "b": [0.4, 0.5], "c": [0.9, 0.9]})
    assert [row.video for row in compare_videos(one, two, "J&F")] == ["a", "b", "c"]
    cases = worst_cases(one, two, "J&F", 2)
    assert [(case.dialogue_id, case.question_id) for case in cases] == [("a", "1"), ("b", "0")]
    with pytest.raises(DataError, match="no metric 'J' by video; there are: J&F"):
        compare_videos(one, two, "J")


def test_of_errors_less_is_better(tmp_path):
    one = make_run(tmp_path, "one", {"a": [0.1], "b": [0.5]}, "span_error")
    two = make_run(tmp_path, "two", {"a": [0.4], "b": [0.2]}, "span_error")
    assert [row.video for row in compare_videos(one, two, "span_error")] == ["a", "b"]


def test_scores_of_whole_videos_go_before_those_of_their_questions():
    question = {"question_id": "0", "scores": {"mIoU": 0.5, "J": 0.2}}
    dialogues = {
        "a": {"video": "v", "scores": {"mIoU": 0.9}, "questions": [question]},
        "b": {"video": "v", "scores": {}, "questions": [question]},
    }
    assert sum_by_video(dialogues) == {"mIoU": {"v": (0.9, 1)}, "J": {"v": (0.4, 2)}}


def test_other_data_or_other_questions_are_refused(tmp_path):
    one = make_run(tmp_path, "one", {"a": [0.1]})
    with pytest.raises(DataError, match="differ in data"):
        compare_metrics(one, make_run(tmp_path, "two", {"a": [0.1]}, data="e"))
    with pytest.raises(DataError, match="differ in dialogues"):
        compare_metrics(one, make_run(tmp_path, "two", {"b": [0.1]}))
    with pytest.raises(DataError, match="no metric in common"):
        headline([])


def test_the_command_prints_tables_and_draws_the_worst(shapes_set, tmp_path, capsys):
    for name in ("a", "b"):
        command = ["eval", "shapes", "--data", str(shapes_set), "--out", str(tmp_path / name)]
        assert main.main([*command, "--answerer", "truth"]) == 0
    path = tmp_path / "b" / "predictions.jsonl"
    header, *lines = path.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        for answer in row["answers"]:
            answer["objects"] = []
    path.write_text("\n".join([header, *map(json.dumps, rows)]) + "\n")
    command = ["eval", "score", "shapes", "--data", str(shapes_set), "--predictions", str(tmp_path / "b")]
    assert main.main(command) == 0
    capsys.readouterr()
    command = ["eval", "compare", str(tmp_path / "a"), str(tmp_path / "b"), "--draws", "100"]
    pictures = ["--data", str(shapes_set), "--out", str(tmp_path / "pictures"), "--worst", "1"]
    assert main.main([*command, *pictures]) == 0
    said = capsys.readouterr().out
    assert "J&F by video" in said
    assert "-1.000 *" in said
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.suffix == ".png"
    assert main.main([*command, "--out", str(tmp_path / "p")]) == 2
    assert "Pictures need both" in capsys.readouterr().err
