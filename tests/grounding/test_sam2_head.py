from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sama_plugin.config import GroundingConfig
from sama_plugin.errors import PromptError
from sama_plugin.grounding import sam2_head
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.object_tracker import ObjectTracker
from sama_plugin.grounding.prediction import GroundFrame, Grounding, SegPrediction
from sama_plugin.grounding.reference_tracker import track_with_predictor
from sama_plugin.grounding.sam2_head import Sam2Head, spread_frames
from sama_plugin.grounding.sam2_model import NO_OBJ_SCORE, ClipPrompt, SamaSam2
from sama_plugin.media.transforms import sam2_frames
from sama_plugin.schema import RegionPrompt
from tests.grounding.tiny_sam2 import (
    SIDE,
    TINY,
    WIDTH,
    MemoryClip,
    encoded,
    lively_sam2,
    new_decoder,
    new_head,
    prompt_embeds,
    square_masks,
    tiny_predictor,
)

LOW = SIDE // 4


def propagate(
    head: Sam2Head, clip: MemoryClip, prompts: dict[int, torch.Tensor]
) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
    """Frame, logits and object logits of objects that are prompted on the same frames, in the order they come."""
    store = FeatureStore(head, clip)
    return [(f.frame_idx, f.logits, f.object_logits) for f in head.propagate(store, prompts)]


def head_that_sees_all() -> Sam2Head:
    """Its object scores are far from the threshold of presence, so that no last digit decides."""
    sam2 = copy.deepcopy(lively_sam2())
    sam2.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(20)
    return Sam2Head(sam2, GroundingConfig())


def predictor_tracks(
    clip: MemoryClip, prompts: dict[int, torch.Tensor], sam2: SamaSam2
) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Frame -> (S, h, w) logits and (S,) object logits of SAM2's own predictor, forward and then backward."""
    predictor = tiny_predictor()
    predictor.load_state_dict(sam2.state_dict())
    return {f.frame_idx: (f.logits, f.object_logits) for f in track_with_predictor(predictor, clip, prompts)}


@pytest.mark.parametrize("num_frames", [16, 32])  # the way back begins after the way forward, or beside it
def test_propagation_equals_sam2s_video_predictor_in_both_directions(num_frames: int) -> None:
    clip = MemoryClip(num_frames)
    first, second = (24, 28, 70, 80), (60, 60, 120, 110)
    prompts = {9: square_masks(first, second), 14: square_masks((30, 28, 80, 80), None)}
    expected = predictor_tracks(clip, prompts, lively_sam2())
    tracked = []
    for k in range(2):  # alone, as SAM2 does it
        alone = {i: masks[k : k + 1] for i, masks in prompts.items()}
        got = {i: (logits, scores) for i, logits, scores in propagate(new_head(), clip, alone)}
        assert sorted(got) == list(range(num_frames))
        for i, (logits, scores) in got.items():
            torch.testing.assert_close(scores, expected[i][1][k : k + 1], atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(logits, expected[i][0][k : k + 1], atol=1e-2, rtol=1e-3)
        tracked += [got[i] for i in got if i not in prompts]
    share = torch.cat([logits for logits, _ in tracked]).gt(0).float().mean()
    assert 0.02 < share < 0.98, "degenerate masks would prove nothing"
    assert {bool(scores > 0) for _, scores in tracked} == {True, False}


@pytest.mark.parametrize(("num_frames", "steps_saved"), [(26, 0), (42, 7), (60, 20)])
def test_objects_prompted_on_different_frames_equal_sam2s_predictor_on_each_alone(
    num_frames: int, steps_saved: int
) -> None:
    clip = MemoryClip(num_frames)
    store = FeatureStore(head_that_sees_all(), clip)
    prompts = {
        0: {4: square_masks((24, 28, 70, 80)), 11: square_masks((30, 28, 80, 80))},
        1: {11: square_masks((60, 60, 120, 110))},
        2: {20: square_masks((5, 5, 40, 30)), 23: square_masks((5, 5, 40, 34))},
    }
    prompted = {i: np.array([i in own for own in prompts.values()]) for i in (4, 11, 20, 23)}
    together = {i: torch.cat([own[i] for own in prompts.values() if i in own]) for i in prompted}
    got: dict[int, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {row: {} for row in prompts}
    parts = (store.head.sam2.memory_attention.layers[0].self_attn, store.head.sam2.memory_encoder)
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(mock.patch.object(p, "forward", side_effect=p.forward)) for p in parts]
        for frame in store.head.propagate(store, together, prompted):
            for k, row in enumerate(frame.rows.tolist()):
                assert frame.frame_idx not in got[row]
                got[row][frame.frame_idx] = frame.logits[k], frame.object_logits[k]
    # Every frame from the first prompt on, and back from the last first prompt, on frame 20, which is done beside the
    # frames from 20 + 15 on; on frames 4 and 11 there are only prompts.
    steps = (num_frames - 4) + 20 - steps_saved - 2
    assert calls[0].call_count == steps
    assert calls[1].call_count == steps + 1  # all prompts at once
    for row, own in prompts.items():
        expected = predictor_tracks(clip, own, store.head.sam2)
        assert sorted(got[row]) == list(range(num_frames))
        for i, (logits, scores) in got[row].items():
            # memory is rounded to bfloat16, which may make a last digit of a batch a visible one
            torch.testing.assert_close(scores, expected[i][1][0], atol=1e-2, rtol=1e-3)
            torch.testing.assert_close(logits, expected[i][0][0], atol=0.2, rtol=1e-2)


def test_objects_in_a_batch_are_tracked_as_each_alone() -> None:
    clip = MemoryClip(10)
    masks = square_masks((24, 28, 70, 80), (60, 60, 120, 110), (5, 5, 40, 30))
    head = head_that_sees_all()
    together = {i: (m, s) for i, m, s in propagate(head, clip, {4: masks})}
    for k in range(3):
        for i, logits, scores in propagate(head, clip, {4: masks[k : k + 1]}):
            # memory is rounded to bfloat16, which may make a last digit of a large batch a visible one
            torch.testing.assert_close(together[i][1][k : k + 1], scores, atol=1e-2, rtol=1e-3)
            torch.testing.assert_close(together[i][0][k : k + 1], logits, atol=0.2, rtol=1e-2)
    assert not torch.allclose(together[9][0][0], together[9][0][1], atol=1.0)


def test_prompts_may_be_logits_at_mask_size() -> None:
    clip = MemoryClip(3)
    logits = F.interpolate(square_masks((24, 28, 72, 80))[None].float(), size=LOW, mode="area")[0] * 20 - 10
    large = F.interpolate(logits[None], size=SIDE, mode="bilinear")[0] > 0
    small = list(propagate(new_head(), clip, {0: logits}))
    exact = list(propagate(new_head(), clip, {0: large}))
    for (_, got, _), (_, want, _) in zip(small, exact, strict=True):
        assert torch.equal(got, want)


def test_each_frame_is_encoded_once_whatever_the_number_of_objects() -> None:
    clip, head = MemoryClip(11), new_head(min_score=0.0, candidate_frames=4)
    store, decoder = FeatureStore(head, clip), new_decoder(object_bias=20)
    assert list(head.ground(store, prompt_embeds(3), decoder).frames)
    assert store.frames_encoded == 11
    assert list(head.ground(store, -prompt_embeds(2), decoder).frames)
    assert store.frames_encoded == 11


@pytest.mark.parametrize("num_frames", [30, 60])
def test_memory_does_not_grow_with_the_clip(num_frames: int) -> None:
    trackers: list[ObjectTracker] = []

    class Watched(ObjectTracker):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            trackers.append(self)

    masks = square_masks((24, 28, 70, 80))
    store = FeatureStore(new_head(), MemoryClip(num_frames), budget_bytes=0)
    with mock.patch.object(sam2_head, "ObjectTracker", Watched):
        frames = store.head.propagate(store, {5: masks, 9: masks})
        next(frames)
        memory, pointer = 8 * 8 * TINY.memory_dim * 2, WIDTH * 4
        (tracker,) = trackers
        recent = TINY.num_maskmem - 1
        assert tracker.num_bytes == (2 + 2 * recent) * memory + (2 + 15 + 15) * pointer
        assert len(list(frames)) == num_frames - 1
    assert tracker.num_bytes == (2 + recent) * memory + (2 + 15) * pointer
    assert store.bytes_held == 0


def test_frames_are_read_one_at_a_time_and_once() -> None:
    clip = MemoryClip(30)
    store = FeatureStore(new_head(), clip)
    list(store.head.propagate(store, {3: square_masks((24, 28, 70, 80))}))
    assert clip.decoded == [3, *range(4, 18), 18, 2, 19, 1, 20, 0, *range(21, 30)]


def test_segment_of_many_is_segment_of_each() -> None:
    head, clip, decoder = new_head(), MemoryClip(4), new_decoder()
    prompts = prompt_embeds(3)
    with torch.no_grad():
        both = head.segment(encoded(head, clip, [0, 3]), prompts, decoder)
        assert both.mask_logits.shape == (2, 3, LOW, LOW)
        assert both.iou.shape == both.object_logits.shape == (2, 3)
        for i, frame in enumerate((0, 3)):
            for k in range(3):
                one = head.segment(encoded(head, clip, [frame]), prompts[k : k + 1], decoder)
                torch.testing.assert_close(
                    both.mask_logits[i, k], one.mask_logits[0, 0], atol=1e-3, rtol=1e-4
                )
                torch.testing.assert_close(both.iou[i, k], one.iou[0, 0], atol=1e-5, rtol=1e-4)
                torch.testing.assert_close(
                    both.object_logits[i, k], one.object_logits[0, 0], atol=1e-4, rtol=1e-4
                )


def test_pairs_name_their_frames() -> None:
    head, clip, decoder = new_head(), MemoryClip(4), new_decoder()
    features, prompts = encoded(head, clip, [0, 3]), prompt_embeds(3)
    rows = torch.tensor([1, 0, 1])
    with torch.no_grad():
        pairs = head.segment_pairs(features, prompts, decoder, frame_rows=rows)
        taken = head.segment_pairs(features.take(rows), prompts, decoder)
        full = head.segment(features, prompts, decoder)
    assert pairs.mask_logits.shape == (3, 1, LOW, LOW)
    torch.testing.assert_close(pairs.mask_logits, taken.mask_logits, atol=1e-3, rtol=1e-4)
    expected = full.mask_logits[rows, torch.arange(3)][:, None]
    torch.testing.assert_close(pairs.mask_logits, expected, atol=1e-3, rtol=1e-4)


def test_segment_picks_the_candidate_with_the_best_predicted_iou_and_gates_nothing() -> None:
    head, clip = new_head(), MemoryClip(1)
    decoder, features, prompts = new_decoder(object_bias=-50), encoded(head, clip, [0]), prompt_embeds(2)
    own = features.project(decoder).take(torch.zeros(2, dtype=torch.long))
    with torch.no_grad():
        output = head.sam2.decode_language(
            head.sam2.embed_without_memory(own), own.levels[:2], prompts[:, None], decoder
        )
        result = head.segment(features, prompts, decoder)
    for k in range(2):
        torch.testing.assert_close(result.mask_logits[0, k], output.mask_logits[k, output.iou[k].argmax()])
        assert result.object_logits[0, k] < 0
    assert result.mask_logits.min() > NO_OBJ_SCORE


def test_gradients_reach_prompts_and_decoder_but_not_sam2() -> None:
    head, clip = new_head(), MemoryClip(2)
    decoder = new_decoder().requires_grad_(True)
    prompts = prompt_embeds(2).requires_grad_(True)
    result = head.segment(encoded(head, clip, [0, 1]), prompts, decoder)
    (result.mask_logits.sum() + result.iou.sum() + result.object_logits.sum()).backward()
    assert (prompts.grad.abs().sum(1) > 0).all()
    for part in (decoder.conv_s0.weight, decoder.conv_s1.weight, decoder.mask_tokens.weight):
        assert part.grad.abs().sum() > 0
    assert all(p.grad is None for p in head.sam2.parameters())


def test_no_prompts_give_empty_tensors_and_keep_the_graph() -> None:
    head, clip = new_head(), MemoryClip(2)
    prompts = torch.zeros(0, WIDTH, requires_grad=True)
    result = head.segment(encoded(head, clip, [0, 1]), prompts, new_decoder())
    assert result.mask_logits.shape == (2, 0, LOW, LOW)
    assert result.iou.shape == (2, 0)
    result.mask_logits.sum().backward()
    nothing = head.ground(FeatureStore(head, clip), prompts.detach(), new_decoder())
    assert (len(nothing.scores), list(nothing.frames)) == (0, [])


def test_decoder_in_bfloat16_gives_float32_results_close_to_float32() -> None:
    head, clip, decoder = new_head(), MemoryClip(1), new_decoder()
    low = copy.deepcopy(decoder).bfloat16()
    with torch.no_grad():
        features = encoded(head, clip, [0])
        full = head.segment(features, prompt_embeds(1), decoder)
        half = head.segment(features, prompt_embeds(1).bfloat16(), low)
    assert half.mask_logits.dtype == half.iou.dtype == half.object_logits.dtype == torch.float32
    agree = ((full.mask_logits > 0) == (half.mask_logits > 0)).float().mean()
    assert agree > 0.9


def test_bfloat16_head_tracks_and_leaves_float32() -> None:
    clip, prompts = MemoryClip(4), {1: square_masks((24, 28, 70, 80))}
    half = list(propagate(new_head().to("cpu", torch.bfloat16), clip, prompts))
    full = list(propagate(new_head(), clip, prompts))
    assert [i for i, _, _ in half] == [1, 2, 3, 0]
    for (_, logits, scores), (_, expected, _) in zip(half, full, strict=True):
        assert logits.dtype == scores.dtype == torch.float32
        assert logits.shape == expected.shape


def prediction_of(scores: list[float], objects: list[float]) -> SegPrediction:
    """One frame: a mask over the left half for each object, with these predicted IoUs and object logits."""
    logits = torch.full((1, len(scores), LOW, LOW), -8.0)
    logits[..., : LOW // 2] = 8.0
    return SegPrediction(logits, torch.tensor([scores]), torch.tensor([objects]))


@contextlib.contextmanager
def frame_by_frame(predictions: list[SegPrediction]) -> Iterator[None]:
    """Made-up predictions, one per candidate frame."""
    with (
        mock.patch.object(sam2_head, "PAIRS_AT_ONCE", 1),
        mock.patch.object(Sam2Head, "segment", side_effect=predictions),
    ):
        yield


def ground_with(
    head: Sam2Head, clip: MemoryClip, predictions: list[SegPrediction]
) -> tuple[np.ndarray, list[GroundFrame]]:
    """`ground` with made-up candidate predictions: scores and all frames."""
    count = predictions[0].iou.shape[1]
    with frame_by_frame(predictions):
        result = head.ground(FeatureStore(head, clip), prompt_embeds(count), new_decoder())
        return result.scores, list(result.frames)


def masks_of(frames: list[GroundFrame], index: int) -> dict[int, np.ndarray]:
    """Frame → mask of an object; each frame once."""
    rows = [(f.frame_idx, f.masks[f.objects.tolist().index(index)]) for f in frames if index in f.objects]
    assert len(dict(rows)) == len(rows)
    return dict(rows)


def test_best_candidates_of_each_object_become_its_prompts() -> None:
    clip = MemoryClip(8)  # candidates 1, 3, 5, 7
    predictions = [
        prediction_of([0.9, 0.1], [9, -9]),
        prediction_of([0.88, 0.79], [9, 9]),
        prediction_of([0.2, 0.8], [9, 9]),
        prediction_of([0.1, 0.1], [9, 9]),
    ]
    scores, frames = ground_with(new_head(candidate_frames=4), clip, predictions)
    assert scores == pytest.approx([0.9, 0.8], abs=1e-3)
    prompt = predictions[0].mask_logits[0, :1]
    for index, own in ((0, (1, 3)), (1, (3, 5))):
        masks = masks_of(frames, index)
        assert sorted(masks) == list(range(8))
        assert masks[3].shape == (clip.height, clip.width)
        for frame in own:
            assert masks[frame][:, :50].all()
            assert not masks[frame][:, 70:].any()
        alone = {i: logits for i, logits, _ in propagate(new_head(), clip, dict.fromkeys(own, prompt))}
        for i in set(range(8)) - set(own):
            large = F.interpolate(alone[i][None], size=(clip.height, clip.width), mode="bilinear")[0, 0] > 0
            assert (large.numpy() == masks[i]).mean() > 0.999, "tracked from its own prompts alone"


def test_objects_with_good_frames_in_common_take_the_same_steps() -> None:
    clip = MemoryClip(8)  # candidates 1, 3, 5, 7
    predictions = [
        prediction_of([0.90, 0.86], [9, 9]),  # the best of the first object
        prediction_of([0.87, 0.90], [9, 9]),
        prediction_of([0.89, 0.89], [9, 9]),
        prediction_of([0.1, 0.1], [9, 9]),
    ]
    remember = SamaSam2.remember
    with mock.patch.object(SamaSam2, "remember", autospec=True, side_effect=remember) as remembered:
        _, frames = ground_with(new_head(candidate_frames=4, prompted_frames=2), clip, predictions)
    assert all(call.args[2].shape[0] == 2 for call in remembered.call_args_list), "both on every step"
    assert remembered.call_count == len(frames) == 8


def test_an_object_with_no_frame_in_common_keeps_its_best() -> None:
    clip = MemoryClip(8)  # candidates 1, 3, 5, 7
    predictions = [
        prediction_of([0.90, 0.1], [9, 9]),
        prediction_of([0.89, 0.2], [9, 9]),
        prediction_of([0.87, 0.8], [9, 9]),  # good for the first object alone
        prediction_of([0.1, 0.9], [9, 9]),
    ]
    with mock.patch.object(
        ObjectTracker, "__init__", autospec=True, side_effect=ObjectTracker.__init__
    ) as made:
        ground_with(new_head(candidate_frames=4, prompted_frames=2), clip, predictions)
    prompted = {frame: rows.tolist() for frame, rows in made.call_args.args[2].items()}
    assert prompted == {1: [True, False], 3: [True, False], 7: [False, True]}


def test_candidates_tried_together_equal_one_at_a_time() -> None:
    clip, head, decoder = MemoryClip(12), new_head(min_score=0.0, candidate_frames=5), new_decoder(20)
    made = []
    for pairs, calls in ((1, 5), (6, 2), (100, 1)):  # of two objects on five frames
        with (
            mock.patch.object(sam2_head, "PAIRS_AT_ONCE", pairs),
            mock.patch.object(head, "segment", side_effect=head.segment) as segment,
        ):
            made.append(head.ground(FeatureStore(head, clip), prompt_embeds(2), decoder))
        assert segment.call_count == calls
    first, *others = [(grounding.scores, list(grounding.frames)) for grounding in made]
    for scores, frames in others:
        np.testing.assert_allclose(scores, first[0], atol=1e-5)
        for frame, same in zip(frames, first[1], strict=True):
            assert frame.frame_idx == same.frame_idx
            assert (frame.masks == same.masks).mean() > 0.999


@pytest.mark.parametrize("propagation", ["sama", "official"])
def test_extending_a_grown_clip_equals_the_longer_clip(propagation: str) -> None:
    clip, decoder = MemoryClip(34), new_decoder(object_bias=20)
    predictions = [prediction_of([0.9, 0.6], [9, 9]), prediction_of([0.6, 0.9], [9, 9])]
    settings = {"candidate_frames": 2, "prompted_frames": 1, "propagation": propagation}
    head = new_head(**settings)

    def grounding() -> Grounding:
        with frame_by_frame(predictions):
            return head.ground(FeatureStore(head, clip), prompt_embeds(2), decoder)

    with mock.patch.object(sam2_head, "spread_frames", return_value=[4, 12]):
        whole = list(grounding().frames)
        clip.num_frames = 17
        growing = grounding()
        assert max(frame.frame_idx for frame in growing.frames) == 16
        assert list(growing.extend()) == []
        clip.num_frames = 25
        new = list(growing.extend())
        clip.num_frames = 34
        few = growing.extend()
        new += [next(few), next(few)]
        new += growing.extend()  # goes on where reading stopped
    assert [frame.frame_idx for frame in new] == list(range(17, 34))
    for frame in new:
        (same,) = [w for w in whole if w.frame_idx == frame.frame_idx]
        assert frame.objects.tolist() == same.objects.tolist() == [0, 1]
        assert np.array_equal(frame.masks, same.masks)
        assert np.array_equal(frame.scores, same.scores)
    assert any(frame.masks.any() for frame in new)


@pytest.mark.parametrize(("second", "is_prompt"), [(0.87, True), (0.8, False)])
def test_second_best_frame_is_a_prompt_if_it_is_nearly_as_good(second: float, is_prompt: bool) -> None:
    clip = MemoryClip(4)  # candidates 1 and 3
    predictions = [prediction_of([0.9], [9]), prediction_of([second], [9])]
    _, frames = ground_with(new_head(candidate_frames=2), clip, predictions)
    masks = masks_of(frames, 0)
    assert masks[1][:, :50].all()
    assert np.array_equal(masks[3], masks[1]) == is_prompt


def test_absent_object_has_no_masks_a_low_score_and_is_not_tracked() -> None:
    clip = MemoryClip(4)
    predictions = [prediction_of([0.9, 0.4, 0.9], [9, 9, -1]), prediction_of([0.8, 0.3, 0.2], [9, 9, -1])]
    scores, frames = ground_with(new_head(candidate_frames=2), clip, predictions)
    assert scores[1] < 0.5
    assert scores[2] < 0.5
    assert all(f.objects.tolist() == [0] for f in frames)
    assert any(f.masks.any() for f in frames)


def test_object_whose_mask_is_empty_is_absent() -> None:
    clip = MemoryClip(2)
    empty = prediction_of([0.9], [9])
    empty = SegPrediction(torch.full_like(empty.mask_logits, -8), empty.iou, empty.object_logits)
    scores, frames = ground_with(new_head(candidate_frames=1), clip, [empty])
    assert scores.tolist() == [0]
    assert frames == []


def test_official_way_prompts_the_first_five_frames_and_goes_forward() -> None:
    clip, head = MemoryClip(8), new_head(propagation="official")
    decoder, embeds = new_decoder(object_bias=-50), prompt_embeds(2)
    store = FeatureStore(head, clip)
    frames = list(head.ground(store, embeds, decoder).frames)
    assert [f.frame_idx for f in frames] == list(range(8))
    assert store.frames_encoded == 8
    assert any(f.masks.any() for f in frames), "the official way empties nothing"
    with torch.no_grad():
        alone = new_head().segment(encoded(head, clip, [2]), embeds, decoder)
    large = F.interpolate(alone.mask_logits, size=(clip.height, clip.width), mode="bilinear")[0] > 0
    assert (large.numpy() == frames[2].masks).mean() > 0.999


def test_official_tracking_uses_the_fine_tuned_decoder() -> None:
    store, embeds = FeatureStore(new_head(propagation="official"), MemoryClip(7)), prompt_embeds(1)
    decoder = new_decoder(object_bias=20)
    with mock.patch.object(lively_sam2().sam_mask_decoder, "forward", side_effect=AssertionError("frozen")):
        frames = list(store.head.ground(store, embeds, decoder).frames)
    assert len(frames) == 7


def test_clicks_and_boxes_give_what_sam2_gives() -> None:
    head, clip = new_head(), MemoryClip(1)
    features = encoded(head, clip, [0])
    click = ClipPrompt(points_xy=torch.tensor([[[40.0, 40.0]]]), point_labels=torch.ones(1, 1))
    box = ClipPrompt(
        points_xy=torch.tensor([[[20.0, 20.0], [70.0, 60.0]]]), point_labels=torch.tensor([[2, 3]])
    )
    frames = sam2_frames(clip.frames, SIDE)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            head.prompt_to_mask(features, points_xy=torch.tensor([[40.0, 40.0]])),
            head.sam2.track_clip(frames, click).mask_logits[0, 0],
        )
        torch.testing.assert_close(
            head.prompt_to_mask(features, box_xyxy=torch.tensor([20.0, 20.0, 70.0, 60.0])),
            head.sam2.track_clip(frames, box).mask_logits[0, 0],
        )
    with pytest.raises(PromptError, match="neither points nor a box"):
        head.prompt_to_mask(features)


def region(kind: str, **values: Any) -> RegionPrompt:
    return RegionPrompt(name="r1", kind=kind, frame=0, **values)


def logits_of(box: tuple[int, int, int, int] | None) -> torch.Tensor:
    """(h, w) logits of a box in SAM2 input pixels; nothing for None."""
    return F.max_pool2d(square_masks(box)[None].float(), 4)[0, 0] * 20 - 10


def test_points_reach_sam2_in_its_own_pixels() -> None:
    store = FeatureStore(new_head(), MemoryClip(1))
    points = np.array([[60.0, 45.0], [0.0, 90.0]])
    with mock.patch.object(Sam2Head, "prompt_to_mask", return_value=logits_of((0, 0, 64, 128))) as called:
        mask = store.head.mask_from_prompt(
            region("point", points_xy=points, point_labels=np.array([1, 0])), store
        )
    torch.testing.assert_close(
        called.call_args.kwargs["points_xy"], torch.tensor([[64.0, 64.0], [0.0, 128.0]])
    )
    assert called.call_args.kwargs["point_labels"].tolist() == [1, 0]
    assert mask.shape == (90, 120)
    assert mask[:, :58].all()
    assert not mask[:, 62:].any()


def test_long_scribbles_are_thinned_to_eight_clicks_inside() -> None:
    store = FeatureStore(new_head(), MemoryClip(1))
    points = np.stack([np.arange(40.0), np.full(40, 30.0)], axis=1)
    with mock.patch.object(Sam2Head, "prompt_to_mask", return_value=logits_of((0, 0, 64, 64))) as called:
        store.head.mask_from_prompt(region("scribble", points_xy=points), store)
    clicks = called.call_args.kwargs["points_xy"][:, 0] * 120 / 128
    assert clicks.round().tolist() == [2, 7, 12, 17, 22, 27, 32, 37]
    assert called.call_args.kwargs["point_labels"].tolist() == [1] * 8


def test_clicks_on_nothing_are_told() -> None:
    store = FeatureStore(new_head(), MemoryClip(1))
    prompt = region("point", points_xy=np.array([[5.0, 5.0]]), point_labels=np.array([1]))
    with (
        mock.patch.object(Sam2Head, "prompt_to_mask", return_value=logits_of(None)),
        pytest.raises(PromptError, match="'r1' on frame 0: SAM2 finds nothing at 1 point clicks"),
    ):
        store.head.mask_from_prompt(prompt, store)


def test_box_is_its_object_or_with_a_warning_itself(caplog: pytest.LogCaptureFixture) -> None:
    store = FeatureStore(new_head(), MemoryClip(1))
    prompt = region("box", box_xyxy=(15.0, 15.0, 75.0, 60.0))
    with mock.patch.object(Sam2Head, "prompt_to_mask", return_value=logits_of((32, 32, 64, 64))):
        found = store.head.mask_from_prompt(prompt, store)
    assert 0 < found.sum() < 60 * 45
    assert caplog.records == []
    with (
        caplog.at_level(logging.WARNING),
        mock.patch.object(Sam2Head, "prompt_to_mask", return_value=logits_of((100, 100, 120, 120))),
    ):
        filled = store.head.mask_from_prompt(prompt, store)
    assert filled.sum() == 60 * 45
    assert filled[15:60, 15:75].all()
    assert "0.0 % of its box" in caplog.text


def test_mask_prompts_need_no_sam2() -> None:
    store, mask = FeatureStore(new_head(), MemoryClip(1)), np.eye(5, dtype=bool)
    assert store.head.mask_from_prompt(region("mask", mask=mask), store) is mask
    assert store.frames_encoded == 0


@pytest.mark.parametrize(
    ("num_frames", "count", "expected"),
    [(8, 4, [1, 3, 5, 7]), (3, 8, [0, 1, 2]), (1, 8, [0]), (100, 1, [50]), (10, 3, [1, 5, 8])],
)
def test_candidates_are_spread_over_the_clip(num_frames: int, count: int, expected: list[int]) -> None:
    assert spread_frames(num_frames, count) == expected


def test_one_frame_clip_is_grounded() -> None:
    store = FeatureStore(new_head(min_score=0.0), MemoryClip(1))
    grounding = store.head.ground(store, prompt_embeds(1), new_decoder(object_bias=20))
    assert [frame.frame_idx for frame in grounding.frames] == [0]
