"""A small SAM2 with random weights whose masks are neither empty nor full, and a clip in memory."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from sam2.build_sam import build_sam2_video_predictor
from torch.overrides import TorchFunctionMode

from sama_plugin.config import SAM2_PRESETS, GroundingConfig
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.grounding.sam2_model import SamaSam2, build_sam2
from sama_plugin.media.transforms import sam2_frames

TINY = dataclasses.replace(SAM2_PRESETS["tiny"], image_size=128, num_maskmem=7)  # as published
SIDE = TINY.image_size
WIDTH = TINY.hidden_dim


class MemoryClip:
    """`VideoClip` over an array: noise with two squares that move apart; notes which frames are decoded.

    It may show fewer frames at first: `num_frames` can be set.
    """

    def __init__(self, num_frames: int, height: int = 90, width: int = 120) -> None:
        self.frames = np.random.default_rng(0).integers(
            0, 255, (num_frames, height, width, 3), dtype=np.uint8
        )
        for t in range(num_frames):
            left = min(10 + 2 * t, width - 40)
            self.frames[t, 20:60, left : left + 40] = (200, 30, 30)
            self.frames[t, 50:80, width - left - 30 : width - left] = (20, 30, 220)
        self.num_frames, self.height, self.width = num_frames, height, width
        self.decoded: list[int] = []
        self.num_openings = 0

    def read(self, indices: Sequence[int]) -> np.ndarray:
        return self.frames[list(indices)]

    def iter_frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        self.num_openings += 1
        for i in range(start, self.num_frames if stop is None else stop):
            self.decoded.append(i)
            yield i, self.frames[i]

    def iter_frames_reversed(self, start: int, stop: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        self.num_openings += 1
        for i in range(start, stop - 1, -1):
            self.decoded.append(i)
            yield i, self.frames[i]


@cache
def lively_sam2() -> SamaSam2:
    """One model for all tests, not to be changed; about half of its masks and object scores are positive."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_sam2(TINY)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 1.5 / p[0].numel() ** 0.5)
            else:
                p.add_(0.1 * torch.randn(p.shape, generator=generator))
        matrix = model.sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix
        matrix.copy_(torch.randn(matrix.shape, generator=generator))
        last = model.sam_mask_decoder.pred_obj_score_head.layers[-1]
        last.weight.mul_(3)
        last.bias.add_(3)
    return model.requires_grad_(False)


def new_head(**grounding: Any) -> Sam2Head:
    return Sam2Head(lively_sam2(), GroundingConfig(**grounding))


def new_decoder(object_bias: float = 0.0) -> Any:
    """A decoder that differs from SAM2's own, with a shifted object score."""
    decoder = copy.deepcopy(lively_sam2().sam_mask_decoder)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in decoder.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=generator))
        decoder.pred_obj_score_head.layers[-1].bias.add_(object_bias)
    return decoder.eval()


def prompt_embeds(num_objects: int) -> torch.Tensor:
    return torch.randn(num_objects, WIDTH, generator=torch.Generator().manual_seed(3))


def square_masks(*boxes: tuple[int, int, int, int] | None) -> torch.Tensor:
    """(S, s, s) bool; one box (x0, y0, x1, y1) per object, None for an empty mask."""
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, box in zip(masks, boxes, strict=True):
        if box is not None:
            mask[box[1] : box[3], box[0] : box[2]] = True
    return masks


def encoded(head: Sam2Head, clip: MemoryClip, indices: Sequence[int]) -> Any:
    return head.encode(sam2_frames(clip.read(indices), SIDE))


class LinspaceOnCpu(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **{**(kwargs or {}), **({"device": "cpu"} if func is torch.linspace else {})})


def published_predictor(letter: str, overrides: tuple[str, ...] = (), device: str = "cpu") -> torch.nn.Module:
    """SAM2's own builder on its own YAML, without the compiled hole filling."""
    name = f"configs/sam2.1/sam2.1_hiera_{letter}.yaml"
    with torch.device(device), LinspaceOnCpu():
        model = build_sam2_video_predictor(name, device=device, hydra_overrides_extra=list(overrides))
    model.fill_hole_area = 0
    return model


def tiny_predictor() -> torch.nn.Module:
    """SAM2's own video predictor at the sizes of the tiny preset."""
    widths = [TINY.embed_dim * 2**i for i in (3, 2, 1, 0)]
    side = TINY.image_size // 16
    sizes = {
        "image_size": TINY.image_size,
        "image_encoder.trunk.embed_dim": TINY.embed_dim,
        "image_encoder.trunk.num_heads": TINY.num_heads,
        "image_encoder.trunk.stages": list(TINY.stages),
        "image_encoder.trunk.global_att_blocks": list(TINY.global_att_blocks),
        "image_encoder.trunk.window_spec": list(TINY.window_spec),
        "image_encoder.trunk.window_pos_embed_bkg_spatial_size": list(TINY.window_pos_embed_size),
        "image_encoder.neck.position_encoding.num_pos_feats": WIDTH,
        "image_encoder.neck.d_model": WIDTH,
        "image_encoder.neck.backbone_channel_list": widths,
        "memory_attention.d_model": WIDTH,
        "memory_attention.num_layers": TINY.memory_layers,
        "memory_attention.layer.d_model": WIDTH,
        "memory_attention.layer.dim_feedforward": TINY.memory_feedforward,
        "memory_attention.layer.self_attention.embedding_dim": WIDTH,
        "memory_attention.layer.self_attention.feat_sizes": [side, side],
        "memory_attention.layer.cross_attention.embedding_dim": WIDTH,
        "memory_attention.layer.cross_attention.feat_sizes": [side, side],
        "memory_attention.layer.cross_attention.kv_in_dim": TINY.memory_dim,
        "memory_encoder.in_dim": WIDTH,
        "memory_encoder.out_dim": TINY.memory_dim,
        "memory_encoder.position_encoding.num_pos_feats": TINY.memory_dim,
        "memory_encoder.mask_downsampler.embed_dim": WIDTH,
        "memory_encoder.fuser.layer.dim": WIDTH,
        "num_maskmem": TINY.num_maskmem,
    }
    return published_predictor("t", tuple(f"++model.{k}={v}" for k, v in sizes.items()))
