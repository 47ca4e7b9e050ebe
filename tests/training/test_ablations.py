from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sama_plugin.data.mixture import read_sources
from sama_plugin.data.shapes import make_shapes
from sama_plugin.evaluation.results import Results
from sama_plugin.training import ablations, tiny
from sama_plugin.training.ablations import ARMS, Arm, Row
from tests.conftest import load_checkpoint

FULL, NO_SAM, NO_AGGREGATOR, PUBLIC = ARMS
OPTIONS = Namespace(talk_steps=2, clips_steps=1, context_steps=1, scale=1.0, seed=0, workers=1)
SCORES = {"J&F": 0.5, "referring": 0.75}


@pytest.fixture
def recipe(tiny_checkpoint: Path, shapes_set: Path, tmp_path: Path) -> Path:
    """A folder as the tiny recipe leaves it before `talk`."""
    folder = tmp_path / "recipe"
    (folder / "data").mkdir(parents=True)
    for split in tiny.TRAINING_SPLITS:
        (folder / "data" / split).symlink_to(shapes_set)
    tiny.stage_folder(folder, "joined").symlink_to(tiny_checkpoint)
    return folder


@pytest.mark.parametrize("arm", [NO_SAM, NO_AGGREGATOR])
def test_start_of_an_arm_keeps_all_that_it_shares_with_the_full_one(
    arm: Arm, loaded: Any, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    ablations.make_arm_start(arm, tiny_checkpoint, tmp_path / "start", seed=3)
    model = load_checkpoint(tmp_path / "start").model
    own, full = model.state_dict(), loaded.model.state_dict()
    assert {name.split(".")[2] for name in full.keys() - own.keys()} == {
        NO_SAM: {"seg_decoder"},
        NO_AGGREGATOR: {"aggregator"},
    }[arm]
    changed = {
        name.split(".")[2] for name in own if not torch.equal(own[name], full.get(name, own[name][:0]))
    }
    assert changed == ({"seg_projection"} if arm is NO_SAM else set())
    assert (model.sam2_head is None) == (arm is NO_SAM)
    ablations.make_arm_start(arm, tiny_checkpoint, tmp_path / "again", seed=3)
    again = load_checkpoint(tmp_path / "again").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in own.items())


def test_an_arm_is_trained_tested_and_left_alone_when_done(recipe: Path, tmp_path: Path) -> None:
    make_shapes(tmp_path / "test", 5, 1, progress=False)

    def run() -> tuple[Results, list[float]]:
        start = ablations.arm_start(NO_SAM, recipe, tmp_path / "start", OPTIONS)
        ablations.train_arm(NO_SAM, start, recipe, tmp_path / "arm", OPTIONS, [])
        results = ablations.measure_arm(tmp_path / "arm", tmp_path / "test", 0)
        return results, [path.stat().st_mtime for path in sorted(tmp_path.rglob("*.safetensors"))]

    results, times = run()
    assert results.counts["dialogues"] == 2
    model = load_checkpoint(tiny.stage_folder(tmp_path / "arm", "clips")).model
    assert model.sama.grounding.head == "dot"
    assert run() == (results, times)


def test_public_style_questions_stand_alone_in_words_or_in_masks(shapes_set: Path, tmp_path: Path) -> None:
    for split in tiny.TRAINING_SPLITS:
        (tmp_path / split).symlink_to(shapes_set)
    asked = set()
    for name in (PUBLIC.context, *PUBLIC.talk, PUBLIC.clips):
        for _, samples in read_sources(tiny.DATA_CONFIGS / name, tmp_path):
            for sample in samples:
                asked |= {(turn.task, turn.kind) for turn in sample.turns}
                assert len({turn.task == "referring" for turn in sample.turns}) == 1
    words = {("referring", kind) for kind in ("name", "colour", "shape", "size")}
    masks = {(task, kind) for task in ("grounding", "none") for kind in ("attribute", "motion", "several")}
    assert asked <= words | masks
    assert {task for task, _ in asked} == {"referring", "grounding", "none"}
    full = {
        (turn.task, turn.kind)
        for _, samples in read_sources(tiny.DATA_CONFIGS / FULL.clips, tmp_path)
        for sample in samples
        for turn in sample.turns
    }
    assert full - asked


def test_arm_without_data_goes_without_it_from_the_context_stage_on(
    recipe: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def context_stage(start: Path, out: Path, data: Path, config: str, options: Namespace) -> None:
        seen.append((start, config))
        tiny.stage_folder(out, "context").symlink_to(tiny_checkpoint)

    monkeypatch.setattr(tiny, "context_stage", context_stage)
    monkeypatch.setattr(tiny, "join_sam2", lambda start, sam2, out: seen.append((start, out)))
    monkeypatch.setattr(
        ablations, "make_arm_start", lambda arm, joined, folder, seed: seen.append((joined, folder))
    )
    out = tmp_path / "arm"
    out.mkdir()
    assert ablations.arm_start(PUBLIC, recipe, out, OPTIONS) == out / "qwen-joined"
    assert seen == [
        (recipe / "qwen-words", "public_clips.yaml"),
        (out / "qwen-context", out / "qwen-own"),
        (out / "qwen-own", out / "qwen-joined"),
    ]
    seen.clear()
    ablations.arm_start(FULL, recipe, tmp_path / "full", OPTIONS)
    assert seen == [(recipe / "qwen-joined", tmp_path / "full" / "qwen-joined")]


def test_summary_counts_events_by_their_questions() -> None:
    metrics = {
        "J&F": 0.4,
        "referring_accuracy": 0.8,
        "multi_turn_accuracy": 0.6,
        "no_target_accuracy": None,
        "referring_accuracy/motion": 1.0,
        "multi_turn_accuracy/it_motion": 0.5,
        "referring_accuracy/colour": 0.0,
    }
    counts = {
        "referring_accuracy/motion": 1,
        "multi_turn_accuracy/it_motion": 4,
        "referring_accuracy/colour": 9,
    }
    scores = ablations.summarise(Results("shapes", metrics, counts, {}, {}))
    assert scores["motion and events"] == pytest.approx(3 / 5)
    assert scores["overall"] != scores["overall"]  # not asked, not known
    metrics["no_target_accuracy"] = 0.2
    assert ablations.summarise(Results("shapes", metrics, counts, {}, {}))["overall"] == pytest.approx(0.5)


def test_table_says_how_far_each_arm_is_from_the_full_one(tmp_path: Path) -> None:
    unknown = {"multi-turn": float("nan")}
    rows = [Row(FULL, [SCORES | unknown]), Row(NO_SAM, [{"J&F": 0.375, "referring": 0.76} | unknown])]
    assert ablations.format_rows(rows, "One video.").splitlines() == [
        "One video.",
        "",
        "| | J&F | referring | multi-turn |",
        "|---|---:|---:|---:|",
        "| full | 50.0 | 75.0 | not asked |",
        "| no SAM | 37.5 (-12.5) | 76.0 (+1.0) | not asked |",
    ]
    ablations.draw_rows(rows, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.size[0] > plot.size[1]
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_scores_of_several_seeds_are_means_with_half_their_range(tmp_path: Path) -> None:
    rows = [Row(FULL, [SCORES, {"J&F": 0.75, "referring": 0.75}]), Row(NO_SAM, [SCORES, SCORES])]
    assert ablations.format_rows(rows, "Two.").splitlines()[-2:] == [
        "| full | 62.5 ± 12.5 | 75.0 ± 0.0 |",
        "| no SAM | 50.0 ± 0.0 (-12.5) | 75.0 ± 0.0 (+0.0) |",
    ]
    ablations.draw_rows(rows, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").is_file()
