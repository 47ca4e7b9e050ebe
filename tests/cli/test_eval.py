"""`sama eval` from the outside: one command or its steps give the same, and wrong input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sama_plugin.cli import main
from sama_plugin.cli.eval import complete_arguments
from sama_plugin.evaluation import catalogue
from sama_plugin.evaluation.catalogue import ANSWERERS, BENCHMARKS, open_benchmark
from tests.evaluation.benchmarks.made_expressions import write_davis, write_mevis, write_predictions
from tests.evaluation.fake_answerers import write_shapes


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("eval shapes --data D", "eval full shapes --data D"),
        ("eval -v shapes", "eval -v full shapes"),
        ("eval run shapes", "eval run shapes"),
        ("eval list", "eval list"),
        ("eval --help", "eval --help"),
        ("chat eval shapes", "chat eval shapes"),
        ("", ""),
    ],
)
def test_a_benchmark_in_place_of_a_subcommand_is_run_and_scored(given, meant):
    assert complete_arguments(given.split()) == meant.split()


def test_steps_give_what_one_command_gives(shapes_set: Path, tmp_path: Path, capsys) -> None:
    data = ["shapes", "--data", str(shapes_set)]
    one = ["--out", str(tmp_path / "one"), "--answerer", "truth"]
    assert main.main(["eval", *data, *one]) == 0
    table = capsys.readouterr().out.splitlines()[:-2]
    for shard in ("1/2", "2/2"):
        steps = ["--out", str(tmp_path / "s"), "--answerer", "truth", "--shard", shard]
        assert main.main(["eval", "run", *data, *steps]) == 0
    assert "sama eval score shapes" in capsys.readouterr().out
    score = ["eval", "score", *data, "--predictions", str(tmp_path / "s"), "--out", str(tmp_path / "r")]
    assert main.main(score) == 0
    assert capsys.readouterr().out.splitlines()[:-2] == table
    results = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "r")]
    assert results[0] == results[1]
    assert results[0]["schema"] == "sama.results/1"
    assert results[0]["settings"] == {"answerer": "truth"}
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "predictions-1-of-2.jsonl",
        "predictions-2-of-2.jsonl",
    ]


def test_every_benchmark_says_what_it_needs_and_from_where(capsys) -> None:
    assert main.main(["eval", "list"]) == 0
    said = capsys.readouterr().out
    for name, entry in BENCHMARKS.items():
        assert f"{name}: {entry.what}" in said
        assert entry.needs in said
        assert entry.source in said
    assert all(name in said for name in ANSWERERS)
    assert main.main(["eval", "list", "mevsi"]) == 2
    assert "did you mean mevis" in capsys.readouterr().err


def test_a_split_is_named_in_what_to_do_next(tmp_path, capsys) -> None:
    data, out = write_mevis(tmp_path / "data"), tmp_path / "out"
    asked = ["eval", "run", "mevis", "--split", "valid_u", "--data", str(data), "--out", str(out)]
    assert main.main([*asked, "--answerer", "truth"]) == 0
    said = capsys.readouterr().out
    assert f"`sama eval score mevis --predictions {out} --data {data} --split valid_u`" in said


def test_what_a_server_scores_is_refused_before_anything_is_asked(tmp_path, capsys):
    data, out = write_mevis(tmp_path / "data"), tmp_path / "out"
    options = ["--split", "valid", "--answerer", "whole-frame"]
    assert main.main(["eval", "mevis", "--data", str(data), "--out", str(out), *options]) == 2
    assert "are with its server; ask with `sama eval run`" in capsys.readouterr().err
    assert not out.exists()
    assert main.main(["eval", "run", "mevis", "--data", str(data), "--out", str(out), *options]) == 0


def test_masks_that_are_pictures_are_scored_here(tmp_path, capsys):
    data, out = write_davis(tmp_path / "data"), tmp_path / "out"
    command = ["eval", "ref-davis17", "--data", str(data), "--out", str(out), "--answerer", "truth"]
    assert main.main(command) == 0
    assert json.loads((out / "results.json").read_text())["metrics"]["J&F"] == 1.0


def test_a_benchmark_is_read_once_to_be_run_and_scored(shapes_set: Path, tmp_path: Path, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr(
        catalogue, "open_benchmark", lambda *args: opened.append(args) or open_benchmark(*args)
    )
    command = ["eval", "shapes", "--data", str(shapes_set), "--out", str(tmp_path / "out")]
    assert main.main([*command, "--answerer", "nothing"]) == 0
    assert len(opened) == 1


def test_every_metric_says_what_it_means(capsys) -> None:
    assert main.main(["eval", "list", "--metrics"]) == 0
    assert "mIoU                corrected, official  1     overlap of mask volumes" in capsys.readouterr().out


def test_the_questions_of_a_benchmark_are_lines_that_predictions_can_answer(tmp_path, capsys) -> None:
    data = write_mevis(tmp_path / "data")
    assert main.main(["eval", "list", "mevis", "--data", str(data)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["questions"][0]["question"] == "Please segment the dog."
    answers = {row["dialogue"]: [{"question_id": q["question_id"]} for q in row["questions"]] for row in rows}
    folder = write_predictions(tmp_path / "p", "mevis", answers)
    assert main.main(["eval", "score", "mevis", "--data", str(data), "--predictions", str(folder)]) == 0
    counts = json.loads((folder / "results.json").read_text())["counts"]
    assert (counts["missing_predictions"], counts["empty_answers"]) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--processes", "0"], "--processes is 0"),
        (["--answerer", "trut"], "no answerer 'trut'; did you mean truth"),
        (["--answerer", "truth:seed=1"], "'truth' does not take that"),
        (["--split", "test"], "--split is 'test', but 'shapes' has: none"),
        (["--judge-url", "http://localhost"], "--judge-url needs --judge-model"),
    ],
)
def test_wrong_options_are_one_line(arguments, said, shapes_set: Path, tmp_path: Path, capsys) -> None:
    command = ["eval", "shapes", "--data", str(shapes_set), "--out", str(tmp_path / "out")]
    assert main.main([*command, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("answerer", ["model", "sam2:device=cpu", "llava:model=none"])
def test_videos_that_are_not_there_are_told_before_a_model_is_loaded(answerer, tmp_path, capsys) -> None:
    data = write_mevis(tmp_path / "data")
    frames = data / "valid_u" / "JPEGImages" / "v1"
    frames.rename(frames.with_name("elsewhere"))
    command = ["eval", "mevis", "--data", str(data), "--out", str(tmp_path / "out")]
    assert main.main([*command, "--answerer", answerer]) == 2
    assert "1 of the 1 videos of 'mevis' are not there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_judge_without_its_key_is_told_before_anything_is_asked(tmp_path, capsys) -> None:
    data, out = write_shapes(tmp_path / "data"), tmp_path / "out"
    command = ["eval", "sama-bench-g", "--data", str(data), "--out", str(out), "--answerer", "truth"]
    judge = ["--judge-url", "http://localhost:9", "--judge-model", "m", "--judge-key-env", "NO_SUCH_KEY"]
    assert main.main([*command, *judge]) == 2
    assert "NO_SUCH_KEY" in capsys.readouterr().err
    assert not out.exists()


def test_predictions_of_another_benchmark_or_data_are_refused(tmp_path, capsys) -> None:
    data = write_mevis(tmp_path / "data")
    command = ["eval", "score", "mevis", "--data", str(data), "--predictions"]
    other = write_predictions(tmp_path / "other", "revos", {})
    assert main.main([*command, str(other)]) == 2
    assert "has predictions of 'revos', not of 'mevis'" in capsys.readouterr().err
    stale = write_predictions(tmp_path / "stale", "mevis", {}, data="0123")
    assert main.main([*command, str(stale)]) == 2
    assert "data with fingerprint 0123" in capsys.readouterr().err
