from __future__ import annotations

import numpy as np
import pytest
import torch

from sama_plugin.grounding.dot_head import dot_grounding, dot_segment_pairs
from tests.grounding.tiny_sam2 import MemoryClip


def test_mask_is_where_features_agree_with_the_prompt() -> None:
    features = -torch.ones(1, 16, 4)
    features[0, 5] = 1  # row 1, column 1 of a 4 × 4 grid
    result = dot_segment_pairs(features, torch.ones(1, 4))
    mask = result.mask_logits[0, 0] > 0
    assert mask.shape == (8, 8)
    assert mask[2:4, 2:4].all()
    assert mask.sum() == 4
    assert result.object_logits.shape == result.iou.shape == (1, 1)
    assert result.object_logits.item() > 0


def test_absent_object_has_a_negative_score() -> None:
    result = dot_segment_pairs(torch.ones(1, 16, 4), -torch.ones(1, 4))
    assert result.object_logits.item() == pytest.approx(-2)  # -4 / √4
    assert result.scores.item() == 0


def test_pairs_are_independent_and_none_give_empty_tensors() -> None:
    features, prompts = torch.randn(3, 16, 4), torch.randn(3, 4, requires_grad=True)
    both = dot_segment_pairs(features, prompts)
    one = dot_segment_pairs(features[1:2], prompts[1:2])
    torch.testing.assert_close(both.mask_logits[1:2], one.mask_logits)
    none = dot_segment_pairs(features[:0], prompts[:0])
    assert none.mask_logits.shape == (0, 1, 8, 8)
    none.mask_logits.sum().backward()


def test_tracks_look_at_each_frame_alone() -> None:
    clip = MemoryClip(3, height=40, width=80)

    def encode(frames: np.ndarray) -> torch.Tensor:
        """Upper left patch answers to axis 0 on frame 1 only; nothing else to anything."""
        features = -torch.ones(1, 16, 2)
        if np.array_equal(frames[0], clip.frames[1]):
            features[0, 0, 0] = 3
        return features

    clip.num_frames = 2
    grounding = dot_grounding(clip, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), encode)
    assert grounding.scores.tolist() == [0, 0]
    first, second = grounding.frames
    clip.num_frames = 3
    assert [frame.frame_idx for frame in grounding.extend()] == [2]
    assert list(grounding.extend()) == []
    assert not first.masks.any()
    seen, absent = second.masks
    assert not absent.any()
    assert grounding.scores[1] < 0.5 < grounding.scores[0]
    assert seen[:10, :20].all()
    assert not seen[20:].any()
