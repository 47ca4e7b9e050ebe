from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX, IGNORE_INDEX, REGION_TOKEN_INDEX
from sama_plugin.data.collator import SamaCollator
from sama_plugin.data.dataset import Example
from sama_plugin.errors import CheckpointError, PromptError
from sama_plugin.grounding import losses
from sama_plugin.grounding.losses import LossWeights
from sama_plugin.schema import Sample
from tests.data.made_samples import make_dataset, remark, search, talk

SEPARATE = {"atol": 1e-5, "rtol": 1e-5}


def make_examples(loaded: Any, samples: list[Sample]) -> list[Example]:
    dataset = make_dataset(loaded, samples)
    return [dataset[i] for i in range(len(samples))]


@pytest.fixture
def fixed_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask losses look at the same points of every mask."""
    points = torch.rand(1, 500, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(losses, "uncertain_points", lambda logits, *_: points.expand(len(logits), -1, -1))
    monkeypatch.setattr(losses, "NUM_POINTS", 500)


@torch.no_grad()
def test_alone_equals_padded_in_a_batch(loaded: Any, shapes_set: Path, fixed_points: None) -> None:
    examples = make_examples(loaded, [remark(shapes_set), talk(shapes_set), search(shapes_set)])
    for example, task in zip(examples, ("referring", "grounding", "grounding"), strict=True):
        example.task = task
    assert len({len(e.input_ids) for e in examples}) == 3
    collate = SamaCollator(pad_token_id=0)
    together = loaded.model(**collate(examples))
    weights: dict[str, list[float]] = {name: [] for name in together.losses}
    values: dict[str, list[float]] = {name: [] for name in together.losses}
    for row, example in enumerate(examples):
        alone = loaded.model(**collate([example]))
        length = len(example.input_ids)
        torch.testing.assert_close(
            together.last_hidden_state[row, :length], alone.last_hidden_state[0], **SEPARATE
        )
        masks = (
            torch.zeros(0, 1, 1) if example.grounding is None else example.grounding.gt_masks.flatten(0, 1)
        )
        words = int((example.labels != IGNORE_INDEX).sum())
        counts = dict.fromkeys(values, len(masks)) | {
            "lm": words,
            f"lm/{example.task}": words,
            "mask_iou": int((masks > 0.5).flatten(1).any(1).sum()),
        }
        for name in alone.losses:
            weights[name].append(counts[name])
            values[name].append(float(alone.losses[name]))
    assert {"lm/referring", "lm/grounding"} <= set(together.losses)
    for name, value in together.losses.items():
        mean = sum(w * v for w, v in zip(weights[name], values[name], strict=True)) / sum(weights[name])
        assert float(value) == pytest.approx(mean, abs=1e-5), name


@torch.no_grad()
def test_logits_alone_equal_logits_padded_in_a_batch(loaded: Any, shapes_set: Path) -> None:
    examples = make_examples(loaded, [remark(shapes_set), talk(shapes_set)])
    collate, keys = SamaCollator(pad_token_id=0), ("input_ids", "videos")
    together = loaded.model(**{key: collate(examples)[key] for key in keys}).logits
    for row, example in enumerate(examples):
        alone = loaded.model(**{key: collate([example])[key] for key in keys}).logits
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], **SEPARATE)


@pytest.mark.parametrize(
    ("token", "name"),
    [(FRAME_TOKEN_INDEX, "frame"), (CONTEXT_TOKEN_INDEX, "context"), (REGION_TOKEN_INDEX, "region")],
)
@pytest.mark.parametrize("extra", [-1, 1])
def test_slot_and_feature_mismatch_is_refused(
    loaded: Any, shapes_set: Path, token: int, name: str, extra: int
) -> None:
    (example,) = make_examples(loaded, [talk(shapes_set)])
    ids = example.input_ids
    at = int((ids == token).nonzero()[0])
    wrong = torch.cat([ids[:at], ids[at + 1 :] if extra < 0 else ids[at:]])
    if extra > 0:
        wrong = torch.cat([wrong[:at], ids[at : at + 1], wrong[at:]])
    count = int((ids == token).sum())
    batch = SamaCollator(0)([dataclasses.replace(example, input_ids=wrong, labels=wrong)])
    message = rf"Sample 'talk' has {count + extra} {name} slots in its text but {count} {name} features"
    with pytest.raises(PromptError, match=message):
        loaded.model(**batch)


def test_seg_and_target_mismatch_is_refused(loaded: Any, shapes_set: Path) -> None:
    (example,) = make_examples(loaded, [talk(shapes_set)])
    target = dataclasses.replace(example.grounding, gt_masks=example.grounding.gt_masks[:2])
    with pytest.raises(PromptError, match=r"Sample 'talk' has 3 \[SEG\] tokens but 2 targets"):
        loaded.model(**SamaCollator(0)([dataclasses.replace(example, grounding=target)]))


def test_batch_without_seg_has_mask_losses_of_zero(loaded: Any, shapes_set: Path) -> None:
    outputs = loaded.model(**SamaCollator(0)(make_examples(loaded, [remark(shapes_set)])))
    assert outputs.loss.item() == pytest.approx(outputs.losses["lm"].item())
    assert {name for name, value in outputs.losses.items() if value.item() == 0} == {
        "mask_bce",
        "mask_dice",
        "mask_iou",
        "presence",
    }


def test_loss_is_the_weighted_sum_of_its_parts(fresh_model: Any, loaded: Any, shapes_set: Path) -> None:
    fresh_model.loss_weights = LossWeights(mask_bce=3.0, mask_dice=0.25, mask_iou=0.0, presence=2.0)
    outputs = fresh_model(**SamaCollator(0)(make_examples(loaded, [talk(shapes_set)])))
    parts = {name: value.item() for name, value in outputs.losses.items()}
    expected = parts["lm"] + 3 * parts["mask_bce"] + 0.25 * parts["mask_dice"] + 2 * parts["presence"]
    assert outputs.loss.item() == pytest.approx(expected, rel=1e-5)
    assert min(parts["lm"], parts["mask_bce"], parts["mask_dice"], parts["presence"]) > 0


def test_mask_head_rests_when_its_weights_are_zero(
    fresh_model: Any, loaded: Any, shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_model.loss_weights = LossWeights(0, 0, 0, 0)

    def encode(_: torch.Tensor) -> None:
        pytest.fail("SAM2 has nothing to do")

    monkeypatch.setattr(fresh_model.sam2_head, "encode", encode)
    outputs = fresh_model(**SamaCollator(0)(make_examples(loaded, [talk(shapes_set)])))
    assert {name.split("/")[0] for name in outputs.losses} == {"lm"}


def test_lm_loss_is_the_hosts(loaded: Any, shapes_set: Path) -> None:
    (example,) = make_examples(loaded, [remark(shapes_set)])
    batch = SamaCollator(0)([example])
    logits = loaded.model(input_ids=batch["input_ids"], videos=batch["videos"]).logits
    expected = torch.nn.functional.cross_entropy(
        logits[0, :-1], example.labels[1:], ignore_index=IGNORE_INDEX
    )
    torch.testing.assert_close(loaded.model(**batch).losses["lm"], expected, **SEPARATE)


def test_gradients_reach_every_trained_part_and_not_sam2(
    fresh_model: Any, loaded: Any, shapes_set: Path
) -> None:
    fresh_model.train().requires_grad_(True)
    batch = SamaCollator(0)(make_examples(loaded, [talk(shapes_set), search(shapes_set)]))
    fresh_model(**batch).loss.backward()
    without = {name for name, p in fresh_model.named_parameters() if p.grad is None or not p.grad.any()}
    parts = ("mm_projector.region_encoder", "mm_projector.aggregator", "mm_projector.seg_projection")
    # by their nature: key biases of attention, and what the last temporal layer makes of the question's words
    expected = ("key.bias", "temporal.encoder.layer.1.intermediate.", "temporal.encoder.layer.1.output.")
    silent = {name for name in without if any(part in name for part in parts)}
    assert {name for name in silent if not any(part in name for part in expected)} == set()
    decoder = {name for name, _ in fresh_model.named_parameters() if "seg_decoder" in name}
    assert len(decoder - without) > len(decoder) // 2
    assert all(p.grad is None for p in fresh_model.sam2_head.sam2.parameters())


def test_a_few_steps_on_one_sample_are_learned(fresh_model: Any, loaded: Any, shapes_set: Path) -> None:
    fresh_model.train()
    for name, parameter in fresh_model.named_parameters():
        parameter.requires_grad_("vision_tower" not in name)
    batch = SamaCollator(0)(make_examples(loaded, [search(shapes_set)]))
    optimizer = torch.optim.AdamW([p for p in fresh_model.parameters() if p.requires_grad], lr=2e-3)
    torch.manual_seed(0)
    history = []
    for _ in range(20):
        outputs = fresh_model(**batch)
        optimizer.zero_grad()
        outputs.loss.backward()
        optimizer.step()
        history.append({name: value.item() for name, value in outputs.losses.items()})
    assert history[-1]["lm"] < 0.3 * history[0]["lm"]
    masks_before, masks_after = (h["mask_bce"] + h["mask_dice"] for h in (history[0], history[-1]))
    assert masks_after < 0.9 * masks_before


def test_hosts_splice_is_not_used(loaded: Any) -> None:
    with pytest.raises(PromptError, match="splices in `embed_batch`"):
        loaded.model.prepare_inputs_labels_for_multimodal(None)


def test_other_projector_type_at_the_start_of_training_is_refused(fresh_model: Any) -> None:
    wanted = SimpleNamespace(mm_projector_type="sama_linear")
    with pytest.raises(
        CheckpointError, match=r"--mm_projector_type is 'sama_linear' but the loaded model has"
    ):
        fresh_model.get_model().initialize_vision_modules(wanted)


def test_hosts_cast_of_the_tower_is_put_back(fresh_model: Any, loaded: Any) -> None:
    tower = fresh_model.get_vision_tower()
    before = {key: value.clone() for key, value in tower.state_dict().items()}
    fresh_model.get_model().initialize_vision_modules(SimpleNamespace(mm_projector_type="linear"))
    tower.to(dtype=torch.float16)  # as the host's script does
    fresh_model.initialize_vision_tokenizer(SimpleNamespace(), loaded.tokenizer)
    after = tower.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_model_without_sam2_says_so(fresh_model: Any, loaded: Any, shapes_set: Path) -> None:
    fresh_model.sam2_head = None
    with pytest.raises(CheckpointError, match="no SAM2 loaded"):
        fresh_model(**SamaCollator(0)(make_examples(loaded, [talk(shapes_set)])))
