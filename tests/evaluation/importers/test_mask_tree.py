from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sama_plugin.cli.main import main
from sama_plugin.errors import DataError
from sama_plugin.evaluation.baselines.random_masks import RandomAnswerer
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.importers.importing import LAYOUTS, import_predictions
from sama_plugin.evaluation.importers.mask_tree import frame_files, places_of, read_ids
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.predictions import align_predictions
from sama_plugin.evaluation.scoring import score_predictions
from sama_plugin.evaluation.truth_answerer import TruthAnswerer
from sama_plugin.media.masks import decode_track
from tests.evaluation.benchmarks.made_expressions import (
    FRAMES,
    LEFT,
    RIGHT,
    SIZE,
    box,
    write_davis,
    write_mevis,
)
from tests.evaluation.fake_answerers import write_shapes


def write_tree(
    benchmark: Benchmark, source: Path, root: Path, inside: int = 255, *, palette: bool = False
) -> Path:
    """Predictions as pictures, as other models write them; with a palette objects keep their own ids."""
    predictions = PredictionSet(source)
    for dialogue_id in benchmark.dialogue_ids:
        sample = benchmark.sample(dialogue_id)
        answers, _ = align_predictions(
            benchmark.question_ids(dialogue_id), parse_line(predictions.read(dialogue_id))
        )
        for answer in answers:
            folder = root / places_of(benchmark, dialogue_id)[answer.question_id]
            folder.mkdir(parents=True)
            for frame, name in enumerate(frame_files(sample)):
                rles = [thing.rle[frame] for thing in answer.objects]
                size = next((rle["size"] for rle in rles if rle), SIZE)
                ids = np.zeros(size, dtype=np.uint8)
                for number, rle in enumerate(rles, start=1):
                    ids[decode_track([rle], tuple(size))[0]] = number if palette else inside
                picture = Image.fromarray(ids)
                if palette:
                    picture.putpalette(list(range(256)) * 3)
                picture.save(folder / name)
    return root


@pytest.fixture
def mevis(tmp_path: Path) -> Benchmark:
    return open_benchmark("mevis", write_mevis(tmp_path / "mevis"))


@pytest.mark.parametrize("above", ["", "Annotations"])
@pytest.mark.parametrize("inside", [1, 255])
def test_a_tree_scores_as_the_predictions_it_was_made_of(
    above: str, inside: int, mevis: Benchmark, tmp_path: Path
) -> None:
    ours = evaluate(mevis, RandomAnswerer(seed=1), tmp_path / "ours", {})
    write_tree(mevis, tmp_path / "ours", tmp_path / "tree" / above, inside)
    found = import_predictions(mevis, "visa", tmp_path / "tree", tmp_path / "theirs")
    theirs = score_predictions(mevis, tmp_path / "theirs", tmp_path / "theirs")
    assert theirs.metrics == ours.metrics
    assert dict(found) == {"dialogues": 2, "answers": 2}
    assert theirs.settings == {"imported": "visa", "source": "tree", "faults": {}}


def test_palette_ids_become_objects(tmp_path: Path) -> None:
    benchmark = ShapesBenchmark(write_shapes(tmp_path / "data"))
    ours = evaluate(benchmark, open_truth(), tmp_path / "ours", {})
    tree = write_tree(benchmark, tmp_path / "ours", tmp_path / "tree", palette=True)
    import_predictions(benchmark, "mask-tree", tree, tmp_path / "theirs")
    theirs = score_predictions(benchmark, tmp_path / "theirs", tmp_path / "theirs")
    assert theirs.metrics["J&F"] == ours.metrics["J&F"] == 1
    assert theirs.metrics["phrase_accuracy"] == 0


def open_truth() -> Any:
    from sama_plugin.evaluation.catalogue import open_answerer

    return open_answerer("truth")


def test_davis_expressions_are_read_too(tmp_path: Path) -> None:
    benchmark = open_benchmark("ref-davis17", write_davis(tmp_path / "davis"))
    ours = evaluate(benchmark, RandomAnswerer(seed=1), tmp_path / "ours", {})
    tree = write_tree(benchmark, tmp_path / "ours", tmp_path / "tree")
    import_predictions(benchmark, "onlinerefer", tree, tmp_path / "theirs")
    assert score_predictions(benchmark, tmp_path / "theirs", tmp_path / "x").metrics == ours.metrics


def save(path: Path, values: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values, mode=mode).save(path)


def test_all_that_does_not_fit_is_named_and_counted(
    mevis: Benchmark, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree = tmp_path / "tree"
    left = box(LEFT)[0].astype(np.uint8) * 255
    save(tree / "v1" / "0" / f"{FRAMES[0]}.png", left)
    save(tree / "v1" / "0" / "00777.png", left)  # no frame; 00005 is missing
    save(tree / "v9" / "0" / f"{FRAMES[0]}.png", left)  # not asked; v1/1 is missing
    with caplog.at_level(logging.WARNING):
        found = import_predictions(mevis, "sa2va", tree, tmp_path / "out")
    wanted = dict.fromkeys(("missing_frames", "missing_predictions", "extra_files", "extra_predictions"), 1)
    assert dict(found) == {**wanted, "dialogues": 1, "answers": 1}
    for said in ("v1/0/00005.png", "v1/0/00777.png", "v9/0", "v1/1"):
        assert said in caplog.text
    results = score_predictions(mevis, tmp_path / "out", tmp_path / "out")
    assert results.settings["faults"] == wanted
    assert results.counts["missing_predictions"] == 1
    assert results.metrics["J"] == pytest.approx((1 + 0) / 2 / 2)


def test_damaged_and_resized_pictures_are_counted_when_scored(mevis: Benchmark, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    large = np.kron(box(LEFT)[0], np.ones((2, 2))).astype(np.uint8)
    for expression in "01":
        save(tree / "v1" / expression / f"{FRAMES[0]}.png", large)
        (tree / "v1" / expression / f"{FRAMES[1]}.png").write_bytes(b"\x89PNG no more")
    found = import_predictions(mevis, "mask-tree", tree, tmp_path / "out")
    assert found["unreadable_masks"] == 2
    results = score_predictions(mevis, tmp_path / "out", tmp_path / "out")
    assert results.counts["resized_masks"] == 2
    assert results.counts["unreadable_masks"] == 2


def test_predictions_of_another_making_are_not_replaced(mevis: Benchmark, tmp_path: Path) -> None:
    evaluate(mevis, TruthAnswerer(), tmp_path / "own", {})
    kept = (tmp_path / "own" / "predictions.jsonl").read_bytes()
    tree = write_tree(mevis, tmp_path / "own", tmp_path / "tree")
    with pytest.raises(DataError, match="own has predictions that are no import of 'sa2va'"):
        import_predictions(mevis, "sa2va", tree, tmp_path / "own")
    assert (tmp_path / "own" / "predictions.jsonl").read_bytes() == kept
    for _ in "12":
        assert import_predictions(mevis, "sa2va", tree, tmp_path / "out")["answers"] == 2


@pytest.mark.parametrize(
    ("values", "mode", "said"),
    [
        (np.dstack([np.eye(8), np.zeros((8, 8)), np.eye(8)]).astype(np.uint8) * 255, "RGB", "is in colours"),
        (np.arange(100, dtype=np.uint8).reshape(10, 10), "L", "has 100 values, so it is no mask"),
    ],
)
def test_pictures_that_are_no_masks_are_told(
    values: np.ndarray, mode: str, said: str, tmp_path: Path
) -> None:
    save(tmp_path / "a.png", values, mode)
    with pytest.raises(DataError, match=said):
        read_ids(tmp_path / "a.png")


def test_grey_pictures_in_any_mode_are_masks(tmp_path: Path) -> None:
    mask = box(RIGHT)[0]
    grey = Image.fromarray(mask.astype(np.uint8) * 255)
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
        assert np.array_equal(read_ids(tmp_path / f"{mode}.png") != 0, mask), mode


def test_void_beside_other_ids_is_no_object(mevis: Benchmark, tmp_path: Path) -> None:
    ids = box(LEFT)[0].astype(np.uint8) * 3
    ids[0] = 255
    for name in FRAMES:
        save(tmp_path / "tree" / "v1" / "0" / f"{name}.png", ids)
    found = import_predictions(mevis, "mask-tree", tmp_path / "tree", tmp_path / "out")
    assert found["void_pixels"] == 1
    score = score_predictions(mevis, tmp_path / "out", tmp_path / "out").metrics["J"]
    assert score == pytest.approx(0.5)


def test_other_folders_and_layouts_are_refused(mevis: Benchmark, tmp_path: Path) -> None:
    save(tmp_path / "tree" / "other" / "0" / "a.png", np.zeros((2, 2), dtype=np.uint8))
    with pytest.raises(DataError, match=r"no folder that 'mevis' asks for, such as .*v1/0"):
        import_predictions(mevis, "mask-tree", tmp_path / "tree", tmp_path / "out")
    with pytest.raises(DataError, match="no layout 'tree'; known are mask-tree, visa"):
        import_predictions(mevis, "tree", tmp_path / "tree", tmp_path / "out")
    with pytest.raises(DataError, match="none does not exist"):
        import_predictions(mevis, "visa", tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert {"uninext", "onlinerefer", "trackgpt", "video-chatgpt", "videochat2"} <= set(LAYOUTS)


def test_the_command_says_what_was_found(
    mevis: Benchmark, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    evaluate(mevis, RandomAnswerer(), tmp_path / "ours", {})
    tree = write_tree(mevis, tmp_path / "ours", tmp_path / "tree")
    where = ["--data", str(tmp_path / "mevis"), "--from", str(tree), "--out", str(tmp_path / "out")]
    assert main(["eval", "import", "trackgpt", "mevis", *where]) == 0
    assert "2 dialogues, 2 answers; score them with `sama eval score mevis" in capsys.readouterr().out
