from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CLIPImageProcessor, CLIPVisionModel

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.training.patch_names import COLOUR, VOCABULARIES
from sama_plugin.training.short_loop import STATE_FILE
from sama_plugin.training.tower_pretrain import FrameStream, pretrain_tower, start_positions


@pytest.fixture
def tower_folder(tiny_checkpoint: Path) -> Path:
    return tiny_checkpoint / "vision_tower"


def test_labels_name_the_object_on_each_patch(tower_folder: Path):
    stream = FrameStream(3, 4, CLIPImageProcessor.from_pretrained(tower_folder), grid=16)
    batch = next(iter(stream))
    assert batch.pixel_values.shape == (4, 3, 128, 128)
    assert batch.labels.shape == (4, 256, 3)
    is_object = batch.labels[..., 0] > 0
    assert 0 < is_object.float().mean() < 0.5
    assert ((batch.labels[..., [0, 2]] > 0).all(-1) == is_object).all()
    colours = batch.labels[..., COLOUR]
    assert ((colours != 0) == is_object).all()
    assert 0.2 < (colours[is_object] == IGNORE_INDEX).float().mean() < 0.8  # some have no name
    for i, names in enumerate(VOCABULARIES):
        assert int(batch.labels[..., i].max()) <= len(names)


def test_same_seed_and_step_give_the_same_batch(tower_folder: Path):
    processor = CLIPImageProcessor.from_pretrained(tower_folder)
    later = FrameStream(3, 2, processor, grid=16, start=1)
    stream = iter(FrameStream(3, 2, processor, grid=16))
    next(stream)
    assert torch.equal(next(stream).pixel_values, next(iter(later)).pixel_values)


def test_start_positions_tell_all_places_apart(tower_folder: Path):
    tower = CLIPVisionModel.from_pretrained(tower_folder)
    start_positions(tower)
    table = tower.vision_model.embeddings.position_embedding.weight[1:]
    distances = torch.cdist(table, table) + torch.eye(len(table)) * 9
    assert float(distances.min()) > 0.1


def test_interrupted_run_goes_on(tower_folder: Path, tmp_path: Path):
    settings = {"num_steps": 4, "batch_size": 2, "save_every": 3}
    pretrain_tower(tower_folder, tmp_path, **settings)
    whole = CLIPVisionModel.from_pretrained(tmp_path).state_dict()
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 3
    pretrain_tower(tower_folder, tmp_path, **settings)  # the fourth step again
    resumed = CLIPVisionModel.from_pretrained(tmp_path).state_dict()
    start = CLIPVisionModel.from_pretrained(tower_folder).state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert any(not torch.equal(whole[key], start[key]) for key in whole)
