"""A host without SAMA, stand-ins for SAMA's model classes, and a tiny plain LLaVA checkpoint."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sama_plugin.host
from sama_plugin.host import compat, registration


@pytest.fixture
def unregistered() -> Iterator[None]:
    """SAMA is out of the host during the test, and as before afterwards."""
    was_registered = registration.is_registered()
    registration.unregister()
    yield
    registration.unregister()
    if was_registered:
        registration.register()


@pytest.fixture
def stand_ins(unregistered: None, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Stand-ins for `sama_llava` and `loading`, which record how the host's calls reach them."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    calls: list[tuple[str, tuple, dict]] = []

    class LlavaSamaQwenConfig(Qwen2Config):
        model_type = "llava_sama_qwen"

    class LlavaSamaQwenForCausalLM(Qwen2ForCausalLM):
        config_class = LlavaSamaQwenConfig

        @classmethod
        def from_pretrained(cls, *args: Any, **kwargs: Any) -> str:
            calls.append(("from_pretrained", args, kwargs))
            return "a SAMA model"

    def load_sama_model(*args: Any, **kwargs: Any) -> str:
        calls.append(("load_sama_model", args, kwargs))
        return "loaded"

    def build_projector(config: Any, vision_cfg: Any = None) -> tuple[str, Any]:
        return config.mm_projector_type, vision_cfg

    sama_llava = types.ModuleType("sama_plugin.host.sama_llava")
    sama_llava.CLASSES = {"llava_sama_qwen": (LlavaSamaQwenConfig, LlavaSamaQwenForCausalLM)}
    sama_llava.build_projector = build_projector
    loading = types.ModuleType("sama_plugin.host.loading")
    loading.load_sama_model = load_sama_model
    for module in (sama_llava, loading):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(sama_plugin.host, module.__name__.rpartition(".")[2], module, raising=False)
    return types.SimpleNamespace(
        calls=calls, sama_llava=sama_llava, config=LlavaSamaQwenConfig, model=LlavaSamaQwenForCausalLM
    )


@pytest.fixture
def sama_folder(tmp_path: Path) -> Path:
    """A folder that says it is a SAMA checkpoint; nothing else in it."""
    folder = tmp_path / "trying-mixtral"  # a name that the host would take for another model
    folder.mkdir()
    values = {
        "model_type": "llava_sama_qwen",
        "hidden_size": 32,
        "rope_theta": 5000.0,
        "sama": {"template": "x"},
    }
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random `llava_qwen` checkpoint with its CLIP tower, in the host's own format."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, PreTrainedTokenizerFast

    host = compat.find_host()
    assert host is not None
    compat.before_host()
    llava_qwen = importlib.import_module(f"{host.package}.model.language_model.llava_qwen")
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("plain")
    tower = root / "clip"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    CLIPVisionModel(CLIPVisionConfig(**sizes, image_size=28, patch_size=14)).save_pretrained(tower)
    CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        tower
    )
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(64)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = root / "llava-qwen-tiny"
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="w0", pad_token="w1").save_pretrained(folder)
    config = llava_qwen.LlavaQwenConfig(
        **sizes,
        num_key_value_heads=2,
        vocab_size=64,
        max_position_embeddings=256,
        mm_vision_tower=str(tower),
        mm_hidden_size=32,
        mm_projector_type="mlp2x_gelu",
        mm_vision_select_layer=-2,
        mm_vision_select_feature="patch",
        mm_patch_merge_type="flat",
        mm_use_im_patch_token=False,
    )
    llava_qwen.LlavaQwenForCausalLM(config).save_pretrained(folder)
    return folder
