from __future__ import annotations

from typing import Any

import torch


def test_host_has_the_same_llm_projector_and_tower(fresh_model: Any, loaded: Any) -> None:
    from sama_plugin.host.plain_model import plain_model

    plain = plain_model(fresh_model)
    assert type(plain).__name__ == "LlavaQwenForCausalLM"
    ours = loaded.model.state_dict()
    shared = {k: v for k, v in plain.state_dict().items() if k in ours}
    assert all(torch.equal(value, ours[key]) for key, value in shared.items())
    own = {key.split(".")[1] for key in shared if key.startswith("model.")}
    assert own >= {"layers", "embed_tokens", "norm", "mm_projector", "vision_tower"}
    assert not any("aggregator" in key or "region" in key or "seg" in key for key in plain.state_dict())
