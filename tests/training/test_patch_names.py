from __future__ import annotations

import numpy as np
import pytest
import torch

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.shapes.render import render_frame
from sama_plugin.data.shapes.world import sample_scene, unname_colours
from sama_plugin.training.patch_names import (
    COLOUR,
    VOCABULARIES,
    AttributeNamer,
    object_attributes,
    patch_labels,
    scene_attributes,
)


def test_labels_name_what_covers_a_patch() -> None:
    objects = sample_scene(np.random.default_rng(0), "train").objects[:2]
    masks = np.zeros((2, 64, 64), dtype=bool)
    masks[0, 0:16, 0:16] = True  # the whole first patch
    masks[1, 16:20, 16:32] = True  # a quarter of a patch: too little
    masks[1, 32:40, 48:64] = True  # half a patch
    words = [(thing.size, thing.colour, thing.shape) for thing in objects]
    labels = patch_labels(object_attributes(words), masks, grid=4).unflatten(0, (4, 4))
    for (row, column), thing in (((0, 0), objects[0]), ((2, 3), objects[1])):
        found = [names[i - 1] for names, i in zip(VOCABULARIES, labels[row, column].tolist(), strict=True)]
        assert found == [thing.size, thing.colour, thing.shape]
    assert int((labels[..., 0] > 0).sum()) == 2
    assert labels[1, 1].tolist() == [0, 0, 0]


def test_labels_of_a_drawn_frame_lie_on_its_masks() -> None:
    scene = sample_scene(np.random.default_rng(2), "train")
    _, masks = render_frame(scene, scene.num_frames // 2)
    labels = patch_labels(scene_attributes(scene), masks, grid=16)
    share = float((labels[:, 0] > 0).float().mean())
    assert share == pytest.approx(float(masks.any(0).mean()), abs=0.05)


def test_colours_without_a_name_have_no_label_and_shapes_keep_theirs() -> None:
    scene = sample_scene(np.random.default_rng(2), "train")
    plain = scene_attributes(scene)
    shown = unname_colours(scene, np.random.default_rng(1), 0.5)
    attributes = scene_attributes(shown)
    unnamed = torch.tensor([a.rgb != b.rgb for a, b in zip(scene.objects, shown.objects, strict=True)])
    assert 0 < int(unnamed.sum()) < len(unnamed)
    assert torch.equal(attributes[:, [0, 2]], plain[:, [0, 2]])
    assert torch.equal(attributes[~unnamed], plain[~unnamed])
    masks = np.eye(len(unnamed), dtype=bool)[:, :, None]  # one object on each row of patches
    labels = patch_labels(attributes, masks, grid=len(unnamed)).unflatten(0, (len(unnamed), -1))
    colours = labels[:, 0, COLOUR]
    assert ((colours == IGNORE_INDEX) == unnamed).all()
    assert torch.equal(colours[~unnamed], 1 + plain[~unnamed, COLOUR])
    assert (labels[:, 0, [0, 2]] > 0).all()


@torch.no_grad()
def test_loss_is_least_for_the_right_names() -> None:
    labels = torch.tensor([[[0, 0, 0], [1, 2, 3], [2, 6, 5]]])
    namer = AttributeNamer(3)
    with torch.no_grad():
        for i, head in enumerate(namer.heads):
            head.weight.zero_()
            head.bias.zero_()
            for patch in range(3):
                head.weight[labels[0, patch, i], patch] = 20.0
    loss, right = namer(torch.eye(3)[None], labels)
    mixed_up_loss, wrong = namer(torch.eye(3)[None].roll(1, dims=1), labels)
    assert float(loss) < 1e-3 < 1 < float(mixed_up_loss)
    assert right.tolist() == [1, 1, 1]
    assert wrong.tolist() == [0, 0, 0]
    labels[..., 2] = IGNORE_INDEX
    ignored_loss, ignored = namer(torch.eye(3)[None].roll(1, dims=1), labels)
    assert 0 < float(ignored_loss) < float(mixed_up_loss)
    assert float(ignored[2]) == 0
