"""`from_pretrained`, `save_pretrained` and `push_to_hub` of a SAMA model: always the whole checkpoint folder.

Written so that a kill leaves what was there; read so that nothing is missing, spare or made up.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from sama_plugin.errors import CheckpointError
from sama_plugin.grounding.sam2_model import save_sam2
from sama_plugin.host.checkpoint import (
    SAM2_FOLDER,
    TOWER_KEY,
    check_fit,
    check_loaded,
    read_config,
)
from sama_plugin.host.hub import HUB_ARGUMENTS, resolve_folder, send_folder
from sama_plugin.host.model_card import CARD_FILE, card_text
from sama_plugin.host.parts import check_parts, load_parts
from sama_plugin.host.vision_tower import TOWER_FOLDER, save_image_processor

PROBE = ".mode"
"""An empty file for a moment, which tells what a new file may here."""


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
        (staged / PROBE).touch()
        mode = (staged / PROBE).stat().st_mode
        (staged / PROBE).unlink()
        yield staged
        files = sorted((p for p in staged.rglob("*") if p.is_file()), key=lambda p: p.name == "config.json")
        written = {file.relative_to(staged) for file in files}
        stale = [p for p in folder.glob("model*.safetensors*") if p.relative_to(folder) not in written]
        for file in files:
            target = folder / file.relative_to(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.chmod(mode)  # safetensors leaves its files to their owner alone
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
    """A checkpoint is one folder: LLM and projector, SAM2, tokenizer, and a tuned or local tower, each in its place."""

    sam2_head: Any
    tokenizer: Any = None
    """The one it was loaded or trained with; saved beside the weights."""

    config: Any
    is_quantized: bool
    get_vision_tower: Callable[[], Any]
    state_dict: Callable[[], dict[str, Tensor]]

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, *args: Any, config: Any = None, **kwargs: Any
    ) -> Any:
        """The whole model of a checkpoint folder, checked before and after; in eval mode.

        Args:
            pretrained_model_name_or_path: folder or hub id.
            *args: as of `transformers`.
            config: instead of the folder's.
            **kwargs: as of `transformers`; `revision`, `token`, `cache_dir` and so on hold for every part.

        Raises:
            CheckpointError: the folder is incomplete or damaged, or a LoRA folder.
        """
        if (kwargs.get("adapter_kwargs") or {}).get("_adapter_model_path"):
            raise CheckpointError(
                f"A LoRA folder on {pretrained_model_name_or_path} holds more than an adapter; load it by "
                "`load_pretrained_model(folder, base, ...)`, or merge both first: sama convert FOLDER OUT --base BASE"
            )
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        folder = resolve_folder(str(pretrained_model_name_or_path), **hub)
        if config is not None and not isinstance(config, PretrainedConfig):
            config = read_config(Path(config), cls.config_class)  # type: ignore[attr-defined]
        shape = config or read_config(folder, cls.config_class)  # type: ignore[attr-defined]
        shape._name_or_path = str(folder)
        check_fit(folder, shape, cls)
        loaded = cls.read_llm(folder, *args, config=config, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        load_parts(model, folder)
        check_loaded(model, folder)
        check_parts(folder, model)
        return loaded

    @classmethod
    def read_llm(cls, folder: Path, *args: Any, **kwargs: Any) -> Any:
        """LLM and projector alone, as `transformers` reads them: what is missing is made up."""
        return super().from_pretrained(folder, *args, **kwargs)  # type: ignore[misc]

    def save_pretrained(
        self,
        save_directory: str | Path,
        *args: Any,
        state_dict: dict[str, Tensor] | None = None,
        with_tower: bool = False,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write a folder that loads alone.

        A frozen tower that came from the hub stays there, and the folder names it, unless it is asked for. A model
        without a tokenizer, made from its parts, writes none.

        Args:
            save_directory: checkpoint folder.
            *args: as the host's.
            state_dict: gathered weights, e.g. from DeepSpeed; default: the model's own.
            with_tower: write the vision tower whatever it is, so that loading needs no hub.
            push_to_hub: not here.
            **kwargs: as the host's.

        Raises:
            CheckpointError: the disk refuses, and what was there stays; a quantised model.
        """
        if push_to_hub:
            raise CheckpointError(
                "A SAMA model goes to the hub by `model.push_to_hub(repo_id)`, which sends all of it."
            )
        if kwargs.get("is_main_process") is False:
            return
        if getattr(self, "is_quantized", False):
            raise CheckpointError(
                "A model in 4 or 8 bits cannot be saved; save it as it is loaded without `load_4bit` and `load_8bit`."
            )
        weights = self.state_dict() if state_dict is None else state_dict
        with folder_transaction(Path(save_directory)) as staged, _told(Path(save_directory)):
            self._save_tower(staged, weights, with_tower)
            if self.sam2_head is not None:
                save_sam2(self.sam2_head.sam2, staged / SAM2_FOLDER)
            if self.tokenizer is not None:
                self.tokenizer.save_pretrained(staged)
            own = {k: v for k, v in weights.items() if TOWER_KEY not in k}
            PreTrainedModel.save_pretrained(self, staged, *args, state_dict=own, **kwargs)

    def _save_tower(self, folder: Path, weights: dict[str, Tensor], is_wanted: bool) -> None:
        """A tower that is wanted, tuned or local, and of others what their pictures are made with."""
        tower = self.get_vision_tower()
        if not tower.is_loaded:
            return
        save_image_processor(tower, folder)
        is_tuned = any(parameter.requires_grad for parameter in tower.parameters())
        if is_wanted or is_tuned or Path(tower.vision_tower_name).is_dir():
            self.config.mm_vision_tower = TOWER_FOLDER
            inner = {k.split(TOWER_KEY * 2, 1)[1]: v for k, v in weights.items() if TOWER_KEY * 2 in k}
            tower.vision_tower.save_pretrained(folder / TOWER_FOLDER, state_dict=inner or None)
            save_image_processor(tower, folder / TOWER_FOLDER)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        card: str | Path | None = None,
        max_shard_size: int | str = "5GB",
        **settings: Any,
    ) -> Any:
        """Save the model to a folder for a while and send it to the hub, card included.

        Args:
            repo_id: `owner/name`.
            card: a README.md to send; one that `sama card` would write, without numbers, if None.
            max_shard_size: of one weight file.
            **settings: `commit_message`, `private`, `token`, `revision`, `create_pr` of `host.hub.send_folder`.

        Returns:
            `CommitInfo` of huggingface_hub.

        Raises:
            CheckpointError: no token, one that may not write, or a hub that cannot be reached.
        """
        with tempfile.TemporaryDirectory(prefix="sama-push-") as made:
            folder = Path(made)
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            text = card_text(folder, repo_id) if card is None else Path(card).read_text(encoding="utf-8")
            (folder / CARD_FILE).write_text(text, encoding="utf-8")
            return send_folder(folder, repo_id, **settings)
