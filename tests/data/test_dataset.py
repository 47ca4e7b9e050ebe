from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.config import GroundingConfig
from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, IGNORE_INDEX, REGION_TOKEN_INDEX
from sama_plugin.data.dataset import FrameCache
from sama_plugin.errors import DataError, PromptError
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import dense_positions, sparse_indices
from sama_plugin.media.masks import decode_mask, encode_mask
from sama_plugin.media.transforms import look_masks
from sama_plugin.schema import Sample, Turn
from tests.data.made_samples import make_dataset, make_sample, mask_ids, remark, search, talk


def sparse_of(loaded: Any, sample: Sample) -> list[int]:
    return sparse_indices(VideoClip.open(sample.video_path).num_frames, loaded.model.sama.sampling)


def with_masks(sample: Sample, changed: dict[str, list]) -> Sample:
    return dataclasses.replace(sample, masks=sample.masks | changed)


def test_slots_and_features_of_an_example_agree(loaded: Any, shapes_set: Path) -> None:
    example = make_dataset(loaded, [talk(shapes_set)])[0]
    ids, video = example.input_ids, example.video
    num_sparse = len(sparse_of(loaded, talk(shapes_set)))
    assert video.num_sparse == num_sparse == len(video.pixel_values)
    assert video.dense_positions.tolist() == dense_positions(num_sparse, 5)
    assert int((ids == FRAME_TOKEN_INDEX).sum()) == 5 * 64
    assert int((ids == CONTEXT_TOKEN_INDEX).sum()) == 3 * num_sparse
    assert int((ids == REGION_TOKEN_INDEX).sum()) == 2 * len(video.regions.look_masks) == 6
    in_questions = [int((q == REGION_TOKEN_INDEX).sum()) // 2 for q in video.question_ids]
    assert in_questions == [1, 2, 0]
    assert len(video.question_ids) == 3


def test_answers_are_the_labels(loaded: Any, shapes_set: Path) -> None:
    example = make_dataset(loaded, [talk(shapes_set)])[0]
    learned = example.labels[example.labels != IGNORE_INDEX]
    answers = [turn.answer for turn in talk(shapes_set).turns]
    assert loaded.tokenizer.decode(learned) == "".join(f"{answer}<|im_end|>" for answer in answers)


def test_targets_are_the_union_of_their_ids_on_the_dense_frames(loaded: Any, shapes_set: Path) -> None:
    sample = talk(shapes_set)
    example = make_dataset(loaded, [sample])[0]
    sparse = sparse_of(loaded, sample)
    shown = [sparse[d] for d in dense_positions(len(sparse), 5)]
    h, w = 128, 160
    assert example.grounding.sam2_frames.shape == (5, 3, 192, 192)
    assert example.grounding.gt_masks.shape == (3, 5, 48, 48)
    _, first, _ = sample.turns
    for target, ids in zip(
        example.grounding.gt_masks, [sample.turns[0].target_ids[0], *first.target_ids], strict=True
    ):
        for frame, soft in zip(shown, target, strict=True):
            rles = [rle for i in ids if (rle := sample.masks[i][frame]) is not None]
            union = (
                np.zeros((h, w), dtype=bool) if not rles else np.any([decode_mask(r) for r in rles], axis=0)
            )
            cells = [
                [
                    union[h * i // 48 : -(-h * (i + 1) // 48), w * j // 48 : -(-w * (j + 1) // 48)].mean()
                    for j in range(48)
                ]
                for i in range(48)
            ]
            np.testing.assert_allclose(soft.numpy(), cells, atol=1e-6)


def test_target_that_means_nothing_is_empty(loaded: Any, shapes_set: Path) -> None:
    gt_masks = make_dataset(loaded, [search(shapes_set)])[0].grounding.gt_masks
    assert not gt_masks[0].any()
    assert gt_masks[1].any()


def test_no_seg_no_targets(loaded: Any, shapes_set: Path) -> None:
    assert make_dataset(loaded, [remark(shapes_set)])[0].grounding is None


def test_head_none_needs_no_targets(loaded: Any, shapes_set: Path) -> None:
    sama = dataclasses.replace(loaded.model.sama, grounding=GroundingConfig(head="none"))
    assert make_dataset(loaded, [talk(shapes_set)], sama=sama)[0].grounding is None


def test_without_aggregator_there_are_no_context_slots(loaded: Any, shapes_set: Path) -> None:
    sama = dataclasses.replace(loaded.model.sama, use_aggregator=False)
    assert not (make_dataset(loaded, [talk(shapes_set)], sama=sama)[0].input_ids == CONTEXT_TOKEN_INDEX).any()


def test_region_stands_on_a_frame_where_it_is_visible(loaded: Any, shapes_set: Path) -> None:
    sample = remark(shapes_set)
    (region_id,) = sample.masks
    sparse = sparse_of(loaded, sample)
    seen = {sparse[2], sparse[5]}
    track = [rle if frame in seen else None for frame, rle in enumerate(sample.masks[region_id])]
    dataset = make_dataset(loaded, [with_masks(sample, {region_id: track})])
    slots = set()
    for epoch in range(8):
        dataset.set_epoch(epoch)
        regions = dataset[0].video.regions
        slot = int(regions.frame_slots[0])
        slots.add(slot)
        mask = decode_mask(track[sparse[slot]])
        torch.testing.assert_close(regions.look_masks, look_masks(mask[None], 16))
    assert slots == {2, 5}


def test_same_seed_and_epoch_give_the_same_example(loaded: Any, shapes_set: Path) -> None:
    def slots(seed: int, epoch: int) -> list[int]:
        dataset = make_dataset(loaded, [talk(shapes_set)] * 6, seed=seed)
        dataset.set_epoch(epoch)
        return [int(s) for i in range(6) for s in dataset[i].video.regions.frame_slots]

    assert slots(3, 1) == slots(3, 1)
    assert slots(3, 1) != slots(3, 2)
    assert slots(3, 1) != slots(4, 1)


def test_region_that_is_never_visible_is_refused(loaded: Any, shapes_set: Path) -> None:
    sample = remark(shapes_set)
    (region_id,) = sample.masks
    hidden = with_masks(sample, {region_id: [None] * len(sample.masks[region_id])})
    with pytest.raises(
        DataError, match=rf"Sample 'remark': region '{region_id}' is visible on none of the frames"
    ):
        make_dataset(loaded, [hidden])[0]


def test_mask_of_another_size_is_refused(loaded: Any, shapes_set: Path) -> None:
    sample = remark(shapes_set)
    (region_id,) = sample.masks
    small = encode_mask(np.ones((64, 80), dtype=bool))
    foreign = with_masks(sample, {region_id: [small] * len(sample.masks[region_id])})
    message = rf"Sample 'remark': mask '{region_id}' has size \(64, 80\) but its video has \(128, 160\)"
    with pytest.raises(DataError, match=message):
        make_dataset(loaded, [foreign])[0]


def test_mask_track_of_another_length_is_refused(loaded: Any, shapes_set: Path) -> None:
    sample = remark(shapes_set)
    (region_id,) = sample.masks
    count = len(sample.masks[region_id])
    short = with_masks(sample, {region_id: sample.masks[region_id][:3]})
    with pytest.raises(DataError, match=rf"mask '{region_id}' has 3 frames but its video has {count}"):
        make_dataset(loaded, [short])[0]


def test_too_long_dialogue_is_refused_with_its_id(loaded: Any, shapes_set: Path) -> None:
    with pytest.raises(PromptError, match=r"Sample 'talk' has \d+ tokens after 3 questions"):
        make_dataset(loaded, [talk(shapes_set)], max_length=100)[0]


def test_single_frame_shows_one_frame_and_its_questions(loaded: Any, shapes_set: Path) -> None:
    b = mask_ids(shapes_set, "00000")[1]
    sample = talk(shapes_set)
    sparse = sparse_of(loaded, sample)
    only_here = [rle if frame == sparse[1] else None for frame, rle in enumerate(sample.masks[b])]
    dataset = make_dataset(loaded, [with_masks(sample, {b: only_here})], single_frame=True)
    counts = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        example = dataset[0]
        video = example.video
        assert len(video.pixel_values) == video.num_sparse == 1
        assert video.dense_positions.tolist() == [0]
        assert int((example.input_ids == FRAME_TOKEN_INDEX).sum()) == 64
        assert not video.regions.frame_slots.any()
        assert example.grounding.gt_masks.shape[:2] == (len(video.question_ids) * 2 - 3, 1)
        counts.add(len(video.question_ids))
    assert counts == {2, 3}  # the second question is asked on the one frame that shows what it means


def test_single_frame_without_a_question_it_answers_is_refused(loaded: Any, shapes_set: Path) -> None:
    sample = remark(shapes_set)
    (region_id,) = sample.masks
    hidden = with_masks(sample, {region_id: [None] * len(sample.masks[region_id])})
    with pytest.raises(DataError, match=r"Sample 'remark': no frame of .* shows all objects of any question"):
        make_dataset(loaded, [hidden], single_frame=True)[0]


def test_one_frame_video_works(loaded: Any, shapes_set: Path, tmp_path: Path) -> None:
    from sama_plugin.media.encode import write_video

    frame = np.full((32, 48, 3), 90, dtype=np.uint8)
    write_video(tmp_path / "one.mp4", [frame], fps=5)
    mask = np.zeros((32, 48), dtype=bool)
    mask[3:9, 4:20] = True
    turn = Turn("What is <mask>?", "That [SEG].", ("1",), (("1",),))
    sample = Sample("one", str(tmp_path / "one.mp4"), (turn,), {"1": [encode_mask(mask)]})
    example = make_dataset(loaded, [sample])[0]
    assert example.video.num_sparse == 1
    assert example.video.dense_positions.tolist() == [0]
    assert example.grounding.gt_masks.shape == (1, 1, 48, 48)


class CountingClip:
    """A clip that counts how often it is read."""

    path = "clip.mp4"
    reads = 0

    def read(self, indices: list[int]) -> np.ndarray:
        self.reads += 1
        return np.zeros((len(indices), 10, 10, 3), dtype=np.uint8)  # 300 bytes a frame


def test_cache_keeps_recent_frames_within_its_bytes() -> None:
    cache, clip = FrameCache(max_bytes=700), CountingClip()
    for indices in ([0], [1], [0], [2], [0], [1]):
        cache.read(clip, "clip", indices)
    assert clip.reads == 4  # [1] made room for [2] and was read again; [0] was used in between
    cache.read(clip, "clip", [0, 1, 2])
    cache.read(clip, "clip", [0, 1, 2])
    assert clip.reads == 6  # larger than the cache


def test_cache_of_no_bytes_keeps_nothing() -> None:
    cache, clip = FrameCache(max_bytes=0), CountingClip()
    cache.read(clip, "clip", [0])
    cache.read(clip, "clip", [0])
    assert clip.reads == 2


def test_dialogue_may_mean_masks_of_no_video(loaded: Any, shapes_set: Path) -> None:
    sample = make_sample(shapes_set, "00001", [Turn("What is there?", "Nothing.")], "plain")
    example = make_dataset(loaded, [sample])[0]
    assert example.video.regions.look_masks.shape == (0, 16, 16)
