"""One folder that loads alone: what is in it, writing it so that a kill leaves the old one, checking it before loading.

config.json, tokenizer files, *.safetensors (LLM + mm_projector), sam2/model.safetensors, vision_tower/
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from sama_plugin.errors import CheckpointError
from sama_plugin.grounding.sam2_model import save_sam2
from sama_plugin.host.vision_tower import TOWER_FOLDER

SAM2_FOLDER = "sam2"
INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
TOWER_KEY = "vision_tower."


def resolve_folder(model_path: str) -> Path:
    """A local folder as it is, a hub id as its downloaded (or cached) snapshot.

    Raises:
        CheckpointError: neither a folder nor a repository that can be had.
    """
    folder = Path(model_path).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or model_path.startswith((".", "~")) or model_path.count("/") != 1:
        raise CheckpointError(
            f"Checkpoint folder {model_path} does not exist; give a folder or a hub id `owner/name`."
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model_path))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"'{model_path}' is no folder, and no hub repository could be had: {error}"
        ) from error


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


@contextmanager
def folder_transaction(folder: Path) -> Iterator[Path]:
    """Write files into a temporary folder inside `folder`, then move each into place, `config.json` last.

    An interruption before the end leaves what was there. Weight files of an earlier save that this one does not
    write are removed, or an old index would go on naming old shards.

    Args:
        folder: where the files belong; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        yield staged
        files = sorted((p for p in staged.rglob("*") if p.is_file()), key=lambda p: p.name == "config.json")
        written = {file.relative_to(staged) for file in files}
        stale = [p for p in folder.glob("model*.safetensors*") if p.relative_to(folder) not in written]
        for file in files:
            target = folder / file.relative_to(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
        for file in stale:
            file.unlink()
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What safetensors says of a full disk, in our words.

    Raises:
        CheckpointError: the weights cannot be written.
    """
    try:
        yield
    except SafetensorError as error:
        raise CheckpointError(
            f"{folder} cannot be written: {error}; free the disk or choose another place."
        ) from error


class SamaCheckpointMixin:
    """`save_pretrained` for a SAMA model: LLM and projector, then SAM2 and a tuned or local tower in their folders."""

    sam2_head: Any
    config: Any
    get_vision_tower: Callable[[], Any]
    state_dict: Callable[[], dict[str, Tensor]]

    def save_pretrained(
        self,
        save_directory: str | Path,
        *args: Any,
        state_dict: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write everything but the tokenizer.

        Args:
            save_directory: checkpoint folder.
            *args: as the host's.
            state_dict: gathered weights, e.g. from DeepSpeed; default: the model's own.
            **kwargs: as the host's.

        Raises:
            CheckpointError: the disk refuses; what was there stays.
        """
        if kwargs.get("is_main_process") is False:
            return
        weights = self.state_dict() if state_dict is None else state_dict
        tower = self.get_vision_tower()
        is_tuned = any(parameter.requires_grad for parameter in tower.parameters())
        keeps_tower = tower.is_loaded and (is_tuned or Path(tower.vision_tower_name).is_dir())
        with folder_transaction(Path(save_directory)) as staged, _told(Path(save_directory)):
            if keeps_tower:
                self.config.mm_vision_tower = TOWER_FOLDER
                inner = {k.split(TOWER_KEY * 2, 1)[1]: v for k, v in weights.items() if TOWER_KEY * 2 in k}
                tower.vision_tower.save_pretrained(staged / TOWER_FOLDER, state_dict=inner or None)
                if hasattr(tower.image_processor, "save_pretrained"):  # not the host's SigLIP one
                    tower.image_processor.save_pretrained(staged / TOWER_FOLDER)
            if self.sam2_head is not None:
                save_sam2(self.sam2_head.sam2, staged / SAM2_FOLDER)
            own = {k: v for k, v in weights.items() if TOWER_KEY not in k}
            PreTrainedModel.save_pretrained(self, staged, *args, state_dict=own, **kwargs)
