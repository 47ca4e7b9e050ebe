"""One folder that loads alone: what is in it, and checking it before anything is loaded.

config.json, tokenizer files, *.safetensors (LLM + mm_projector), sam2/model.safetensors, vision_tower/, and for others
preprocessor_config.json and README.md. `pretrained.py` writes it, `parts.py` reads what is not the LLM's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import safe_open
from torch import nn

from sama_plugin.config import SamaConfig
from sama_plugin.errors import CheckpointError, SamaError

SAM2_FOLDER = "sam2"
INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
TOWER_KEY = "vision_tower."


def read_config_json(folder: Path) -> dict[str, Any]:
    """Contents of `config.json`.

    Raises:
        CheckpointError: missing or not JSON.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise CheckpointError(f"Checkpoint folder {folder} has no config.json; copy the whole folder again.")
    return _read_object(file)


def _read_object(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not even text
        raise CheckpointError(f"{file} is not valid JSON ({error}); copy it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{file} holds a {type(content).__name__}, expected an object; copy it again.")
    return content


def read_config(folder: Path, config_cls: Any) -> Any:
    """The folder's config.

    Raises:
        CheckpointError: a value that the class does not take.
    """
    try:
        config = config_cls.from_pretrained(folder)
        SamaConfig.from_dict(config.sama, f"{folder}/config.json:sama")
    except SamaError:
        raise
    except Exception as error:  # transformers raises many kinds
        raise CheckpointError(
            f"{folder}/config.json cannot be used ({type(error).__name__}: {error}); copy it again."
        ) from error
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of the LLM and projector.

    Raises:
        CheckpointError: none, one that the index names is missing, or the index is damaged.
    """
    index = folder / INDEX_FILE
    names = [SINGLE_FILE]
    if index.is_file():
        weight_map = _read_object(index).get("weight_map")
        if not isinstance(weight_map, dict):
            raise CheckpointError(f"{index} has no weight_map; copy it again.")
        names = sorted(set(weight_map.values()))
    files = [folder / name for name in names]
    for file in files:
        if not file.is_file():
            unsafe = sorted(p.name for p in folder.glob("*.bin"))
            hint = f" (found {', '.join(unsafe)}, which is not read: save as safetensors)" if unsafe else ""
            raise CheckpointError(
                f"Checkpoint folder {folder} lacks {file.name}{hint}; copy the whole folder again."
            )
    return files


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Key → shape of every stored tensor, read from the headers alone.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder):
        try:
            with safe_open(file, framework="pt") as tensors:
                shapes |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        except Exception as error:
            raise CheckpointError(f"{file} cannot be read ({error}); copy it again.") from error
    return shapes


def check_weights(folder: Path, model: Any) -> None:
    """Compare stored tensors with what the model needs, before anything is loaded.

    Args:
        folder: checkpoint folder.
        model: built from the folder's config, on the meta device.

    Raises:
        CheckpointError: names the missing, spare or misshapen keys.
    """
    stored = {k: s for k, s in stored_shapes(folder).items() if TOWER_KEY not in k}
    tied = (
        set(getattr(model, "_tied_weights_keys", None) or []) if model.config.tie_word_embeddings else set()
    )
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items() if TOWER_KEY not in k}
    problems = compare_shapes(stored, wanted, optional=tied)
    if problems:
        raise CheckpointError(
            f"The weights in {folder} do not fit its config.json: {problems}. "
            "The folder mixes two checkpoints or was saved by an interrupted run; copy or save it again."
        )


def check_fit(folder: Path, config: Any, model_cls: Any) -> None:
    """Compare a folder's weights with its config, before anything is loaded: what is missing would be random.

    Raises:
        CheckpointError: a config that no model can be built from; names the missing, spare or misshapen keys.
    """
    try:
        with init_empty_weights():
            empty = model_cls(config)
    except SamaError:
        raise
    except Exception as error:  # torch and transformers raise many kinds for a value they cannot use
        raise CheckpointError(
            f"No model can be built from {folder}/config.json ({type(error).__name__}: {error}); copy it again."
        ) from error
    check_weights(folder, empty)


def compare_shapes(
    stored: Mapping[str, tuple[int, ...]],
    wanted: Mapping[str, tuple[int, ...]],
    optional: Set[str] = frozenset(),
) -> str:
    """What of stored tensors does not fit, counted, with the first names; empty where all does.

    Args:
        stored: key → shape.
        wanted: key → shape.
        optional: keys that may be missing.
    """
    missing = sorted(wanted.keys() - stored.keys() - optional)
    spare = sorted(stored.keys() - wanted.keys())
    other = sorted(
        f"{k}: {stored[k]} instead of {wanted[k]}"
        for k in wanted.keys() & stored.keys()
        if stored[k] != wanted[k]
    )
    return "; ".join(
        f"{len(keys)} {what} ({', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''})"
        for what, keys in (("missing", missing), ("spare", spare), ("of another shape", other))
        if keys
    )


def check_loaded(model: nn.Module, folder: Path) -> None:
    """Refuse tensors left on meta or holding NaN after loading.

    Raises:
        CheckpointError: names the first such tensors.
    """
    bad = [
        name
        for name, tensor in model.state_dict().items()
        if tensor.is_meta or (tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()))
    ]
    if bad:
        raise CheckpointError(
            f"After loading {folder}, these tensors are empty or not finite: {', '.join(bad[:5])}."
        )
