from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sama_plugin.errors import CheckpointError
from sama_plugin.evaluation.baselines.sam2_track import Sam2Answerer
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.targets import union_rles
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.transforms import masks_to_video
from sama_plugin.schema import Sample


@pytest.fixture(scope="module")
def answerer(tiny_checkpoint: Path) -> Sam2Answerer:
    return Sam2Answerer(model=str(tiny_checkpoint), device="cpu")


@pytest.fixture(scope="module")
def sample(shapes_set: Path) -> Sample:
    benchmark = ShapesBenchmark(shapes_set)
    samples = (benchmark.sample(i) for i in benchmark.dialogue_ids)
    return next(s for s in samples if any(turn.target_ids for turn in s.turns))


def test_masks_are_what_the_head_tracks_from_the_first_visible_frame(
    answerer: Sam2Answerer, sample: Sample
) -> None:
    store = FeatureStore(answerer.head, open_sample_clip(sample))
    late = [None, None, None, *next(iter(sample.masks.values()))[3:]]
    (made,) = answerer.track(store, [late])
    first = next(frame for frame, rle in enumerate(late) if rle is not None)
    prompt = torch.from_numpy(decode_mask(late[first]))[None]  # type: ignore[arg-type]
    assert all(rle is None for rle in made[:first])
    for found in answerer.head.propagate(store, {first: prompt}):
        mask = masks_to_video(found.logits, store.clip.height, store.clip.width)[0].numpy()
        shown = made[found.frame_idx]
        if found.frame_idx >= first:
            assert np.array_equal(np.zeros_like(mask) if shown is None else decode_mask(shown), mask)


def test_an_answer_has_the_true_words_and_a_track_per_target(answerer: Sam2Answerer, sample: Sample) -> None:
    turn = next(turn for turn in sample.turns if turn.target_ids)
    answer = answerer.start(sample).ask(turn.question, [])
    assert answer.raw == turn.answer
    assert [len(thing.rle) for thing in answer.objects] == [
        len(union_rles(sample, i)) for i in turn.target_ids
    ]


def test_an_object_that_is_nowhere_has_no_mask(answerer: Sam2Answerer, sample: Sample) -> None:
    store = FeatureStore(answerer.head, open_sample_clip(sample))
    nowhere = [None] * store.clip.num_frames
    assert answerer.track(store, [nowhere]) == [nowhere]
    there = next(iter(sample.masks.values()))
    assert answerer.track(store, [nowhere, there])[0] == nowhere


def test_settings_tell_the_weights(answerer: Sam2Answerer) -> None:
    assert len(answerer.settings["sam2"]) == 64


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        Sam2Answerer(model=str(tmp_path / "none"))
