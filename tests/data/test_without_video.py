"""Pictures and text alone: through the dataset, the collator and the model, beside videos and among themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from sama_plugin.constants import IGNORE_INDEX
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.dataset import Example
from sama_plugin.errors import DataError
from sama_plugin.grounding.losses import LossCounts
from sama_plugin.media.masks import encode_mask
from sama_plugin.schema import Sample, Turn
from tests.data.made_samples import make_dataset, talk

QUESTIONS = (Turn("What is two and two?", "It is four."), Turn("And twice that?", "That is eight."))


def words() -> Sample:
    """Text alone, two turns."""
    return Sample("words", "", QUESTIONS, {})


def picture(folder: Path) -> Sample:
    """A picture with a bright box, which is meant and found."""
    pixels = np.full((40, 60, 3), 30, dtype=np.uint8)
    pixels[10:30, 20:40] = 220
    Image.fromarray(pixels).save(folder / "box.png")
    turn = Turn("Is <mask> bright?", "Yes, <p> it </p> [SEG] is.", ("1",), (("1",),))
    return Sample("picture", str(folder / "box.png"), (turn,), {"1": [encode_mask(pixels[..., 0] > 99)]})


def make_examples(loaded: Any, samples: list[Sample]) -> list[Example]:
    dataset = make_dataset(loaded, samples)
    return [dataset[i] for i in range(len(samples))]


def test_text_has_no_slots_and_empty_tensors(loaded: Any) -> None:
    (example,) = make_examples(loaded, [words()])
    video = example.video
    assert int(example.input_ids.min()) >= 0
    assert (video.num_sparse, video.question_ids, example.dense_frames, example.video_path) == (
        0,
        [],
        (),
        None,
    )
    assert video.pixel_values.shape == (0, 3, 128, 128)
    assert video.dense_positions.shape == (0,)
    assert len(video.regions.look_masks) == 0
    assert example.grounding is None
    learned = example.labels[example.labels != IGNORE_INDEX]
    assert loaded.tokenizer.decode(learned) == "".join(f"{turn.answer}<|im_end|>" for turn in QUESTIONS)


def test_picture_is_a_clip_of_one_frame_seen_once(loaded: Any, tmp_path: Path) -> None:
    (example,) = make_examples(loaded, [picture(tmp_path)])
    assert example.video.num_sparse == 1
    assert example.dense_frames == (0,)
    assert example.grounding.gt_masks.shape[:2] == (1, 1)
    assert float(example.grounding.gt_masks.mean()) == pytest.approx(20 * 20 / (40 * 60), abs=1e-6)


@torch.no_grad()
def test_loss_of_text_is_the_plain_llms(loaded: Any) -> None:
    (example,) = make_examples(loaded, [words()])
    llm = loaded.model
    hidden = llm.model(input_ids=example.input_ids[None]).last_hidden_state
    expected = F.cross_entropy(llm.lm_head(hidden)[0, :-1], example.labels[1:], ignore_index=IGNORE_INDEX)
    outputs = llm(**SamaCollator(0)([example]))
    torch.testing.assert_close(outputs.losses["lm"], expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(outputs.loss, expected, atol=1e-6, rtol=1e-6)


def test_gradients_of_a_mixed_batch_are_those_of_its_parts(
    fresh_model: Any, loaded: Any, shapes_set: Path, tmp_path: Path
) -> None:
    for name, parameter in fresh_model.named_parameters():
        parameter.requires_grad_("vision_tower" not in name)
    samples = [words(), talk(shapes_set), picture(tmp_path), words()]
    examples, collate = make_examples(loaded, samples), SamaCollator(0)
    batch = collate(examples)
    counts = LossCounts.of_batch(batch["labels"], batch["grounding"])
    together = fresh_model(**batch, loss_counts=counts)
    together.loss.backward()
    gradients = {name: weight.grad for name, weight in fresh_model.named_parameters()}
    fresh_model.zero_grad()
    total = 0.0
    for part in ([0], [1, 2], [3]):
        outputs = fresh_model(**collate([examples[i] for i in part]), loss_counts=counts)
        outputs.loss.backward()
        total += float(outputs.loss)
    assert total == pytest.approx(float(together.loss), abs=1e-5)
    for name, weight in fresh_model.named_parameters():
        assert (weight.grad is None) == (gradients[name] is None), name
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, gradients[name], atol=2e-5, rtol=1e-3, msg=name)


def test_text_alone_reaches_the_same_weights_as_a_video(
    fresh_model: Any, loaded: Any, shapes_set: Path
) -> None:
    """Processes exchange gradients, and in ZeRO-3 weights, of the same layers whatever they have got."""
    fresh_model.train().requires_grad_(True)
    reached, run = {}, {}
    for name, sample in (("text", words()), ("video", talk(shapes_set))):
        calls: set[str] = set()
        hooks = [
            module.register_forward_hook(lambda *_, path=path, calls=calls: calls.add(path))
            for path, module in fresh_model.named_modules()
            if next(module.parameters(recurse=False), None) is not None and "seg_decoder" not in path
        ]
        fresh_model.zero_grad()
        fresh_model(**SamaCollator(0)(make_examples(loaded, [sample]))).loss.backward()
        reached[name] = {path for path, weight in fresh_model.named_parameters() if weight.grad is not None}
        run[name] = calls
        for hook in hooks:
            hook.remove()
    assert run["text"] == run["video"]
    assert reached["text"] == reached["video"]


def test_text_that_means_a_mask_is_refused() -> None:
    turn = Turn("What is <mask>?", "It.", ("7",))
    with pytest.raises(
        DataError, match=r"Sample 'odd' turn 0 means mask id '7', but has no video or picture"
    ):
        Sample("odd", "", (turn,), {"7": [None]})


def test_lengths_know_what_is_seen(loaded: Any, shapes_set: Path, tmp_path: Path) -> None:
    dataset = make_dataset(loaded, [words(), picture(tmp_path), talk(shapes_set)])
    texts = [sum(len(t.question) + len(t.answer) for t in sample.turns) // 4 for sample in dataset.samples]
    assert dataset.lengths() == [texts[0], texts[1] + 64, texts[2] + 5 * 64]
    exact = [len(dataset[i].input_ids) for i in range(3)]
    assert sorted(exact) == exact


def test_turns_are_drawn_anew_each_epoch(loaded: Any, tmp_path: Path) -> None:
    turns = tuple(Turn(f"Question {i}?", f"Answer {i}.") for i in range(6))
    sample = dataclasses.replace(picture(tmp_path), turns=turns, masks={}, num_drawn=2)
    dataset = make_dataset(loaded, [sample], seed=3)
    seen = []
    for epoch in range(20):
        dataset.set_epoch(epoch)
        seen.append(tuple(turn.question for turn in dataset[0].turns))
        assert seen[-1] == tuple(turn.question for turn in dataset[0].turns)
        assert len(set(seen[-1])) == 2
    assert len(set(seen)) > 5
    assert {question for pair in seen for question in pair} == {turn.question for turn in turns}


def test_fewer_turns_than_are_drawn_stay_as_they_are(loaded: Any) -> None:
    (example,) = make_examples(loaded, [dataclasses.replace(words(), num_drawn=2)])
    assert example.turns == QUESTIONS
