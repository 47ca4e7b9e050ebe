from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.config import RegionConfig, SamaConfig
from sama_plugin.data.model_inputs import InputBuilder, RegionUse
from sama_plugin.media.transforms import box_geometry, look_masks, shape_crops

SAMA = SamaConfig(region=RegionConfig(shape_size=6))


def make_builder(size: Any) -> InputBuilder:
    processor = SimpleNamespace(size=size, image_mean=(0.5, 0.4, 0.3), image_std=(0.5, 0.25, 1.0))
    return InputBuilder(SAMA, processor, patches_per_side=4)


@pytest.mark.parametrize(
    "size", [{"shortest_edge": 24}, {"height": 24, "width": 24}, (24, 24)], ids=["clip", "square", "siglip"]
)
def test_frames_take_the_towers_size_and_statistics(size: Any) -> None:
    frames = np.full((2, 10, 20, 3), 255, dtype=np.uint8)
    pixels = make_builder(size).tower_pixels(frames)
    assert pixels.shape == (2, 3, 24, 24)
    for channel, expected in enumerate((1.0, 2.4, 0.7)):
        torch.testing.assert_close(pixels[:, channel], torch.full((2, 24, 24), expected))


def test_regions_are_described_in_their_order() -> None:
    small, large = np.zeros((8, 12), dtype=bool), np.ones((8, 12), dtype=bool)
    small[2:4, 3:5] = True
    uses = [
        RegionUse(small, frame_slot=3),
        RegionUse(large, frame_slot=0),
    ]
    regions = make_builder((24, 24)).video_inputs(None, 4, [0, 2], [], uses).regions
    both = np.stack([small, large])
    torch.testing.assert_close(regions.look_masks, look_masks(both, 4))
    torch.testing.assert_close(regions.shape_masks, shape_crops(both, 6))
    torch.testing.assert_close(regions.boxes, box_geometry(both))
    assert regions.frame_slots.tolist() == [3, 0]


def test_no_regions_are_empty_tensors() -> None:
    video = make_builder((24, 24)).video_inputs(None, 4, [0, 2], [], [])
    assert video.regions.look_masks.shape == (0, 4, 4)
    assert video.regions.shape_masks.shape == (0, 6, 6)
    assert video.regions.boxes.shape == (0, 5)
    assert video.regions.frame_slots.shape == (0,)
    assert video.dense_positions.tolist() == [0, 2]
