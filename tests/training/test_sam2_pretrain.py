from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from sama_plugin.config import SAM2_PRESETS
from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.shapes.world import HELD_OUT_PAIRS
from sama_plugin.grounding.sam2_model import ClipPrediction, FrameFeatures, build_sam2, load_sam2
from sama_plugin.training import sam2_pretrain
from sama_plugin.training.patch_names import UNNAMED, VOCABULARIES, object_attributes
from sama_plugin.training.sam2_pretrain import (
    ALL_PROMPTS,
    KINDS,
    LONG_CLIPS,
    NAMES,
    NAMES_FILE,
    SPATIAL,
    AttributeEmbedding,
    ClipStream,
    _absent_name,
    _fits,
    _partial_name,
    clip_loss,
    ease_location,
    pretrain_sam2,
    soft_iou,
)
from sama_plugin.training.short_loop import ShortLoop

TINY = dataclasses.replace(SAM2_PRESETS["tiny"], image_size=128)
SCHEDULE = ((0, SPATIAL), (600, ALL_PROMPTS))
RUN: dict[str, Any] = {"seed": 3, "num_steps": 4, "batch_size": 2, "save_every": 2}


class KilledError(Exception):
    """Stands for a kill."""


def test_killed_run_goes_on_to_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = ALL_PROMPTS._replace(clip_share=1.0)  # with dropout where frames are remembered
    monkeypatch.setattr(sam2_pretrain, "FROM_NOTHING", (SPATIAL, 0.5, clips))  # so that names are learned too
    whole = pretrain_sam2(tmp_path / "whole", TINY, **RUN).state_dict()
    calls = []

    def dying_loss(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 4:
            raise KilledError
        return clip_loss(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sam2_pretrain, "clip_loss", dying_loss)
        with pytest.raises(KilledError):
            pretrain_sam2(tmp_path / "killed", TINY, **RUN)
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    torch.manual_seed(99)
    resumed = pretrain_sam2(tmp_path / "killed", TINY, **RUN).state_dict()
    stored = load_sam2(tmp_path / "killed", TINY).state_dict()
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name
        assert torch.equal(tensor, stored[name]), name
    start = build_sam2(TINY).state_dict()
    assert any(not torch.equal(tensor, start[name]) for name, tensor in whole.items())


def test_larger_frames_go_on_from_what_small_ones_taught(tmp_path: Path) -> None:
    small = dataclasses.replace(TINY, image_size=64)
    settings = {"num_steps": 2, "batch_size": 2, "save_every": 2}
    pretrain_sam2(tmp_path / "small", small, seed=3, **settings)
    larger = pretrain_sam2(
        tmp_path / "large", dataclasses.replace(TINY, image_size=96), start=tmp_path / "small", **settings
    )
    before, after = load_sam2(tmp_path / "small", small).state_dict(), larger.state_dict()
    assert before.keys() == after.keys()
    far = max(float((after[name] - tensor).abs().max()) for name, tensor in before.items())
    assert 0 < far < 0.01  # two steps, not other weights
    names = [load_file(tmp_path / folder / NAMES_FILE) for folder in ("small", "large")]
    moved = max(float((names[1][key] - tensor).abs().max()) for key, tensor in names[0].items())
    assert 0 < moved < 0.01  # they are learned on


@pytest.mark.parametrize("is_larger", [False, True])
def test_both_phases_of_a_stage_have_their_share_of_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_larger: bool
) -> None:
    start = tmp_path / "small" if is_larger else None
    if start:
        pretrain_sam2(start, TINY, **RUN)
    schedules, loops = [], []

    class RecordedStream(ClipStream):
        def __init__(self, seed: int, batch: int, size: int, schedule: Any, first: int) -> None:
            schedules.append(schedule)
            super().__init__(seed, batch, size, schedule, first)

    class RecordedLoop(ShortLoop):
        def __init__(self, *args: Any, **settings: Any) -> None:
            loops.append(settings["use_muon"])
            super().__init__(*args, **settings)

    monkeypatch.setattr(sam2_pretrain, "ClipStream", RecordedStream)
    monkeypatch.setattr(sam2_pretrain, "ShortLoop", RecordedLoop)
    pretrain_sam2(tmp_path / "out", TINY, start=start, **RUN)
    assert schedules == [((0, NAMES), (2, LONG_CLIPS)) if is_larger else ((0, SPATIAL), (1, ALL_PROMPTS))]
    assert loops == [is_larger]


def take(stream: ClipStream, count: int) -> list[tuple[str, list]]:
    batches = iter(stream)
    return [next(batches) for _ in range(count)]


def test_stream_is_drawn_by_seed_and_batch_number() -> None:
    first = take(ClipStream(5, 2, 64, SCHEDULE), 6)
    late = take(ClipStream(5, 2, 64, SCHEDULE, start=4), 2)
    for (kind, items), (late_kind, late_items) in zip(first[4:], late, strict=True):
        assert kind == late_kind
        for item, late_item in zip(items, late_items, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(item, late_item, strict=True))
    other = take(ClipStream(6, 2, 64, SCHEDULE), 1)[0][1][0]
    assert not torch.equal(first[0][1][0].frames, other.frames)


def test_workers_make_the_batches_of_one_process_in_turn() -> None:
    alone = take(ClipStream(5, 2, 64, SCHEDULE), 5)
    loader = DataLoader(
        ClipStream(5, 2, 64, SCHEDULE), batch_size=None, num_workers=2, collate_fn=lambda made: made
    )
    for (kind, items), (other_kind, other_items) in zip(alone, loader, strict=False):
        assert kind == other_kind
        for item, other in zip(items, other_items, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(item, other, strict=True))


def test_items_are_what_their_prompts_mean() -> None:
    seen = set()
    for kind, items in take(ClipStream(1, 3, 64, ((0, ALL_PROMPTS),)), 24):
        seen.add(kind)
        for item in items:
            assert item.frames.shape[1:] == (3, 64, 64)
            assert item.masks.shape == (len(item.frames), 64, 64)
            assert all(int(i) < len(n) for i, n in zip(item.attributes, VOCABULARIES, strict=True))
            assert ((item.attributes >= 0) | (item.attributes == UNNAMED)).all()
            assert ((item.names >= 0) | (item.names == IGNORE_INDEX)).all()
            if kind != "language":
                assert item.masks[0].any()
            if kind == "point":
                x, y = item.points_xy[0]
                assert item.point_labels[0] == 1
                assert item.masks[0, int(y), int(x)]
                if item.point_labels[1] == 0:
                    x, y = item.points_xy[1]
                    assert not item.masks[0, int(y), int(x)]
            if kind == "box":
                assert item.point_labels.tolist() == [2, 3]
                assert (item.points_xy[1] > item.points_xy[0]).all()
    assert seen == set(KINDS)


def test_early_steps_have_no_names() -> None:
    assert "language" not in {kind for kind, _ in take(ClipStream(0, 1, 32, SCHEDULE), 20)}


def test_some_names_mean_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam2_pretrain, "KINDS", ("language",) * 4)
    items = [item for _, items in take(ClipStream(2, 8, 32, SCHEDULE), 8) for item in items]
    absent = np.mean([not bool(item.masks.any()) for item in items])
    assert 0.02 < absent < 0.4


def test_partial_names_keep_something_and_fit_what_has_it() -> None:
    rng = np.random.default_rng(0)
    name = torch.tensor([1, 2, 3])
    drawn = [_partial_name(rng, name) for _ in range(60)]
    assert {tuple((row == name).tolist()) for row in drawn} > {(True, True, True), (False, False, True)}
    for row in drawn:
        assert ((row == name) | (row == UNNAMED)).all()
        assert (row != UNNAMED).any()
    objects = torch.tensor([[1, 2, 3], [1, 2, 4], [0, UNNAMED, 3]])
    assert _fits(name, objects).tolist() == [True, False, False]
    assert _fits(torch.tensor([UNNAMED, UNNAMED, 3]), objects).tolist() == [True, False, True]
    assert _fits(torch.tensor([UNNAMED, 2, UNNAMED]), objects).tolist() == [True, True, False]


def test_absent_names_fit_nothing_and_no_held_out_pair_is_among_them() -> None:
    rng = np.random.default_rng(1)
    objects = torch.tensor([[1, 2, 3], [0, UNNAMED, 1]])
    held_out = [object_attributes([("small", *pair)])[0, 1:] for pair in HELD_OUT_PAIRS]
    for _ in range(200):
        name = _absent_name(rng, objects)
        assert not _fits(name, objects).any()
        assert not any(torch.equal(name[1:], pair) for pair in held_out)


def make_prediction(logits: torch.Tensor, presence: float, iou: float) -> ClipPrediction:
    frames = logits.shape[1]
    return ClipPrediction(
        mask_logits=logits,
        iou=torch.full((1, frames), iou),
        object_logits=torch.full((1, frames), presence),
        candidate_logits=[logits[:, t : t + 1] for t in range(frames)],
        candidate_iou=[torch.full((1, 1), iou)] * frames,
        features=FrameFeatures((logits, logits, logits), logits),
    )


def test_right_masks_cost_less_than_wrong_ones() -> None:
    masks = torch.zeros(1, 2, 32, 32, dtype=torch.bool)
    masks[:, :, 8:20, 4:16] = True
    right = torch.where(masks, 8.0, -8.0)
    good, good_iou = clip_loss(make_prediction(right, 6.0, 1.0), masks)
    bad, bad_iou = clip_loss(make_prediction(-right, 6.0, 1.0), masks)
    unsure, _ = clip_loss(make_prediction(right, -6.0, 1.0), masks)
    assert float(good) < 0.05
    assert float(good_iou) == 1
    assert float(bad_iou) == 0
    assert float(bad) > 10 * float(unsure) > float(good)


def test_object_that_is_absent_teaches_empty_masks_and_absence() -> None:
    masks = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    empty = torch.full((1, 1, 32, 32), -8.0)
    good, _ = clip_loss(make_prediction(empty, -6.0, 0.0), masks)
    present, _ = clip_loss(make_prediction(empty, 6.0, 0.0), masks)
    full, _ = clip_loss(make_prediction(-empty, -6.0, 0.0), masks)
    assert float(good) < 0.05
    assert min(float(present), float(full)) > 1


def test_iou_of_logits() -> None:
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert soft_iou(logits, target).tolist() == pytest.approx([1 / 3, 0.0])


def test_name_is_the_sum_of_its_attributes() -> None:
    torch.manual_seed(0)
    names = AttributeEmbedding(8)
    size, colour, shape = (table.weight for table in names.tables)
    torch.testing.assert_close(names(torch.tensor([[1, 2, 3]]))[0], size[1] + colour[2] + shape[3])
    torch.testing.assert_close(names(torch.tensor([[1, UNNAMED, 3]]))[0], size[1] + shape[3])


def test_eased_attention_looks_where_it_is() -> None:
    torch.manual_seed(0)
    sam2 = build_sam2(TINY)
    ease_location(sam2)
    attention = sam2.sam_mask_decoder.transformer.final_attn_token_to_image
    places = torch.nn.functional.normalize(torch.randn(20, TINY.hidden_dim), dim=-1) * 5
    scores = attention.q_proj(places) @ attention.k_proj(places).T
    assert (scores.argmax(-1) == torch.arange(20)).float().mean() > 0.9
