from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sama_plugin.errors import HostError
from sama_plugin.host import compat, registration


def snapshot() -> dict[str, int]:
    """Identity of every attribute of the host's modules and classes, and of what SAMA touches beside them."""
    from transformers import AutoModelForCausalLM, modeling_utils
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    host = compat.find_host()
    assert host is not None
    owners: dict[str, dict] = {
        "transformers.modeling_utils": vars(modeling_utils),
        "configs": CONFIG_MAPPING._extra_content,
        "models": AutoModelForCausalLM._model_mapping._extra_content,
        "finders": dict(enumerate(sys.meta_path)),
    }
    for name, module in sys.modules.items():
        if name == host.package or name.startswith(host.package + "."):
            owners[name] = vars(module)
    seen = {f"{owner}:{key}": id(value) for owner, values in owners.items() for key, value in values.items()}
    for owner in ("LlavaQwenForCausalLM", "LlavaLlamaForCausalLM"):
        model = sys.modules[host.package + ".model"]
        seen |= {f"{owner}.{key}": id(value) for key, value in vars(getattr(model, owner)).items()}
    conversation = sys.modules.get(host.package + ".conversation")
    if conversation is not None:
        seen |= {f"template:{key}": id(value) for key, value in conversation.conv_templates.items()}
    return seen


@pytest.fixture
def before(stand_ins: SimpleNamespace) -> dict[str, int]:
    """Snapshot of a host that is imported and was never touched."""
    registration.register()
    registration.unregister()
    return snapshot()


def host_builder() -> Any:
    host = compat.find_host()
    assert host is not None
    return importlib.import_module(host.package + ".model.builder")


def test_unregister_restores_every_attribute(before: dict) -> None:
    registration.register()
    assert snapshot() != before
    registration.unregister()
    assert snapshot() == before


def test_unregister_restores_modules_that_bound_a_wrapper_since(stand_ins: SimpleNamespace) -> None:
    registration.register()
    builder = host_builder()
    original = builder.load_pretrained_model.__wrapped__
    arch = importlib.import_module("llava.model.llava_arch")
    arch.bound_later = builder.load_pretrained_model
    try:
        registration.unregister()
        assert arch.bound_later is original
    finally:
        del arch.bound_later


def test_second_register_changes_nothing(stand_ins: SimpleNamespace) -> None:
    registration.register()
    once = snapshot()
    registration.register()
    assert snapshot() == once
    assert not hasattr(host_builder().load_pretrained_model.__wrapped__, "__wrapped__")


def test_failed_check_changes_nothing(before: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compat.REQUIRED, "transformers", (("transformers",), ">=99"))
    with pytest.raises(HostError, match="wanted >=99"):
        registration.register()
    assert snapshot() == before
    assert not registration.is_registered()


def test_failure_half_way_is_rolled_back(
    before: dict, stand_ins: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(stand_ins.sama_llava, "build_projector")
    with pytest.raises(ImportError, match="build_projector"):
        registration.register()
    assert snapshot() == before
    assert not registration.is_registered()


def test_host_that_does_not_import_is_told_with_what_it_printed(
    stand_ins: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def import_module(name: str) -> None:
        print("No module named 'einops'")  # noqa: T201 - as the host does
        raise ImportError("cannot import name 'LlavaLlamaForCausalLM'")

    monkeypatch.setattr(registration, "importlib", SimpleNamespace(import_module=import_module))
    with pytest.raises(HostError, match=r"(?s)LlavaLlamaForCausalLM.*No module named 'einops'"):
        registration.register()


def test_transformers_knows_the_model_type(stand_ins: SimpleNamespace, sama_folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    registration.register()
    config = AutoConfig.from_pretrained(sama_folder)
    assert type(config) is stand_ins.config
    assert AutoModelForCausalLM._model_mapping[type(config)] is stand_ins.model
    registration.unregister()
    with pytest.raises(ValueError, match="llava_sama_qwen"):
        AutoConfig.from_pretrained(sama_folder)


@pytest.mark.parametrize("name", ["llava_sama_qwen", "llava-llama-yi", "mixtral", "llava-moe-lora", ""])
def test_loader_goes_by_config_json_not_by_name(
    stand_ins: SimpleNamespace, sama_folder: Path, name: str
) -> None:
    registration.register()
    load = host_builder().load_pretrained_model
    assert load(str(sama_folder), None, name, False, device_map="cpu", multimodal=True) == "loaded"
    given = {"model_path": str(sama_folder), "model_base": None, "model_name": name, "load_8bit": False}
    assert stand_ins.calls == [("load_sama_model", (), given | {"device_map": "cpu", "multimodal": True})]


def test_loader_takes_every_argument_by_its_name(
    stand_ins: SimpleNamespace, sama_folder: Path, plain_folder: Path
) -> None:
    registration.register()
    load = host_builder().load_pretrained_model
    given = {"model_path": str(sama_folder), "model_base": None, "model_name": "x", "device_map": "cpu"}
    assert load(**given) == "loaded"
    assert stand_ins.calls[-1] == ("load_sama_model", (), given)
    settings = {"attn_implementation": "sdpa", "torch_dtype": "bfloat16", "device_map": "auto"}
    plain = load(model_path=str(plain_folder), model_base=None, model_name="llava_qwen", **settings)
    assert type(plain[1]).__name__ == "LlavaQwenForCausalLM"


def test_sama_folder_without_its_config_reaches_our_loader(
    stand_ins: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "sam2").mkdir()
    registration.register()
    assert host_builder().load_pretrained_model(str(tmp_path), None, "llava_qwen") == "loaded"


def test_loader_refuses_what_the_host_refuses(stand_ins: SimpleNamespace, sama_folder: Path) -> None:
    registration.register()
    with pytest.raises(TypeError, match="model_name"):
        host_builder().load_pretrained_model(str(sama_folder), None)


@pytest.mark.parametrize("host_class", registration.HOST_CLASSES)
def test_host_class_gives_the_sama_class_for_a_sama_folder(
    stand_ins: SimpleNamespace, sama_folder: Path, host_class: str
) -> None:
    registration.register()
    model_class = getattr(importlib.import_module("llava.model"), host_class)
    assert model_class.from_pretrained(str(sama_folder), low_cpu_mem_usage=True) == "a SAMA model"
    assert stand_ins.calls == [("from_pretrained", (str(sama_folder),), {"low_cpu_mem_usage": True})]


def test_config_of_the_host_class_keeps_the_folders_values_and_the_callers_changes(
    stand_ins: SimpleNamespace, sama_folder: Path
) -> None:
    registration.register()
    model = importlib.import_module("llava.model")
    given = model.LlavaConfig.from_pretrained(sama_folder)  # llama's defaults where the folder is silent
    given.mm_spatial_pool_mode = "average"
    given.max_position_embeddings = 77
    model.LlavaLlamaForCausalLM.from_pretrained(str(sama_folder), config=given)
    config = stand_ins.calls[0][2]["config"]
    assert type(config) is stand_ins.config
    assert (config.mm_spatial_pool_mode, config.max_position_embeddings) == ("average", 77)
    assert (config.rope_theta, config.sama) == (5000.0, {"template": "x"})
    assert config.vocab_size == stand_ins.config().vocab_size != given.vocab_size


def test_subclass_of_a_host_class_passes_through(
    stand_ins: SimpleNamespace, sama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedModel

    monkeypatch.setattr(
        PreTrainedModel, "from_pretrained", classmethod(lambda cls, *a, **k: (cls.__name__, a))
    )
    registration.register()

    class Sub(importlib.import_module("llava.model").LlavaQwenForCausalLM):  # type: ignore[misc]
        pass

    assert Sub.from_pretrained(str(sama_folder)) == ("Sub", (str(sama_folder),))


def test_projector_builder_knows_sama_types_in_both_places(stand_ins: SimpleNamespace) -> None:
    registration.register()
    ours = SimpleNamespace(mm_projector_type="sama_mlp2x_gelu")
    theirs = SimpleNamespace(mm_projector_type="mlp2x_gelu", mm_hidden_size=4, hidden_size=6)
    for name in ("llava.model.multimodal_projector.builder", "llava.model.llava_arch"):
        build = importlib.import_module(name).build_vision_projector
        assert build(ours, vision_cfg="tower") == ("sama_mlp2x_gelu", "tower")
        assert [tuple(p.shape) for p in build(theirs).parameters()] == [(6, 4), (6,), (6, 6), (6,)]


def test_classes_can_be_looked_up_in_the_host(stand_ins: SimpleNamespace) -> None:
    registration.register()
    model = importlib.import_module("llava.model")
    assert model.LlavaSamaQwenForCausalLM is stand_ins.model
    registration.unregister()
    assert not hasattr(model, "LlavaSamaQwenForCausalLM")


@pytest.mark.parametrize("is_imported_before", [True, False])
def test_conversation_templates_come_whenever_the_module_comes(
    stand_ins: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, is_imported_before: bool
) -> None:
    host = compat.find_host()
    assert host is not None
    for name in {host.package + ".conversation", "llava.conversation"}:
        monkeypatch.delitem(sys.modules, name, raising=False)
    if is_imported_before:
        registration.register()
        importlib.import_module("llava.conversation")
        registration.unregister()
    registration.register()
    templates = importlib.import_module("llava.conversation").conv_templates
    assert templates["sama_qwen_1_5"] == templates["qwen_1_5"]
    assert templates["sama_qwen_1_5"].messages is not templates["qwen_1_5"].messages
    assert templates["sama_qwen_1_5"].version == "qwen"
    registration.unregister()
    assert not [name for name in templates if name.startswith("sama_")]


def test_register_does_not_import_the_conversations(stand_ins: SimpleNamespace) -> None:
    """The host asks the hub for a tokenizer when its conversations are imported."""
    code = (
        "import sys; from sama_plugin.host import compat, registration as r;"
        "host = compat.find_host().package;"
        "r._fill_seams = lambda *a: None; r.register(); print(host + '.model' in sys.modules,"
        "[m for m in sys.modules if m.endswith('.conversation') and m.startswith('llava')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["True []"], done.stderr  # DeepSpeed logs to stdout


@pytest.mark.parametrize("content", [None, "{not json", "[1]", "{}"])
def test_folder_without_a_readable_model_type_is_the_hosts_business(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert registration.read_model_type(str(tmp_path)) is None


def test_name_that_no_hub_answers_for_is_the_hosts_business() -> None:
    assert registration.read_model_type("nobody/nothing-of-that-name") is None


def load_plain(folder: Path, name: str) -> Any:
    """Logits of a plain LLaVA checkpoint by the host's own loader, text and image."""
    import torch

    load = host_builder().load_pretrained_model
    tokenizer, model, *_ = load(str(folder), None, name, torch_dtype="bfloat16", attn_implementation="sdpa")
    ids = torch.tensor([[*tokenizer("w5 w6 w7").input_ids, -200, *tokenizer("w8 w9").input_ids]])
    image = torch.arange(3 * 28 * 28).reshape(1, 3, 28, 28) % 17 / 17
    with torch.inference_mode():
        logits = model.eval()(input_ids=ids, images=image.to(torch.bfloat16), modalities=["image"]).logits
    assert type(model).__name__ == "LlavaQwenForCausalLM"
    assert torch.isfinite(logits).all()
    return logits


def test_plain_llava_gives_the_same_bits_registered_or_not(
    stand_ins: SimpleNamespace, plain_folder: Path
) -> None:
    import torch

    registration.register()
    assert hasattr(host_builder().load_pretrained_model, "__wrapped__")
    registered = load_plain(plain_folder, "llava_qwen")
    registration.unregister()
    assert not hasattr(host_builder().load_pretrained_model, "__wrapped__")
    plain = load_plain(plain_folder, "llava_qwen")
    assert registered.shape[1] == 3 + 4 + 2
    assert torch.equal(registered, plain)


@pytest.mark.real_host
def test_on_a_patched_host_a_plain_import_is_enough(sama_folder: Path) -> None:
    host = compat.find_host()
    assert host is not None
    if not (host.location / "plugins.py").is_file():
        pytest.skip("this LLaVA-NeXT is not patched (patches/README.md)")
    code = (
        "from llava.model.builder import load_pretrained_model as load;"
        "from sama_plugin.host.registration import is_registered;"
        "from llava.model import LlavaSamaQwenForCausalLM, LlavaSamaLlamaForCausalLM;"
        "print(is_registered(), hasattr(load, '__wrapped__'))"
    )
    command = [sys.executable, "-W", "error::UserWarning:llava.plugins", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["True True"], done.stderr


@pytest.fixture(scope="module")
def tiny_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole SAMA checkpoint of the tiny preset, untrained."""
    was_registered = registration.is_registered()
    registration.register()
    from sama_plugin.config import SAM2_PRESETS
    from sama_plugin.grounding.sam2_model import build_sam2
    from sama_plugin.host.presets import save_tiny_start
    from sama_plugin.training.tiny_tokenizer import train_tiny_tokenizer

    folder = tmp_path_factory.mktemp("start") / "trying"
    tokenizer = train_tiny_tokenizer(["What does the red ball do?"], max_length=512)
    save_tiny_start(folder, tokenizer, build_sam2(SAM2_PRESETS["tiny"]), seed=0)
    if not was_registered:
        registration.unregister()
    return folder


def answer(model: Any) -> list[int]:
    """Greedy ids for a host-style prompt about a fixed clip."""
    import torch

    frames = torch.arange(5 * 3 * 128 * 128).reshape(5, 3, 128, 128) % 23 / 23
    ids = torch.tensor([[5, 6, -200, 7, 8, 9]])
    with torch.inference_mode():
        frames = frames.to(model.dtype)
        return model.generate(
            ids, images=[frames], modalities=["video"], max_new_tokens=4, do_sample=False
        ).tolist()


def test_sama_checkpoint_loads_and_answers_by_the_hosts_call(unregistered: None, tiny_start: Path) -> None:
    registration.register()
    load = host_builder().load_pretrained_model
    _, model, _, context_len = load(str(tiny_start), None, "mixtral", device_map="cpu", torch_dtype="float32")
    assert type(model).__name__ == "LlavaSamaQwenForCausalLM"
    assert context_len == model.config.max_position_embeddings
    assert len(answer(model)[0]) == 4


def test_loader_bound_before_registration_gives_the_same_model(unregistered: None, tiny_start: Path) -> None:
    import torch

    load_early = importlib.import_module(compat.find_host().package + ".model.builder").load_pretrained_model
    registration.register()
    load = host_builder().load_pretrained_model
    assert load is not load_early
    arguments = (str(tiny_start), None, "llava_qwen")
    options = {"torch_dtype": "bfloat16", "attn_implementation": "sdpa"}
    early, late = load_early(*arguments, **options)[1], load(*arguments, **options)[1]
    assert type(early) is type(late)
    assert early.sam2_head is not None
    for name, value in late.state_dict().items():
        assert torch.equal(early.state_dict()[name], value), name
