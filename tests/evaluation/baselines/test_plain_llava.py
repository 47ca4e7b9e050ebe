from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sama_plugin.errors import CheckpointError, HostError, PromptError
from sama_plugin.evaluation.baselines.plain_llava import PlainLlavaAnswerer, region_words, spread_evenly
from sama_plugin.evaluation.benchmarks.shapes import ShapesBenchmark
from sama_plugin.evaluation.catalogue import open_benchmark
from sama_plugin.evaluation.harness import evaluate
from sama_plugin.evaluation.targets import point_at
from sama_plugin.media.frame_subset import open_sample_clip
from tests.conftest import load_checkpoint


@pytest.fixture(scope="module")
def plain_folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain `llava_qwen` checkpoint made of the tiny one's LLM, base projector and tower."""
    from sama_plugin.host.plain_model import plain_model

    ours = load_checkpoint(tiny_checkpoint)
    plain = plain_model(ours.model)
    plain.config.mm_vision_tower = str(tiny_checkpoint / "vision_tower")
    plain.config.mm_projector_type = "mlp2x_gelu"
    plain.config.mm_hidden_size = ours.model.config.mm_hidden_size
    plain.config.mm_vision_select_layer = ours.model.config.mm_vision_select_layer
    plain.config.mm_use_im_patch_token = False
    plain.config.use_mm_proj = True
    folder = tmp_path_factory.mktemp("plain")
    plain.save_pretrained(folder)
    ours.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def answerer(plain_folder: Path) -> PlainLlavaAnswerer:
    return PlainLlavaAnswerer(str(plain_folder), frames=4, max_new_tokens=6, device="cpu")


def test_weights_are_those_of_the_folder(answerer: PlainLlavaAnswerer, loaded: Any) -> None:
    ours = loaded.model.state_dict()
    for name, value in answerer.chat.model.state_dict().items():
        if name in ours and "vision_tower" not in name:
            assert torch.equal(value, ours[name].bfloat16().float()), name
    tower, own = answerer.chat.model.get_vision_tower(), loaded.model.get_vision_tower()
    for name, value in own.state_dict().items():
        assert torch.allclose(tower.state_dict()[name], value, atol=0.02), name


def test_the_prompt_is_the_hosts(answerer: PlainLlavaAnswerer) -> None:
    assert answerer.chat.prompt([("What?", "A star."), ("Why?", None)]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n"
        "<|im_start|>assistant\nA star.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_answer_is_what_the_host_generates(answerer: PlainLlavaAnswerer, shapes_set: Path) -> None:
    benchmark = ShapesBenchmark(shapes_set)
    sample = benchmark.sample(benchmark.dialogue_ids[0])
    answer = answerer.start(sample).ask("What is in the video?", [])
    assert answer.objects == []
    assert answer.text == answer.raw
    frames = open_sample_clip(sample).read(spread_evenly(open_sample_clip(sample).num_frames, 4))
    chat = answerer.chat
    pixels = chat.image_processor.preprocess(list(frames), return_tensors="pt")["pixel_values"]
    from llava.mm_utils import tokenizer_image_token

    ids = tokenizer_image_token(
        chat.prompt([("What is in the video?", None)]), chat.tokenizer, -200, return_tensors="pt"
    )[None]
    with torch.no_grad():
        made = chat.model.generate(
            ids, images=[pixels], modalities=["video"], do_sample=False, max_new_tokens=6
        )
    assert answer.text == chat.tokenizer.batch_decode(made, skip_special_tokens=True)[0].strip()


def test_the_answer_depends_on_the_video(answerer: PlainLlavaAnswerer) -> None:
    dark = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, dark.shape, dtype=np.uint8)
    turns = [("What is it?", None)]
    seen = [answerer.chat.answer(frames, turns, max_new_tokens=12) for frames in (dark, noise)]
    assert seen[0] == answerer.chat.answer(dark, turns, max_new_tokens=12)
    assert seen[0] != seen[1]


def test_regions_are_put_into_words(shapes_set: Path) -> None:
    benchmark = ShapesBenchmark(shapes_set)
    sample = benchmark.sample(benchmark.dialogue_ids[0])
    clip, key = open_sample_clip(sample), next(iter(sample.masks))
    region = point_at(sample, key, "r1")
    words = region_words(region, clip)
    x0 = np.flatnonzero(region.mask.any(0))[0] / clip.width  # type: ignore[union-attr]
    assert words.startswith(f"the object in the box [{x0:.2f}, ")
    assert words.endswith(f"] at {clip.timestamps_s[region.frame]:.1f} s")


def test_history_is_kept_and_unknown_names_are_refused(
    answerer: PlainLlavaAnswerer, shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = ShapesBenchmark(shapes_set)
    sample = benchmark.sample(benchmark.dialogue_ids[0])
    seen: list[Any] = []
    monkeypatch.setattr(answerer.chat, "answer", lambda frames, turns, **more: seen.append(turns) or "Yes.")
    dialogue = answerer.start(sample)
    region = point_at(sample, next(iter(sample.masks)), "r1")
    dialogue.ask("Is <r1> red?", [region])
    dialogue.ask("Is <r1> large?", [])
    first, second = seen[1]
    assert first[0].startswith("Is the object in the box [")
    assert first[1] == "Yes."
    assert second[1] is None
    with pytest.raises(PromptError, match="<r2>, which was never defined"):
        dialogue.ask("Is <r2> red?", [])


def test_text_metrics_of_a_benchmark(
    answerer: PlainLlavaAnswerer, shapes_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without Java, which takes long to start
    benchmark = open_benchmark("sama-bench-c", shapes_set)
    benchmark.dialogue_ids = benchmark.dialogue_ids[:2]
    made = evaluate(benchmark, answerer, tmp_path / "out", answerer.settings)
    assert 0 <= (made.metrics["ROUGE-L"] or 0) < 1
    assert made.counts["refused_questions"] == 0
    assert made.settings["template"] == "qwen_1_5"


def test_other_folders_are_refused(tiny_checkpoint: Path, plain_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="model_type 'llava_sama_qwen', expected a plain"):
        PlainLlavaAnswerer(str(tiny_checkpoint))
    with pytest.raises(HostError, match="no conversation template 'nobody'"):
        PlainLlavaAnswerer(str(plain_folder), template="nobody")
    config = json.loads((plain_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="The host cannot load"):
        PlainLlavaAnswerer(str(tmp_path), device="cpu")


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:7", "but this machine has 1 CUDA devices, from 0"), ("gpu", "expected auto, cpu or cuda:N")],
)
def test_device_that_is_not_there_is_refused_before_anything_is_loaded(
    plain_folder: Path, monkeypatch: pytest.MonkeyPatch, device: str, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(HostError, match=message):
        PlainLlavaAnswerer(str(plain_folder), device=device)
