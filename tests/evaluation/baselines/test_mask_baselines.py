from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.baselines.first_box import FirstBoxAnswerer, hold_first_box
from sama_plugin.evaluation.baselines.random_masks import RandomAnswerer
from sama_plugin.evaluation.baselines.replies import TurnFinder
from sama_plugin.evaluation.baselines.silence import SilentAnswerer
from sama_plugin.evaluation.baselines.whole_frame import WholeFrameAnswerer
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.catalogue import ANSWERERS, BENCHMARKS, open_answerer, open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.results import Results
from sama_plugin.evaluation.truth_answerer import TruthAnswerer
from sama_plugin.media.masks import decode_track, encode_track
from tests.evaluation.fake_answerers import (
    BLUE,
    HEIGHT,
    LEFT_BOX,
    NUM_FRAMES,
    RIGHT_BOX,
    WIDTH,
    box_track,
    write_shapes,
)


def score(data: Path, out: Path, answerer: Answerer) -> Results:
    return evaluate(ShapesBenchmark(data), answerer, out, {})


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR takes long to start, and is not what is tested here."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_truth_scores_one_everywhere(tmp_path: Path, shapes_set: Path) -> None:
    made = score(shapes_set, tmp_path / "shapes", TruthAnswerer()).metrics
    errors = {name for name in made if "span_error" in name or "false_none" in name}
    assert {made[name] for name in errors} <= {0.0, None}
    assert {value for name, value in made.items() if name not in errors} <= {1.0, None}


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name.startswith("sama-bench")])
def test_truth_scores_one_on_sama_bench(name: str, tmp_path: Path, shapes_set: Path, no_java: None) -> None:
    made = evaluate(open_benchmark(name, shapes_set), TruthAnswerer(), tmp_path / "out", {}).metrics
    assert made["BLEU-4"] == pytest.approx(1, abs=1e-6)
    assert made["ROUGE-L"] == 1
    if name != "sama-bench-c":
        assert made["mIoU"] == made["recall"] == 1


def test_whole_frame_gets_the_share_of_the_frame_that_objects_fill(tmp_path: Path) -> None:
    made = score(write_shapes(tmp_path / "data"), tmp_path / "out", WholeFrameAnswerer()).metrics
    red, blue = 12 * 8 / (HEIGHT * WIDTH), 12 * 10 / (HEIGHT * WIDTH) / 2
    # Two stars: the one object stands for the red one, the blue one is missed. One star: half its frames overlap.
    assert made["J"] == pytest.approx((red / 2 + blue) / 2)
    assert made["no_target_accuracy"] == 0


def test_silence_is_right_only_about_what_is_not_there(tmp_path: Path) -> None:
    made = score(write_shapes(tmp_path / "data"), tmp_path / "out", SilentAnswerer()).metrics
    assert made["J&F"] == made["referring_accuracy"] == 0
    assert made["no_object_rate"] == 0.5  # the other question means an object of an earlier answer: not asked


def test_first_box_is_held_from_its_frame_on(tmp_path: Path) -> None:
    moving = np.zeros((4, 10, 10), dtype=bool)
    moving[1, 2, 3] = moving[1, 4, 6] = moving[3, 9, 9] = True
    held = decode_track(hold_first_box(encode_track(moving)))
    assert not held[0].any()
    for frame in (1, 2, 3):
        assert held[frame].sum() == held[frame, 2:5, 3:7].sum() == 12
    assert hold_first_box([None, None]) == [None, None]


def test_first_box_is_perfect_where_objects_are_boxes_that_stand_still(tmp_path: Path) -> None:
    made = score(write_shapes(tmp_path / "data"), tmp_path / "out", FirstBoxAnswerer()).metrics
    assert made["J&F"] == made["phrase_accuracy"] == 1


def test_random_masks_depend_on_seed_and_sample_alone(tmp_path: Path) -> None:
    benchmark = ShapesBenchmark(write_shapes(tmp_path))
    first, second = (benchmark.sample(i) for i in benchmark.dialogue_ids)

    def draw(answerer: RandomAnswerer, sample: object) -> list:
        dialogue = answerer.start(sample)  # type: ignore[arg-type]
        return [thing.rle for question in "ab" for thing in dialogue.ask(question, []).objects]

    once = draw(RandomAnswerer(seed=3), first)
    assert once == draw(RandomAnswerer(seed="3"), first)
    assert once != draw(RandomAnswerer(seed=4), first)
    assert once != draw(RandomAnswerer(seed=3), second)
    assert once[0] != once[1]
    assert len(draw(RandomAnswerer(count=2), first)) == 4
    assert all(len(track) == NUM_FRAMES and decode_track(track).any() for track in once)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("random:seed=x", "seed is 'x', expected a whole number from 0"),
        ("random:count=0", "count is '0', expected a whole number from 1"),
        ("random:colour=red", "'random' does not take that"),
        ("randm", "did you mean random"),
        ("llava", "needs a checkpoint: --answerer llava:model=DIR"),
        ("llava:model=x,frames=0", "expected whole numbers from 1"),
    ],
)
def test_wrong_options_are_said(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_answerer(text)


@pytest.mark.parametrize("name", ["truth", "nothing", "whole-frame", "random", "first-box"])
def test_baselines_open_by_name(name: str) -> None:
    assert type(open_answerer(name)).__module__ in ANSWERERS[name]


def test_a_question_of_another_sample_is_no_turn(tmp_path: Path) -> None:
    benchmark = ShapesBenchmark(write_shapes(tmp_path))
    finder = TurnFinder(benchmark.sample(benchmark.dialogue_ids[1]))
    assert finder.find("Segment it.").target_ids == ((str(BLUE),),)
    with pytest.raises(DataError, match=r"no turn left that asks 'Segment it\.'"):
        finder.find("Segment it.")


def test_boxes_of_the_fixture_are_apart() -> None:
    assert not (box_track(LEFT_BOX) & box_track(RIGHT_BOX)).any()
