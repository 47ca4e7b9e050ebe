"""`sama convert`: a host checkpoint becomes the start of a SAMA training; a SAMA folder is merged, cast and sharded."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from sama_plugin.config import SAM2_PRESETS, SamaConfig
from sama_plugin.constants import SEG_TOKEN
from sama_plugin.errors import CheckpointError, DataError
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.grounding.sam2_model import load_published
from sama_plugin.host.checkpoint import TOWER_KEY, read_config_json, stored_shapes, weight_files
from sama_plugin.host.parts import load_tokenizer
from sama_plugin.host.sama_llava import CLASSES, build_projector
from sama_plugin.host.vision_tower import load_tower
from sama_plugin.modeling.projector import PROJECTOR_PREFIX
from sama_plugin.prompting.tokenization import add_sama_tokens

logger = logging.getLogger(__name__)

SAMA_TYPES = {
    "llava_qwen": "llava_sama_qwen",
    "llava_llama": "llava_sama_llama",
    "llava": "llava_sama_llama",
}
"""model_type of the host → ours."""

TEMPLATES = {"llava_sama_qwen": "sama_qwen_1_5", "llava_sama_llama": "sama_llava_llama_3"}
NOT_USED = ("image_newline",)
"""Weights of the host that SAMA has no place for."""


def start_from_host(
    folder: Path,
    sam2: Path | None,
    *,
    sam2_size: str = "sam2.1_hiera_large",
    tower: str | None = None,
    sama: SamaConfig | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[Any, Any]:
    """Make an untrained SAMA model around a trained LLaVA model.

    LLM, base projector and a tuned tower are the host's; SAMA's parts are fresh, the fine-tuned mask decoder a copy of
    SAM2's, the rows of new tokens the mean of the others.

    Args:
        folder: a `llava_qwen` or `llava_llama` checkpoint, such as LLaVA-OneVision or LLaVA-Video.
        sam2: a published `sam2.1_hiera_*.pt`; None makes a model without SAM2 (`head` must then not be `sam2`).
        sam2_size: its key in `SAM2_PRESETS`.
        tower: folder or hub id of the vision tower, in place of the one the checkpoint names.
        sama: settings; the full-size defaults if None.
        dtype: of the weights.
        seed: of the fresh weights.

    Returns:
        (tokenizer, model).

    Raises:
        CheckpointError: another model's folder, or weights that are missing or of another shape.
        DataError: an unknown SAM2 size, or SAM2 weights missing or spare for the head that is asked for.
    """
    values = read_config_json(folder)
    model_type = SAMA_TYPES.get(values.get("model_type", ""))
    if model_type is None:
        found = values.get("model_type")
        raise CheckpointError(
            f"{folder}/config.json has model_type '{found}', expected one of {', '.join(SAMA_TYPES)}."
        )
    if sam2_size not in SAM2_PRESETS:
        raise DataError(f"SAM2 size is '{sam2_size}', expected one of {', '.join(SAM2_PRESETS)}.")
    settings = replace(sama or SamaConfig(), sam2=SAM2_PRESETS[sam2_size], template=TEMPLATES[model_type])
    if (settings.grounding.head == "sam2") != (sam2 is not None):
        raise DataError(
            f"The grounding head is '{settings.grounding.head}' and SAM2's weights are {sam2 or 'not given'}; the head "
            "'sam2' needs a published sam2.1_hiera_*.pt (--sam2), the others take none."
        )
    config_cls, model_cls = CLASSES[model_type]
    kept = {key: value for key, value in values.items() if key not in ("model_type", "architectures")}
    config = config_cls(
        **kept
        | {
            "mm_projector_type": PROJECTOR_PREFIX + values.get("mm_projector_type", "linear"),
            "mm_patch_merge_type": "flat",
            "mm_vision_tower": tower or values.get("mm_vision_tower"),
            "sama": settings.to_dict(),
        }
    )
    config._name_or_path = str(folder)
    torch.manual_seed(seed)
    projector = build_projector(config)  # torch's own initialisation; the LLM's would leave queries unset
    added = projector.added_names()
    _check_host_weights(folder, model_cls, config, {f"model.mm_projector.{name}" for name in added})
    model: Any = model_cls.read_llm(folder, config=config, torch_dtype=dtype)  # type: ignore[attr-defined]
    trained = {name: value for name, value in model.projector.state_dict().items() if name not in added}
    projector.load_state_dict(trained, strict=False)
    model.get_model().mm_projector = projector.to(dtype)
    _load_tuned_tower(model, folder)
    if sam2 is not None:
        model.sam2_head = Sam2Head(load_published(sam2, settings.sam2), settings.grounding)
        model.projector.seg_decoder.load_state_dict(model.sam2_head.sam2.sam_mask_decoder.state_dict())
    model.tokenizer = load_tokenizer(folder)
    _add_tokens(model, model.tokenizer)
    return model.tokenizer, model.eval()


def _check_host_weights(folder: Path, model_cls: Any, config: Any, fresh: set[str]) -> None:
    """Every weight that is not SAMA's own has to be there: what is missing would be random.

    Raises:
        CheckpointError: names the first missing, spare or misshapen keys.
    """
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in model_cls(config).state_dict().items()}
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    stored = stored_shapes(folder)
    missing = [
        k for k in wanted if TOWER_KEY not in k and k not in stored and k not in fresh and k not in tied
    ]
    spare = [k for k in stored if TOWER_KEY not in k and k not in wanted and not k.endswith(NOT_USED)]
    other = [k for k in stored if k in wanted and TOWER_KEY not in k and stored[k] != wanted[k]]
    for what, keys in (("missing", missing), ("spare", spare), ("of another shape", other)):
        if keys:
            raise CheckpointError(
                f"{folder}: {len(keys)} weights are {what} for its config.json: {', '.join(sorted(keys)[:5])}; copy "
                "it again."
            )


def _load_tuned_tower(model: Any, folder: Path) -> None:
    """The tower as published, then the host's own weights for it where training changed them."""
    tower = model.get_vision_tower()
    load_tower(tower)
    tuned = _read_tensors(folder, TOWER_KEY * 2)
    if tuned:
        own = tower.vision_tower.state_dict()
        spare = [key for key in tuned if key not in own and not key.endswith("position_ids")]
        if spare:
            raise CheckpointError(
                f"{folder}: the tower has no weights {', '.join(spare[:5])}; name it with --tower."
            )
        tower.vision_tower.load_state_dict(own | {key: value for key, value in tuned.items() if key in own})
        tower.requires_grad_(True)  # so that it is saved in the folder
    tower.to(model.dtype)


def _read_tensors(folder: Path, key: str) -> dict[str, Tensor]:
    """Stored tensors whose name has `key`, by what comes after it."""
    found = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                if key in name:
                    found[name.split(key, 1)[1]] = tensors.get_tensor(name)
    return found


@torch.no_grad()
def _add_tokens(model: Any, tokenizer: Any) -> None:
    """SAMA's tokens, each starting as the mean of all others."""
    known = len(tokenizer)
    add_sama_tokens(tokenizer)
    if len(tokenizer) > model.config.vocab_size:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for rows in (model.get_input_embeddings().weight, model.lm_head.weight):
        rows[known : len(tokenizer)] = rows[:known].float().mean(dim=0).to(rows.dtype)
    model.config.seg_token_id = tokenizer.convert_tokens_to_ids(SEG_TOKEN)
