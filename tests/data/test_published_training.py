"""Training examples and sessions from the published files as they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sama_plugin.data.corpus import open_corpus
from sama_plugin.data.sources.sama239k import read_corpus
from sama_plugin.evaluation.session_answerer import SessionAnswerer
from sama_plugin.schema import Sample
from tests.data.made_samples import make_dataset
from tests.data.published_fixture import grey, write_published


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    published = write_published(tmp_path_factory.mktemp("published") / "set")
    corpus = open_corpus(published.records[0], published.masks, published.media)
    return [record.sample for record in read_corpus(corpus, strict=True, part="both")]


def test_every_sample_gives_an_example(loaded: Any, samples: list[Sample]) -> None:
    dataset = make_dataset(loaded, samples)
    examples = [dataset[index] for index in range(len(samples))]
    assert [example.sample_id for example in examples] == [sample.sample_id for sample in samples]
    for example, sample in zip(examples, samples, strict=True):
        num_frames = len(next(iter(sample.masks.values())))
        assert set(example.dense_frames) <= set(range(num_frames))
        targets = sum(len(turn.target_ids) for turn in sample.turns)
        assert (example.grounding is None) == (targets == 0)


def test_session_about_a_sample_shows_the_frames_of_its_masks(loaded: Any, samples: list[Sample]) -> None:
    answerer = SessionAnswerer(loaded.model, loaded.tokenizer, loaded.image_processor)
    (sav,) = (sample for sample in samples if sample.sample_id == "sav_000001/5")
    clip = answerer.start(sav).session.clip
    found = clip.read(range(clip.num_frames)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, [grey(k) for k in (0, 4, 8, 12)], atol=4)


def test_frames_kept_in_memory_are_told_apart_by_what_they_stand_for(
    loaded: Any, samples: list[Sample], tmp_path: Path
) -> None:
    (told,) = (sample for sample in samples if sample.sample_id == "told/1/description")
    assert told.frame_names is not None
    back = dataclasses.replace(told, frame_names=told.frame_names[::-1])
    dataset = make_dataset(loaded, [told, back], cache_bytes=10**6)
    first, second = dataset[0].video.pixel_values, dataset[1].video.pixel_values
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first[:2].numpy(), second[:2].flip(0).numpy())
