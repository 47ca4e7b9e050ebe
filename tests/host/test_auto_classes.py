"""`AutoConfig` and its kin find SAMA once the package is imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoImageProcessor, AutoModelForCausalLM, AutoProcessor, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sama_plugin.errors import CheckpointError, HostError
from sama_plugin.host import auto_classes, compat, registration
from tests.conftest import LoadedCheckpoint


@pytest.fixture
def offered(unregistered: None) -> Iterator[None]:
    """As right after `import sama_plugin`."""
    auto_classes.withdraw()
    auto_classes.offer()
    yield
    auto_classes.withdraw()


def test_config_that_is_asked_for_registers_the_plugin(offered: None, tiny_checkpoint: Path) -> None:
    assert not registration.is_registered()
    config = AutoConfig.from_pretrained(tiny_checkpoint)
    assert type(config).__name__ == "LlavaSamaQwenConfig"
    assert config.sama["sam2"]["image_size"] > 0
    assert registration.is_registered()


def test_every_class_is_offered(offered: None) -> None:
    for model_type in auto_classes.MODEL_TYPES:
        assert CONFIG_MAPPING[model_type].model_type == model_type
    from sama_plugin.host.sama_llava import CLASSES

    assert set(auto_classes.MODEL_TYPES) == set(CLASSES)


def test_other_models_do_not_bring_the_host(offered: None, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    assert AutoConfig.from_pretrained(tmp_path).model_type == "qwen2"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava_sama_other"}))
    with pytest.raises(ValueError, match="llava_sama_other"):
        AutoConfig.from_pretrained(tmp_path)
    assert [model_type for model_type in CONFIG_MAPPING if "sama" in model_type] == []
    assert not registration.is_registered()


def test_unregistering_takes_the_offer_back(offered: None, tiny_checkpoint: Path) -> None:
    AutoConfig.from_pretrained(tiny_checkpoint)
    registration.unregister()
    assert type(CONFIG_MAPPING._extra_content) is dict
    with pytest.raises(ValueError, match="llava_sama_qwen"):
        AutoConfig.from_pretrained(tiny_checkpoint)


def test_host_that_is_missing_is_told_where_it_is_needed(
    offered: None, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compat, "find_host", lambda: None)
    with pytest.raises(HostError, match="host not installed"):
        AutoConfig.from_pretrained(tiny_checkpoint)


@pytest.mark.parametrize("table", [None, SimpleNamespace(), SimpleNamespace(_extra_content=[])])
def test_table_of_another_form_is_left_alone(table: SimpleNamespace | None) -> None:
    before = None if table is None else dict(vars(table))
    auto_classes._offer_in(SimpleNamespace(CONFIG_MAPPING=table))  # type: ignore[arg-type]
    assert table is None or vars(table) == before


def test_auto_model_is_the_whole_model(
    offered: None, tiny_checkpoint: Path, loaded: LoadedCheckpoint
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_checkpoint, torch_dtype=torch.float32)
    assert type(model) is type(loaded.model)
    assert not model.training
    wanted = loaded.model.state_dict() | loaded.model.sam2_head.sam2.state_dict()
    found = model.state_dict() | model.sam2_head.sam2.state_dict()
    assert wanted.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert model.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    assert model.newline_ids == loaded.model.newline_ids


def test_auto_model_checks_the_folder(offered: None, tiny_checkpoint: Path, tmp_path: Path) -> None:
    for path in tiny_checkpoint.iterdir():
        if path.name != "sam2":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(CheckpointError, match=r"sam2/model\.safetensors' is missing"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_auto_model_refuses_a_lora_folder(offered: None, tiny_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="LoRA needs peft: pip install -e .[train]")
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(tiny_checkpoint)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(CheckpointError, match=r"holds more than an adapter; load it by"):
        AutoModelForCausalLM.from_pretrained(tmp_path)


def test_tokenizer_and_image_processor_are_those_of_the_loader(
    offered: None, loaded: LoadedCheckpoint, tmp_path: Path
) -> None:
    loaded.model.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    assert type(AutoProcessor.from_pretrained(tmp_path)) is type(tokenizer)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.to_dict() == loaded.image_processor.to_dict()


def test_siglip_processor_of_the_host_is_written_as_that_of_transformers(tmp_path: Path) -> None:
    import sama_plugin

    sama_plugin.register()
    from llava.model.multimodal_encoder.siglip_encoder import SigLipImageProcessor

    from sama_plugin.host.vision_tower import save_image_processor

    ours = SigLipImageProcessor()
    save_image_processor(SimpleNamespace(image_processor=ours), tmp_path)
    picture = torch.randint(0, 256, (90, 120, 3), dtype=torch.uint8).numpy()
    wanted = ours.preprocess([picture], return_tensors="pt")["pixel_values"]
    theirs = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    torch.testing.assert_close(theirs([picture], return_tensors="pt")["pixel_values"], wanted)
