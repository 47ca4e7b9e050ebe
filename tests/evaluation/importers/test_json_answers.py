from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.importers.importing import import_predictions
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.scoring import score_predictions
from tests.evaluation.fake_answerers import write_shapes


@pytest.fixture
def shapes(tmp_path: Path) -> Benchmark:
    return ShapesBenchmark(write_shapes(tmp_path / "data"))


def read_texts(folder: Path) -> dict[tuple[str, str], str]:
    predictions = PredictionSet(folder)
    return {
        (dialogue_id, row["question_id"]): row["text"]
        for dialogue_id in predictions.places
        for row in parse_line(predictions.read(dialogue_id))
    }


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_video_chatgpt_rows_belong_to_words_about_a_video(shapes: Benchmark, tmp_path: Path) -> None:
    rows = [
        {"video_name": "00001", "Q": "Segment it.", "A": "The star.", "pred": "Here it is."},
        {"video_name": "00000", "Q": "segment the  green star.", "A": "x", "pred": "There is no green star."},
        {"video_name": "00000", "Q": "Segment it.", "A": "of another video", "pred": "?"},
    ]
    found = import_predictions(shapes, "video-chatgpt", write(tmp_path / "a.json", rows), tmp_path / "out")
    assert read_texts(tmp_path / "out") == {
        ("test_00001/1", "1"): "Here it is.",
        ("test_00000/0", "3"): "There is no green star.",
    }
    assert found["extra_predictions"] == 1
    assert found["missing_predictions"] == 5
    results = score_predictions(shapes, tmp_path / "out", tmp_path / "out")
    assert results.metrics["no_target_accuracy"] == pytest.approx(0.5)


def test_rows_without_names_are_in_order(shapes: Benchmark, tmp_path: Path) -> None:
    rows = {"acc_dict": {}, "res_list": [{"pred": f"answer {k}", "gt": "x"} for k in range(7)]}
    import_predictions(shapes, "videochat2", write(tmp_path / "a.json", rows), tmp_path / "out")
    texts = read_texts(tmp_path / "out")
    assert list(texts.values()) == [f"answer {k}" for k in range(7)]
    assert list(texts) == [(i, q) for i in shapes.dialogue_ids for q in shapes.question_ids(i)]
    rows["res_list"].pop()
    with pytest.raises(DataError, match=r"The 6 answers of .* belong to none of the 7 questions"):
        import_predictions(shapes, "videochat2", write(tmp_path / "a.json", rows), tmp_path / "out")


def test_files_of_sama_bench_c_belong_to_ids(
    shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which takes long to start
    benchmark = open_benchmark("sama-bench-c", shapes_set)
    folder = tmp_path / "prediction"
    folder.mkdir()
    first, second, *rest = (q for i in benchmark.dialogue_ids for q in benchmark.question_ids(i))
    for number, question_id in enumerate((first, second)):
        row = {
            "description_id": question_id,
            "pred_text_cleaned": "A red star.",
            "description": "x",
            "file_name": "y",
        }
        write(folder / f"{number}.json", row)
    write(folder / "7.json", '{"description_id": 3, "pred_text')
    write(folder / "8.json", {"description_id": "nobody", "pred_text_cleaned": "x"})
    write(folder / "9.json", {"description_id": first, "pred_text_cleaned": "again"})
    found = import_predictions(benchmark, "sama-bench-c", folder, tmp_path / "out")
    assert set(read_texts(tmp_path / "out").values()) == {"A red star."}
    assert found == {
        "unreadable_rows": 1,
        "extra_predictions": 1,
        "duplicate_predictions": 1,
        "missing_predictions": len(rest),
        "dialogues": 2,
        "answers": 2,
    }
    results = score_predictions(benchmark, tmp_path / "out", tmp_path / "out")
    assert results.counts["missing_predictions"] == len(rest)
    assert results.settings["faults"]["unreadable_rows"] == 1


def test_lines_of_json_and_rows_without_text(shapes: Benchmark, tmp_path: Path) -> None:
    lines = "\n".join(
        json.dumps(r) for r in [{"pred": "a"}, {"other": 1}, {"pred": " "}, *[{"pred": "b"}] * 4]
    )
    found = import_predictions(shapes, "json", write(tmp_path / "a.jsonl", lines), tmp_path / "out")
    assert found["unreadable_rows"] == found["empty_answers"] == found["missing_predictions"] == 1
    assert found["answers"] == 6


def test_what_cannot_be_read_at_all_is_told(shapes: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no answers that can be read \(a\.json: "):
        import_predictions(shapes, "json", write(tmp_path / "a.json", "{"), tmp_path / "out")
    with pytest.raises(DataError, match="no answers that can be read; expected"):
        import_predictions(shapes, "json", write(tmp_path / "b.json", []), tmp_path / "out")
