"""Frames and masks → tensors of the vision tower, region encoder and SAM2; mask logits → video pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sama_plugin.media.masks import box_of_mask

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def tower_frames(frames: np.ndarray, size: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bring frames to the tower's square, bicubic; nothing is cropped, the aspect ratio is lost.

    Args:
        frames: (n, H, W, 3) uint8 RGB.
        size: s, side of the square, pixels.
        mean: per channel, of values in [0, 1].
        std: per channel.

    Returns:
        (n, 3, s, s) float32, normalised.

    Source: official `internvl` video transform. Differs: size, mean and std are the host tower's.
    """
    pixels = np.empty((len(frames), size, size, 3), dtype=np.uint8)
    for place, frame in enumerate(frames):
        pixels[place] = np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC))
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
    offset = torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1)
    scale = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1)
    return (channels_first - offset) / scale


def sam2_frames(frames: np.ndarray, size: int) -> Tensor:
    """Bring frames to SAM2's input, as `sam2` loads videos itself.

    Args:
        frames: (n, H, W, 3) uint8 RGB.
        size: s, `Sam2Config.image_size`.

    Returns:
        (n, 3, s, s) float32, ImageNet-normalised.

    Source: `sam2.utils.misc`, `_load_img_as_tensor`. Differs: no.
    """
    return tower_frames(frames, size, IMAGENET_MEAN, IMAGENET_STD)


def look_masks(masks: np.ndarray, grid: int) -> Tensor:
    """Measure which share of each patch a region covers; exact also where patches and pixels do not line up.

    Args:
        masks: (R, H, W) bool.
        grid: g, patches per side of the frame, which was resized to a square.

    Returns:
        (R, g, g) float32 in [0, 1].
    """
    height, width = masks.shape[1:]
    rows, columns = _overlap_shares(height, grid), _overlap_shares(width, grid)
    return (rows @ torch.from_numpy(masks).float() @ columns.T).clamp_(0.0, 1.0)


def shape_crops(masks: np.ndarray, size: int) -> Tensor:
    """Cut each region to its box and resize it: its form, free of place, size and aspect ratio.

    Args:
        masks: (R, H, W) bool.
        size: s, side of the crop.

    Returns:
        (R, s, s) float32 in [0, 1], antialiased bilinear; zeros for an empty mask.
    """
    crops = torch.zeros(len(masks), size, size)
    for place, mask in enumerate(masks):
        x0, y0, x1, y1 = box_of_mask(mask)
        if x1 > x0:
            cut = torch.from_numpy(mask[y0:y1, x0:x1]).float()[None, None]
            crops[place] = F.interpolate(cut, size=(size, size), mode="bilinear", antialias=True)[0, 0]
    return crops.clamp_(0.0, 1.0)


def box_geometry(masks: np.ndarray) -> Tensor:
    """Say where each region is and how large: what `shape_crops` leaves out.

    Args:
        masks: (R, H, W) bool.

    Returns:
        (R, 5) float32; centre x, centre y, width and height of its box and its area, as shares of the frame;
        zeros for an empty mask.
    """
    height, width = masks.shape[1:]
    geometry = torch.zeros(len(masks), 5)
    for place, mask in enumerate(masks):
        x0, y0, x1, y1 = box_of_mask(mask)
        shares = ((x0 + x1) / (2 * width), (y0 + y1) / (2 * height), (x1 - x0) / width, (y1 - y0) / height)
        geometry[place] = torch.tensor((*shares, float(mask.mean())))
    return geometry


def masks_to_video(logits: Tensor, height: int, width: int) -> Tensor:
    """Bring mask logits to video pixels and threshold them.

    Args:
        logits: (n, h, w) float; above 0 is inside.
        height: H.
        width: W.

    Returns:
        (n, H, W) bool on the same device; bilinear, as `sam2` does.
    """
    if not len(logits):
        return torch.zeros(0, height, width, dtype=torch.bool, device=logits.device)
    resized = F.interpolate(
        logits[:, None].float(), size=(height, width), mode="bilinear", align_corners=False
    )
    return resized[:, 0] > 0


def _overlap_shares(pixels: int, cells: int) -> Tensor:
    """(cells, pixels) float32; which share of each cell's length each pixel fills, rows sum to 1."""
    borders = torch.arange(cells + 1, dtype=torch.float64) * pixels / cells
    left = torch.arange(pixels, dtype=torch.float64)
    upper = torch.minimum(borders[1:, None], left + 1)
    lower = torch.maximum(borders[:-1, None], left)
    return ((upper - lower).clamp(min=0) * cells / pixels).float()
