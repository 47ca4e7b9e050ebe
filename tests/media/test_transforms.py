import numpy as np
import pytest
import torch
from PIL import Image

from sama_plugin.media.transforms import (
    box_geometry,
    look_masks,
    masks_to_video,
    sam2_frames,
    shape_crops,
    tower_frames,
)
from tests.media.tiny_video import numbered_frames


def test_tower_frames_are_resized_without_crop_and_normalised():
    frames = np.stack(numbered_frames(2))
    pixels = tower_frames(frames, 32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    assert pixels.shape == (2, 3, 32, 32)
    assert pixels.dtype == torch.float32
    resized = np.asarray(Image.fromarray(frames[1]).resize((32, 32), Image.Resampling.BICUBIC)) / 255.0
    expected = (resized - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.25, 0.5])
    np.testing.assert_allclose(pixels[1].permute(1, 2, 0), expected, atol=1e-5)


def test_sam2_frames_equal_those_of_sam2(tmp_path):
    misc = pytest.importorskip("sam2.utils.misc")
    frame = numbered_frames(1)[0]
    Image.fromarray(frame).save(tmp_path / "0.png")
    theirs, height, width = misc._load_img_as_tensor(str(tmp_path / "0.png"), 64)
    assert (height, width) == frame.shape[:2]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(
        sam2_frames(frame[None], 64)[0], (theirs.float() - mean) / std, atol=1e-5, rtol=0
    )


def test_no_frames_give_an_empty_tensor():
    assert sam2_frames(np.zeros((0, 8, 8, 3), np.uint8), 16).shape == (0, 3, 16, 16)


@pytest.mark.parametrize(("height", "width", "grid"), [(8, 12, 4), (9, 7, 4), (3, 3, 5), (64, 64, 1)])
def test_look_masks_are_exact_area_shares(height, width, grid):
    masks = np.random.default_rng(0).random((2, height, width)) < 0.4
    fine = np.repeat(np.repeat(masks, grid, axis=1), grid, axis=2).astype(float)
    expected = fine.reshape(2, grid, height, grid, width).mean(axis=(2, 4))
    shares = look_masks(masks, grid)
    assert shares.dtype == torch.float32
    np.testing.assert_allclose(shares, expected, atol=1e-5)


def test_one_pixel_is_still_looked_at():
    mask = np.zeros((1, 720, 1280), bool)
    mask[0, 700, 3] = True
    shares = look_masks(mask, 16)
    assert shares[0, 15, 0] == pytest.approx(256 / (720 * 1280), rel=1e-4)
    assert (shares > 0).sum() == 1


def test_shape_crop_fills_the_square_with_the_box_of_the_mask():
    masks = np.zeros((3, 40, 60), bool)
    masks[0, 5:15, 20:50] = True
    masks[1, 0:20, 0:10], masks[1, 0:10, 0:10] = True, False
    masks[1, 0:10, 0:5] = True
    crops = shape_crops(masks, 16)
    assert crops.shape == (3, 16, 16)
    assert crops[0].min() > 0.999
    assert crops[1, 2, 13] == 0.0
    assert crops[1, [2, 13], [2, 13]].min() > 0.999
    assert crops[2].abs().sum() == 0.0


def test_box_geometry_gives_shares_of_the_frame():
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 10:20, 15:45] = True
    geometry = box_geometry(masks)
    np.testing.assert_allclose(geometry[0], [0.5, 0.375, 0.5, 0.25, 0.125], atol=1e-6)
    assert geometry[1].tolist() == [0.0] * 5


def test_no_regions_give_empty_tensors():
    none = np.zeros((0, 8, 8), bool)
    assert look_masks(none, 4).shape == (0, 4, 4)
    assert shape_crops(none, 6).shape == (0, 6, 6)
    assert box_geometry(none).shape == (0, 5)


def test_logits_become_masks_of_the_video():
    logits = torch.full((2, 4, 4), -1.0)
    logits[0, :, 2:] = 1.0
    masks = masks_to_video(logits, 8, 12)
    assert masks.shape == (2, 8, 12)
    assert masks.dtype == torch.bool
    assert masks[0].tolist() == [[False] * 6 + [True] * 6] * 8
    assert not masks[1].any()
    assert masks_to_video(logits.bfloat16()[:0], 8, 12).shape == (0, 8, 12)
    assert torch.equal(masks_to_video(logits.half(), 8, 12), masks)
