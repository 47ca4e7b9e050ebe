from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from sama_plugin.errors import CheckpointError, HostError
from sama_plugin.inference.session import VideoSession
from tests.conftest import LoadedCheckpoint, load_checkpoint
from tests.host.made_checkpoints import save_checkpoint
from tests.inference.scripted import write_answers


def ask(parts: LoadedCheckpoint, shapes_set: Path, question: str = "What is <r1>?") -> Any:
    video = shapes_set / "videos" / "00000.mp4"
    session = VideoSession(parts.model, parts.tokenizer, parts.image_processor, video, max_new_tokens=20)
    mask = session.clip.read([1])[0][..., 0] > 100
    session.region("r1", frame=1, mask=mask)
    return session.ask(question)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_and_attention_answers(
    tiny_checkpoint: Path, shapes_set: Path, dtype: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = load_checkpoint(tiny_checkpoint, torch_dtype=dtype, attn_implementation=attention)
    assert parts.model.dtype == getattr(torch, dtype)
    assert parts.model.get_vision_tower().dtype == getattr(torch, dtype)
    assert parts.model.config._attn_implementation == attention
    assert all(p.dtype == torch.float32 for p in parts.model.sam2_head.sam2.parameters())
    write_answers(monkeypatch, parts.tokenizer, ["<p> It </p> [SEG]."])
    answer = ask(parts, shapes_set)
    assert answer.text == "It."
    (thing,) = answer.objects
    assert 0 <= thing.score <= 1
    assert thing.phrase == "It"


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.15), ("float16", 0.02)])
def test_low_precision_is_near_full_precision(
    tiny_checkpoint: Path, loaded: LoadedCheckpoint, shapes_set: Path, dtype: str, tolerance: float
) -> None:
    from sama_plugin.data.collator import SamaCollator
    from tests.data.made_samples import make_dataset, talk

    batch = SamaCollator(0)([make_dataset(loaded, [talk(shapes_set)])[0]])
    batch = {key: batch[key] for key in ("input_ids", "videos")}
    full = loaded.model(**batch).last_hidden_state
    low = load_checkpoint(tiny_checkpoint, torch_dtype=dtype).model(**batch).last_hidden_state
    assert float((low.float() - full).abs().max()) < tolerance * float(full.abs().max())


def test_eager_equals_sdpa(tiny_checkpoint: Path, loaded: LoadedCheckpoint, shapes_set: Path) -> None:
    eager = load_checkpoint(tiny_checkpoint, attn_implementation="eager")
    assert ask(eager, shapes_set).raw == ask(loaded, shapes_set).raw


def test_defaults_are_float32_and_eval_mode_on_the_cpu(loaded: LoadedCheckpoint) -> None:
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.model.device.type == "cpu"
    assert loaded.context_length == 2048
    assert loaded.model.config.seg_token_id == loaded.tokenizer.convert_tokens_to_ids("[SEG]")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"torch_dtype": "int8"}, r"torch_dtype is 'int8', expected one of float32, float16, bfloat16"),
        ({"load_4bit": True}, r"4- and 8-bit loading need bitsandbytes"),
        ({"load_8bit": True}, r"4- and 8-bit loading need bitsandbytes"),
        ({"attn_implementation": "flash_attention_2"}, r"flash-attn, which is not installed"),
        ({"attn_implementation": "fast"}, r"attn_implementation is 'fast', expected one of sdpa, eager"),
        ({"device_map": "cpu:3"}, r"device_map is 'cpu:3', expected auto, cpu or cuda:N"),
    ],
)
def test_what_this_machine_lacks_is_named(
    tiny_checkpoint: Path, settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("bitsandbytes", "flash_attn") else find_spec(name, *rest),
    )
    with pytest.raises(HostError, match=message):
        load_checkpoint(tiny_checkpoint, **settings)


def test_cuda_is_not_promised_where_there_is_none(
    loaded: LoadedCheckpoint, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sama_plugin.host.loading import load_sama_model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HostError, match=r"device_map is 'cuda:1' but this machine has no CUDA device"):
        load_sama_model(str(tiny_checkpoint), device_map="cuda:1")


def test_cuda_device_that_is_not_there_is_named(
    loaded: LoadedCheckpoint, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sama_plugin.host.loading import load_sama_model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(HostError, match=r"device_map is 'cuda:3' but this machine has 1 CUDA devices"):
        load_sama_model(str(tiny_checkpoint), device_map="cuda:3")


def test_torch_device_means_what_its_name_means(tiny_checkpoint: Path) -> None:
    assert load_checkpoint(tiny_checkpoint, device_map=torch.device("cpu")).model.dtype == torch.float32


def test_config_fields_can_be_overwritten(tiny_checkpoint: Path) -> None:
    assert (
        load_checkpoint(tiny_checkpoint, overwrite_config={"max_position_embeddings": 900}).context_length
        == 900
    )


def test_name_of_the_folder_decides_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "llava-mixtral-lora-mpt"
    shutil.copytree(tiny_checkpoint, folder, copy_function=os.link)
    assert type(load_checkpoint(folder).model).__name__ == "LlavaSamaQwenForCausalLM"


@pytest.fixture
def clip_folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with nothing but the tiny tower."""
    shutil.copytree(tiny_checkpoint / "vision_tower", tmp_path / "made" / "vision_tower")
    return tmp_path / "made"


@torch.no_grad()
@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.1), (4, 0.5)])
def test_quantised_llm_is_near_the_full_one(
    loaded: LoadedCheckpoint, clip_folder: Path, bits: int, tolerance: float
) -> None:
    pytest.importorskip("bitsandbytes")
    save_checkpoint(clip_folder, loaded.tokenizer, "llava_sama_qwen", hidden_size=320)
    ids = torch.tensor([loaded.tokenizer("What does the red circle do?").input_ids])
    whole, quantised = (
        load_checkpoint(clip_folder, **settings).model for settings in ({}, {f"load_{bits}bit": True})
    )
    assert type(quantised.model.layers[0].mlp.up_proj) is not torch.nn.Linear
    assert type(quantised.projector.region_encoder.look_llm) is torch.nn.Linear
    left, right = (model(input_ids=ids).logits for model in (whole, quantised))
    assert 0 < float((left - right).abs().max()) < tolerance * float(left.abs().max())


def test_four_bits_on_the_cpu_need_whole_blocks(tiny_checkpoint: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.raises(
        HostError, match=r"widths are multiples of 64, this one has 160 and 384; load it with 8"
    ):
        load_checkpoint(tiny_checkpoint, load_4bit=True)


def test_llama_saves_loads_and_answers(loaded: LoadedCheckpoint, clip_folder: Path, shapes_set: Path) -> None:
    made = save_checkpoint(clip_folder, loaded.tokenizer, "llava_sama_llama")
    parts = load_checkpoint(clip_folder)
    assert type(parts.model).__name__ == "LlavaSamaLlamaForCausalLM"
    again = parts.model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in made.state_dict().items())
    first = LoadedCheckpoint(loaded.tokenizer, made, loaded.image_processor, 2048)
    assert ask(parts, shapes_set).raw == ask(first, shapes_set).raw


def test_siglip_tower_in_the_folder_saves_loads_and_answers(
    loaded: LoadedCheckpoint, shapes_set: Path, tmp_path: Path
) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    torch.manual_seed(0)
    SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=384, patch_size=14)).save_pretrained(
        tmp_path / "vision_tower"
    )
    made = save_checkpoint(tmp_path, loaded.tokenizer, "llava_sama_qwen", mm_hidden_size=32)
    parts = load_checkpoint(tmp_path)
    parts.model.save_pretrained(tmp_path)  # once more, since the host drops a layer at each load
    again = load_checkpoint(tmp_path)
    frames = torch.rand(2, 3, 384, 384)
    for model in (parts.model, again.model):
        torch.testing.assert_close(model.encode_frames([frames])[0], made.encode_frames([frames])[0])
    assert again.image_processor.size[0] == 384
    assert ask(again, shapes_set).counters["vision_frames_encoded"] > 0


@pytest.fixture
def lora_folder(fresh_model: Any, train_seam: ModuleType, tmp_path: Path) -> tuple[Path, torch.Tensor]:
    """What LoRA training leaves, and the logits of the trained model."""
    peft = pytest.importorskip("peft", reason="LoRA needs peft: pip install -e .[train]")
    model = peft.get_peft_model(
        fresh_model,
        peft.LoraConfig(
            r=4, target_modules=train_seam.LLM_LINEAR_LAYERS, init_lora_weights=False, task_type="CAUSAL_LM"
        ),
    )
    trained = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert trained
    assert all(".layers." in name and "mm_projector" not in name for name in trained)
    look = "base_model.model.model.mm_projector.region_encoder.look_llm.weight"
    with torch.no_grad():
        dict(model.named_parameters())[look].fill_(0.25)
        logits = model(input_ids=torch.arange(20, 32)[None]).logits
    model.save_pretrained(tmp_path / "lora")
    save_file({look: torch.full((160, 160), 0.25)}, tmp_path / "lora" / "non_lora_trainables.safetensors")
    return tmp_path / "lora", logits


def test_lora_folder_is_merged_into_its_base(
    lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path, loaded: LoadedCheckpoint
) -> None:
    folder, logits = lora_folder
    model = load_checkpoint(folder, model_base=str(tiny_checkpoint)).model
    assert type(model).__name__ == "LlavaSamaQwenForCausalLM"
    assert not any("lora_" in name for name in model.state_dict())
    with torch.no_grad():
        merged = model(input_ids=torch.arange(20, 32)[None]).logits
        base = loaded.model(input_ids=torch.arange(20, 32)[None]).logits
    torch.testing.assert_close(merged, logits, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(merged, base, atol=1e-2)
    assert model.projector.region_encoder.look_llm.weight.eq(0.25).all()


def test_lora_folder_without_its_base_is_refused(lora_folder: tuple[Path, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="is a LoRA folder; give its base checkpoint as model_base"):
        load_checkpoint(lora_folder[0])


def test_lora_folder_without_what_it_trained_whole_is_refused(
    lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path
) -> None:
    (lora_folder[0] / "non_lora_trainables.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks non_lora_trainables\.safetensors"):
        load_checkpoint(lora_folder[0], model_base=str(tiny_checkpoint))


def test_lora_folder_with_foreign_keys_is_refused(
    lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path
) -> None:
    save_file({"model.other": torch.zeros(1)}, lora_folder[0] / "non_lora_trainables.safetensors")
    with pytest.raises(CheckpointError, match=r"keys that .* does not have: other"):
        load_checkpoint(lora_folder[0], model_base=str(tiny_checkpoint))


def test_lora_folder_of_another_size_is_refused(
    lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path
) -> None:
    look = "base_model.model.model.mm_projector.region_encoder.look_llm.weight"
    save_file({look: torch.zeros(2, 2)}, lora_folder[0] / "non_lora_trainables.safetensors")
    with pytest.raises(CheckpointError, match=r"keys of another shape than in .*look_llm"):
        load_checkpoint(lora_folder[0], model_base=str(tiny_checkpoint))


def test_damaged_lora_folder_is_named(lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path) -> None:
    folder, base = lora_folder[0], str(tiny_checkpoint)
    adapter = folder / "adapter_model.safetensors"
    weights = load_file(adapter)
    first = sorted(weights)[0]
    for damaged, fault in (
        ({k: v for k, v in weights.items() if k != first}, r"1 missing \(base_model.*\)"),
        (weights | {"base_model.spare": torch.zeros(1)}, r"1 spare \(base_model\.spare\)"),
        (weights | {first: torch.zeros(3, 3)}, r"1 of another shape"),
    ):
        save_file(damaged, adapter)
        with pytest.raises(CheckpointError, match=rf"adapter in .* does not fit .*: {fault}"):
            load_checkpoint(folder, model_base=base)
    adapter.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors cannot be read"):
        load_checkpoint(folder, model_base=base)
    adapter.unlink()
    with pytest.raises(CheckpointError, match=r"LoRA folder .* lacks adapter_model\.safetensors"):
        load_checkpoint(folder, model_base=base)


def test_parts_of_two_checkpoints_in_one_folder_are_told_apart(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from sama_plugin.host.presets import TINY_TOWER

    folder = tmp_path / "mixed"
    shutil.copytree(tiny_checkpoint, folder)
    tower = CLIPVisionConfig(**TINY_TOWER | {"hidden_size": 48, "num_attention_heads": 2})
    CLIPVisionModel(tower).save_pretrained(folder / "vision_tower")
    with pytest.raises(CheckpointError, match=r"vision tower's width is 48, by .*config\.json it is 96"):
        load_checkpoint(folder)
    shutil.rmtree(folder)
    shutil.copytree(tiny_checkpoint, folder)
    tokenizer = load_checkpoint(tiny_checkpoint).tokenizer
    tokenizer.add_tokens(["foreign"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"tokenizer's size is \d+, .* it is \d+ or less"):
        load_checkpoint(folder)


def test_config_of_a_lora_base_can_be_overwritten(
    lora_folder: tuple[Path, torch.Tensor], tiny_checkpoint: Path
) -> None:
    changed = {"max_position_embeddings": 900}
    loaded = load_checkpoint(lora_folder[0], model_base=str(tiny_checkpoint), overwrite_config=changed)
    assert loaded.context_length == 900


def test_checkpoint_runs_nothing_from_its_config(tiny_checkpoint: Path) -> None:
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    assert not [key for key in config if key in ("auto_map", "custom_pipelines")]
