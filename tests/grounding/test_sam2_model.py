from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sam2.modeling.sam2_utils import LayerNorm2d

from sama_plugin.config import SAM2_PRESETS
from sama_plugin.errors import CheckpointError, PromptError
from sama_plugin.grounding.sam2_model import (
    ClipPrompt,
    FusedLayerNorm2d,
    build_sam2,
    build_seg_decoder,
    load_published,
    load_sam2,
    save_sam2,
)
from tests.grounding.tiny_sam2 import (
    SIDE,
    TINY,
    WIDTH,
    MemoryClip,
    encoded,
    lively_sam2,
    new_head,
    published_predictor,
    square_masks,
    tiny_predictor,
)

PUBLISHED = {
    "sam2.1_hiera_tiny": "t",
    "sam2.1_hiera_small": "s",
    "sam2.1_hiera_base_plus": "b+",
    "sam2.1_hiera_large": "l",
}


def plain_settings(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Every number, switch and list a module and its parts keep."""
    for name, part in module.named_modules():
        for key, value in vars(part).items():
            if key.startswith("_") or key in ("non_overlap_masks", "add_all_frames_to_correct_as_cond"):
                continue
            if key in ("clear_non_cond_mem_around_input", "fill_hole_area", "sam_mask_decoder_extra_args"):
                continue
            if isinstance(value, torch.Tensor):
                yield f"{name}.{key}", tuple(value.shape)
            elif value is None or isinstance(value, bool | int | float | str):
                yield f"{name}.{key}", value
            elif isinstance(value, list | tuple) or type(value).__name__ == "ListConfig":
                yield f"{name}.{key}", list(value)


@pytest.mark.parametrize("preset", PUBLISHED)
def test_preset_equals_the_published_config(preset: str) -> None:
    ours = build_sam2(SAM2_PRESETS[preset], device="meta")
    theirs = published_predictor(PUBLISHED[preset], device="meta")
    shapes = {k: tuple(v.shape) for k, v in ours.state_dict().items()}
    assert shapes == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    kinds = {n: LayerNorm2d if type(m) is FusedLayerNorm2d else type(m) for n, m in ours.named_modules() if n}
    assert kinds == {n: type(m) for n, m in theirs.named_modules() if n}
    assert dict(plain_settings(ours)) == dict(plain_settings(theirs))
    assert all(p.is_meta for p in ours.parameters())


def test_fused_norm_equals_sam2s() -> None:
    theirs, ours = LayerNorm2d(6), FusedLayerNorm2d(6)
    with torch.no_grad():
        theirs.weight.copy_(torch.rand(6) + 0.5)
        theirs.bias.copy_(torch.randn(6))
    ours.load_state_dict(theirs.state_dict())
    x = (3 * torch.randn(2, 6, 5, 7) + 2).requires_grad_()
    results = [norm(x) for norm in (theirs, ours)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*(torch.autograd.grad(made.square().sum(), x)[0] for made in results))
    assert {type(m) for m in lively_sam2().modules() if isinstance(m, LayerNorm2d)} == {FusedLayerNorm2d}


def test_settings_comparison_would_see_a_difference() -> None:
    other = published_predictor(
        "t", ("++model.memory_attention.layer.cross_attention.rope_k_repeat=false",), "meta"
    )
    assert dict(plain_settings(other)) != dict(
        plain_settings(build_sam2(SAM2_PRESETS["sam2.1_hiera_tiny"], device="meta"))
    )


def test_tiny_preset_computes_what_sam2_computes() -> None:
    ours = lively_sam2()
    theirs = tiny_predictor()
    theirs.load_state_dict(ours.state_dict())
    frames = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.forward_image(frames)
        features = ours.encode_image(frames)
        projected = features.project(ours.sam_mask_decoder)
        for got, want in zip(projected.levels, expected["backbone_fpn"], strict=True):
            torch.testing.assert_close(got, want)
        torch.testing.assert_close(features.pos.expand(2, -1, -1, -1), expected["vision_pos_enc"][-1])
        points = {
            "point_coords": torch.tensor([[[40.0, 50.0]], [[90.0, 20.0]]]),
            "point_labels": torch.ones(2, 1, dtype=torch.int32),
        }
        embed = ours.embed_without_memory(features)
        low, _, iou, best, _, pointers, scores = theirs._forward_sam_heads(
            embed, points, None, list(projected.levels[:2]), True
        )
        sparse, dense = ours.embed_points(points["point_coords"], points["point_labels"], 2)
        output = ours.decode(embed, projected.levels[:2], sparse, dense)
        chosen = output.best()
        torch.testing.assert_close(output.gated_logits(), low)
        torch.testing.assert_close(output.iou, iou)
        torch.testing.assert_close(chosen.gated_logits(), best)
        torch.testing.assert_close(output.object_logits[:, None], scores)
        torch.testing.assert_close(ours.point_to_object(chosen.tokens, chosen.object_logits), pointers)


def test_language_is_one_more_sparse_token_after_the_padding() -> None:
    head, clip = new_head(), MemoryClip(1)
    sam2 = head.sam2
    own = encoded(head, clip, [0]).project(sam2.sam_mask_decoder)
    prompt = torch.randn(1, 1, WIDTH, generator=torch.Generator().manual_seed(4))
    got = sam2.decode_language(sam2.embed_without_memory(own), own.levels[:2], prompt)
    empty = sam2.sam_prompt_encoder.not_a_point_embed.weight[None]
    masks, iou, _, scores = sam2.sam_mask_decoder(
        image_embeddings=own.levels[2] + sam2.no_mem_embed.view(1, -1, 1, 1),
        image_pe=sam2.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=torch.cat([empty, empty, prompt], dim=1),
        dense_prompt_embeddings=sam2.sam_prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(
            1, -1, SIDE // 16, SIDE // 16
        ),
        multimask_output=True,
        repeat_image=False,
        high_res_features=list(own.levels[:2]),
    )
    torch.testing.assert_close(got.mask_logits, masks)
    torch.testing.assert_close(got.iou, iou)
    torch.testing.assert_close(got.object_logits, scores[:, 0])


def test_seg_decoder_is_a_trainable_copy() -> None:
    decoder = build_seg_decoder(lively_sam2())
    own = lively_sam2().sam_mask_decoder
    assert all(p.requires_grad for p in decoder.parameters())
    assert not any(p.requires_grad for p in own.parameters())
    for key, value in own.state_dict().items():
        assert torch.equal(decoder.state_dict()[key], value)
        assert decoder.state_dict()[key].data_ptr() != value.data_ptr()


def test_save_then_load_gives_the_same_weights_and_leaves_one_file(tmp_path: Path) -> None:
    save_sam2(lively_sam2(), tmp_path / "sam2")
    loaded = load_sam2(tmp_path / "sam2", TINY)
    assert [p.name for p in (tmp_path / "sam2").iterdir()] == ["model.safetensors"]
    assert loaded.state_dict().keys() == lively_sam2().state_dict().keys()
    assert all(torch.equal(v, lively_sam2().state_dict()[k]) for k, v in loaded.state_dict().items())
    frames = torch.randn(1, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    prompt = ClipPrompt(masks=square_masks((20, 20, 70, 60)))
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.track_clip(frames, prompt).mask_logits,
            lively_sam2().track_clip(frames, prompt).mask_logits,
            rtol=1e-4,  # weights at other addresses may take other kernels, which differ in the last digits
            atol=1e-4,
        )


def _drop(state: dict[str, torch.Tensor]) -> None:
    del state["no_mem_embed"]


def _add(state: dict[str, torch.Tensor]) -> None:
    state["extra.weight"] = torch.zeros(1)


def _reshape(state: dict[str, torch.Tensor]) -> None:
    state["no_mem_embed"] = torch.zeros(1, 1, 7)


def _poison(state: dict[str, torch.Tensor]) -> None:
    state["no_mem_embed"] = torch.full_like(state["no_mem_embed"], float("nan"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, "1 SAM2 weights are missing: no_mem_embed"),
        (_add, "1 SAM2 weights are spare: extra.weight"),
        (_reshape, rf"mis-shaped: no_mem_embed \(1, 1, 7\) expected \(1, 1, {WIDTH}\)"),
        (_poison, "1 SAM2 weights are not finite: no_mem_embed"),
    ],
)
def test_damaged_weights_are_named(tmp_path: Path, damage: Any, message: str) -> None:
    save_sam2(lively_sam2(), tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    damage(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_sam2(tmp_path, TINY)


def test_missing_and_truncated_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors' is missing"):
        load_sam2(tmp_path, TINY)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_sam2(tmp_path, TINY)


def test_published_layout_loads_and_foreign_files_do_not(tmp_path: Path) -> None:
    path = tmp_path / "published.pt"
    torch.save({"model": lively_sam2().state_dict()}, path)
    loaded = load_published(path, TINY)
    assert torch.equal(loaded.no_mem_embed, lively_sam2().no_mem_embed)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="expected the published"):
        load_published(path, TINY)
    torch.save({"model": Path("x")}, path)
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        load_published(path, TINY)


CLIP_PROMPTS = {
    "click": ClipPrompt(
        points_xy=torch.tensor([[[40.0, 40.0]], [[90.0, 60.0]]]), point_labels=torch.ones(2, 1)
    ),
    "box": ClipPrompt(
        points_xy=torch.tensor([[[20.0, 20.0], [70.0, 60.0]], [[50.0, 50.0], [99.0, 99.0]]]),
        point_labels=torch.tensor([[2, 3], [2, 3]]),
    ),
    "mask": ClipPrompt(masks=square_masks((20, 20, 70, 60), (50, 50, 99, 99))),
    "language": ClipPrompt(language=torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(5))),
}


@pytest.mark.parametrize("kind", CLIP_PROMPTS)
def test_clips_of_a_batch_are_tracked_independently(kind: str) -> None:
    prompt = CLIP_PROMPTS[kind]
    frames = torch.randn(2, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    both = lively_sam2().track_clip(frames, prompt)
    assert both.mask_logits.shape == (2, 3, SIDE // 4, SIDE // 4)
    assert [c.shape[1] for c in both.candidate_logits] == [{"box": 1, "mask": 1}.get(kind, 3), 3, 3]
    for i in range(2):
        one = ClipPrompt(**{k: v[i : i + 1] for k, v in vars(prompt).items() if v is not None})
        alone = lively_sam2().track_clip(frames[i : i + 1], one)
        torch.testing.assert_close(both.mask_logits[i : i + 1], alone.mask_logits, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(both.object_logits[i : i + 1], alone.object_logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(both.iou[i : i + 1], alone.iou, atol=1e-5, rtol=1e-4)


def test_track_clip_takes_the_candidate_with_the_best_predicted_iou() -> None:
    frames = torch.randn(2, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    result = lively_sam2().track_clip(frames, CLIP_PROMPTS["click"])
    for t, (logits, iou) in enumerate(zip(result.candidate_logits, result.candidate_iou, strict=True)):
        for i in range(2):
            assert torch.equal(result.mask_logits[i, t], logits[i, iou[i].argmax()])
            assert result.iou[i, t] == iou[i].max()


def test_gradients_of_later_frames_reach_prompt_encoder_and_memory() -> None:
    model = copy.deepcopy(lively_sam2()).requires_grad_(True).train()
    with torch.no_grad():  # present throughout: an absent object reaches memory as a constant
        model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.add_(20)
    frames = torch.randn(1, 3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    language = torch.ones(1, WIDTH, requires_grad=True)
    model.track_clip(frames, ClipPrompt(language=language)).mask_logits[:, -1].sum().backward()
    assert language.grad is not None
    assert language.grad.abs().sum() > 0
    for part in (model.image_encoder, model.memory_encoder, model.memory_attention, model.sam_mask_decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    model.zero_grad()
    model.track_clip(frames, ClipPrompt(masks=square_masks((20, 20, 70, 60)))).mask_logits[
        :, -1
    ].sum().backward()
    assert model.mask_downsample.weight.grad is not None


def test_object_predicted_absent_reaches_memory_as_absent() -> None:
    model = copy.deepcopy(lively_sam2())
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.sub_(50)
    frames = torch.randn(1, 2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    here, there = (
        model.track_clip(
            frames, ClipPrompt(points_xy=torch.tensor([[[x, 40.0]]]), point_labels=torch.ones(1, 1))
        )
        for x in (20.0, 100.0)
    )
    assert not torch.allclose(here.mask_logits[:, 0], there.mask_logits[:, 0], atol=1.0)
    torch.testing.assert_close(here.mask_logits[:, 1], there.mask_logits[:, 1])


@pytest.mark.parametrize(
    "given",
    [{}, {"language": torch.zeros(1, 4), "masks": torch.zeros(1, 4, 4)}, {"points_xy": torch.zeros(1, 1, 2)}],
)
def test_clip_prompt_is_exactly_one_kind(given: dict[str, torch.Tensor]) -> None:
    with pytest.raises(PromptError, match="expected exactly one"):
        ClipPrompt(**given)


def test_features_are_taken_frame_by_frame_and_projected_once() -> None:
    head, clip = new_head(), MemoryClip(3)
    features = encoded(head, clip, [0, 2])
    taken = features.take(torch.tensor([1, 1, 0]))
    assert taken.num_frames == 3
    for level, own in zip(features.levels, taken.levels, strict=True):
        assert torch.equal(own, torch.stack([level[1], level[1], level[0]]))
    decoder = head.sam2.sam_mask_decoder
    projected = features.project(decoder)
    assert torch.equal(
        projected.levels[0], F.conv2d(features.levels[0], decoder.conv_s0.weight, decoder.conv_s0.bias)
    )
    assert projected.project(decoder) is projected
