from __future__ import annotations

import torch

from sama_plugin.grounding.reference_tracker import build_predictor, track_with_predictor
from tests.grounding.tiny_sam2 import TINY, MemoryClip, lively_sam2, square_masks, tiny_predictor


def test_predictor_of_our_weights_is_the_one_sam2_builds() -> None:
    ours = build_predictor(lively_sam2(), TINY)
    theirs = tiny_predictor()
    theirs.load_state_dict(lively_sam2().state_dict())
    prompts = {2: square_masks((24, 28, 70, 80), (60, 60, 120, 110))}
    got = list(track_with_predictor(ours, MemoryClip(5), prompts))
    assert [frame.frame_idx for frame in got] == [2, 3, 4, 1, 0]
    for frame, expected in zip(got, track_with_predictor(theirs, MemoryClip(5), prompts), strict=True):
        assert frame.rows.tolist() == [0, 1]
        # Weights at other addresses may take other kernels, which differ in the last digits.
        torch.testing.assert_close(frame.logits, expected.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(frame.object_logits, expected.object_logits, rtol=1e-4, atol=1e-4)
    state = ours.state_dict()
    assert all(state[key].data_ptr() == value.data_ptr() for key, value in lively_sam2().state_dict().items())
