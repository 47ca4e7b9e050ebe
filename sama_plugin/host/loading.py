"""`load_pretrained_model` for SAMA folders: same call and return as the host's, decided by `config.json`."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sama_plugin.config import SamaConfig
from sama_plugin.errors import CheckpointError, HostError
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.host.checkpoint import (
    check_loaded,
    compare_shapes,
    read_config,
    read_config_json,
)
from sama_plugin.host.hub import HUB_ARGUMENTS, resolve_folder
from sama_plugin.host.parts import read_sam2_head
from sama_plugin.host.sama_llava import CLASSES

logger = logging.getLogger(__name__)

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
BITS4_BLOCK = 64
"""Weights that share a scale in 4 bits; on the CPU bitsandbytes wants rows of whole blocks."""

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def load_sama_model(
    model_path: str,
    model_base: str | None = None,
    model_name: str | None = None,
    load_8bit: bool = False,
    load_4bit: bool = False,
    device_map: Any = "auto",
    torch_dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
    customized_config: Any = None,
    overwrite_config: dict[str, Any] | None = None,
    **kwargs: Any,
) -> tuple[Any, Any, Any, int]:
    """Load a SAMA checkpoint folder, offline if it is complete.

    Args:
        model_path: folder or hub id; its `config.json` says which class.
        model_base: base folder when `model_path` is a LoRA folder.
        model_name: taken for the host's sake; never decides anything.
        load_8bit: through bitsandbytes.
        load_4bit: through bitsandbytes.
        device_map: `auto`, `cpu`, `cuda`, `cuda:1` or a map; `auto` is the CPU where there is no CUDA.
        torch_dtype: `float32`, `float16`, `bfloat16` or a torch dtype; default float32 on CPU, float16 on CUDA.
        attn_implementation: `sdpa` (default), `eager` or `flash_attention_2`.
        customized_config: a config object to use instead of the folder's.
        overwrite_config: fields to change after reading.
        **kwargs: passed to `from_pretrained`; `revision`, `token`, `cache_dir` and so on are about a hub id.

    Returns:
        (tokenizer, model, image_processor, context_len), as the host's.

    Raises:
        CheckpointError: the folder is incomplete, damaged or of another kind.
        HostError: a dtype, device or attention this machine does not have.
    """
    kwargs.pop("multimodal", None)
    hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
    folder = resolve_folder(model_path, **hub)
    is_lora = (folder / "adapter_config.json").is_file()
    if model_base is not None and not is_lora:
        logger.warning(
            "model_base %s is not used: %s is a whole checkpoint, no LoRA folder.", model_base, folder
        )
    if is_lora:
        return _load_lora(
            folder,
            model_base,
            load_8bit=load_8bit,
            load_4bit=load_4bit,
            device_map=device_map,
            torch_dtype=torch_dtype,
            attn_implementation=attn_implementation,
            customized_config=customized_config,
            overwrite_config=overwrite_config,
            **{name: value for name, value in hub.items() if name not in ("revision", "subfolder")},
            **kwargs,
        )
    config_cls, model_cls = classes_of(folder)
    device_map = _device_map(device_map)
    on_cpu = device_map == {"": "cpu"}
    config = customized_config or read_config(folder, config_cls)
    for key, value in (overwrite_config or {}).items():
        setattr(config, key, value)
    logger.info("Loading %s from %s", model_cls.__name__, folder)
    model = model_cls.from_pretrained(
        folder,
        config=config,
        torch_dtype=_dtype(torch_dtype, on_cpu),
        attn_implementation=_attention(attn_implementation),
        device_map=device_map,
        **_quantization(load_8bit, load_4bit, config, on_cpu),
        **kwargs,
    )
    return model.tokenizer, model, model.get_vision_tower().image_processor, model.context_length


def load_sam2_head(folder: Path, device: str = "auto") -> Sam2Head:
    """SAM2 of a checkpoint folder alone, without its LLM.

    Args:
        folder: of a SAMA checkpoint.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        CheckpointError: another model's folder, one without SAM2, or damaged weights.
        HostError: a device this machine does not have.
    """
    place = one_device(device)
    sama = SamaConfig.from_dict(read_config(folder, classes_of(folder)[0]).sama)
    if sama.grounding.head != "sam2":
        raise CheckpointError(f"{folder} has the mask head '{sama.grounding.head}', and no SAM2.")
    return read_sam2_head(folder, sama, place)


def classes_of(folder: Path) -> tuple[Any, Any]:
    """Config and model class of a SAMA folder, by its `model_type`.

    Raises:
        CheckpointError: another model's folder.
    """
    model_type = str(read_config_json(folder).get("model_type"))
    if model_type not in CLASSES:
        raise CheckpointError(
            f"{folder}/config.json has model_type '{model_type}', expected one of {', '.join(CLASSES)}; "
            "this is not a SAMA checkpoint."
        )
    return CLASSES[model_type]


def one_device(device: str) -> str:
    """The one device that `auto`, `cpu`, `cuda` or `cuda:N` means.

    Raises:
        HostError: this machine does not have it.
    """
    is_any_gpu = device == "auto" and torch.cuda.is_available()
    return str(_device_map("cuda:0" if is_any_gpu else device)[""])


def _device_map(device_map: Any) -> Any:
    device_map = str(device_map) if isinstance(device_map, torch.device) else device_map
    if isinstance(device_map, str) and device_map.startswith("cuda"):
        if not torch.cuda.is_available():
            raise HostError(
                f"device_map is '{device_map}' but this machine has no CUDA device; use 'cpu' or 'auto'."
            )
        count = torch.cuda.device_count()
        if (torch.device(device_map).index or 0) >= count:
            raise HostError(
                f"device_map is '{device_map}' but this machine has {count} CUDA devices, from 0."
            )
    if isinstance(device_map, str) and not (device_map in ("auto", "cpu") or device_map.startswith("cuda")):
        has_mps = device_map == "mps" and torch.backends.mps.is_available()
        if not has_mps:
            raise HostError(
                f"device_map is '{device_map}', expected auto, cpu or cuda:N (or mps where there is one)."
            )
    if device_map == "auto" and torch.cuda.device_count() > 1:
        return device_map
    if device_map in (None, "auto"):
        return {"": "cuda:0" if torch.cuda.is_available() else "cpu"}
    return {"": device_map} if isinstance(device_map, str) else device_map


def _dtype(torch_dtype: str | torch.dtype | None, on_cpu: bool) -> torch.dtype:
    if torch_dtype is None:
        return torch.float32 if on_cpu else torch.float16
    if isinstance(torch_dtype, torch.dtype):
        return torch_dtype
    if torch_dtype not in DTYPES:
        raise HostError(f"torch_dtype is '{torch_dtype}', expected one of {', '.join(DTYPES)}.")
    return DTYPES[torch_dtype]


def _attention(attn_implementation: str | None) -> str:
    if attn_implementation == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise HostError(
            "attn_implementation='flash_attention_2' needs flash-attn, which is not installed: "
            "`pip install sama-plugin[flash]`, or use 'sdpa'."
        )
    if attn_implementation not in (None, *ATTENTIONS):
        raise HostError(
            f"attn_implementation is '{attn_implementation}', expected one of {', '.join(ATTENTIONS)}."
        )
    return attn_implementation or "sdpa"


def _quantization(load_8bit: bool, load_4bit: bool, config: Any, on_cpu: bool) -> dict[str, Any]:
    if not (load_8bit or load_4bit):
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise HostError("4- and 8-bit loading need bitsandbytes: `pip install sama-plugin[quant]`.")
    widths = (config.hidden_size, config.intermediate_size)
    if load_4bit and on_cpu and any(width % BITS4_BLOCK for width in widths):
        raise HostError(
            f"4 bits on the CPU need an LLM whose widths are multiples of {BITS4_BLOCK}, this one has "
            f"{widths[0]} and {widths[1]}; load it with 8 bits or on a GPU."
        )
    from transformers import BitsAndBytesConfig

    skip = ["mm_projector", "vision_tower", "lm_head"]
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_8bit=load_8bit,
            load_in_4bit=load_4bit,
            llm_int8_skip_modules=skip,
            bnb_4bit_compute_dtype=torch.float16,
            bnb_4bit_quant_type="nf4",
        )
    }


def _load_lora(folder: Path, model_base: str | None, **settings: Any) -> tuple[Any, Any, Any, int]:
    """Base folder, then what LoRA training kept whole, then the adapter merged in."""
    if model_base is None:
        raise CheckpointError(
            f"{folder} is a LoRA folder; give its base checkpoint as model_base, or merge both first: sama convert "
            f"{folder} OUT --base BASE"
        )
    if importlib.util.find_spec("peft") is None:
        raise HostError("LoRA folders need peft: `pip install sama-plugin[train]`.")
    tokenizer, model, image_processor, context_len = load_sama_model(model_base, **settings)
    extra = _read_lora_part(folder, "non_lora_trainables")
    extra = {key.removeprefix("base_model.").removeprefix("model."): value for key, value in extra.items()}
    own = model.state_dict()
    spare = [key for key in extra if key not in own and f"model.{key}" not in own]
    if spare:
        raise CheckpointError(f"{folder}: keys that {model_base} does not have: {', '.join(spare[:5])}.")
    extra = {key if key in own else f"model.{key}": value for key, value in extra.items()}
    other = [key for key, value in extra.items() if value.shape != own[key].shape]
    if other:
        raise CheckpointError(
            f"{folder}: keys of another shape than in {model_base}: {', '.join(other[:5])}."
        )
    model.load_state_dict(extra, strict=False)
    merged = _merge_adapter(model, folder)
    merged.eval()
    check_loaded(merged, folder)
    return tokenizer, merged, image_processor, context_len


def _merge_adapter(model: Any, folder: Path) -> Any:
    """The model with a LoRA folder's adapter in its weights.

    Raises:
        CheckpointError: an adapter that is missing, damaged, or of another model.
    """
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    adapter = _read_lora_part(folder, "adapter_model")
    try:
        wrapped = get_peft_model(model, PeftConfig.from_pretrained(folder))
    except Exception as error:  # peft raises many kinds
        raise CheckpointError(
            f"{folder}/adapter_config.json cannot be used ({type(error).__name__}: {error}); copy it again."
        ) from error
    wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    stored, needed = ({k: tuple(v.shape) for k, v in part.items()} for part in (adapter, wanted))
    problems = compare_shapes(stored, needed)
    if problems:
        raise CheckpointError(
            f"The adapter in {folder} does not fit its base and adapter_config.json: {problems}; copy it again, or "
            "give the base it was trained on."
        )
    set_peft_model_state_dict(wrapped, adapter)
    return wrapped.merge_and_unload()


def _read_lora_part(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """Tensors of a file of a LoRA folder, in either form.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    safe, pickled = folder / f"{name}.safetensors", folder / f"{name}.bin"
    path = safe if safe.is_file() or not pickled.is_file() else pickled
    if not path.is_file():
        raise CheckpointError(f"LoRA folder {folder} lacks {safe.name} (and {pickled.name}); copy it again.")
    try:
        tensors: dict[str, torch.Tensor] = (
            load_file(path) if path is safe else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # safetensors, pickle and torch raise many kinds
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); copy it again."
        ) from error
    return tensors
