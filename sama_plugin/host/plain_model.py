"""The host's own `llava_qwen` on parts of a SAMA model, to compare with."""

from __future__ import annotations

from typing import Any

from llava.model.language_model.llava_qwen import LlavaQwenConfig, LlavaQwenForCausalLM
from torch import nn


def plain_model(model: Any) -> Any:
    """LLM, base projector and tower of a SAMA model on Qwen2, which gives them up, with the host's video recipe.

    Args:
        model: a SAMA model; not to be used afterwards.
    """
    own = model.config.to_dict()
    fields = {key: value for key, value in own.items() if not key.startswith(("mm_", "sama", "model_type"))}
    plain = LlavaQwenForCausalLM(LlavaQwenConfig(**fields))
    plain.config.mm_patch_merge_type = "flat"
    plain.config.mm_spatial_pool_mode = "bilinear"
    plain.config.mm_spatial_pool_stride = 2
    plain.config.tokenizer_padding_side = "right"
    inner, ours = plain.get_model(), model.get_model()
    inner.load_state_dict({k: v for k, v in ours.state_dict().items() if k in inner.state_dict()})
    plain.lm_head = model.lm_head
    inner.vision_tower = model.get_vision_tower()
    inner.mm_projector = nn.Sequential(
        *(model.projector.get_submodule(name) for name in model.projector.base_names)
    )
    return plain.to(model.device)
