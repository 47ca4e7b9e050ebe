"""A plain LLaVA-NeXT checkpoint (LLaVA-Video, LLaVA-OneVision, ...) that answers in text: no regions, no masks.

Loaded and prompted by the host's own functions, so that what it says is what the host says.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sama_plugin.errors import CheckpointError, HostError, PromptError
from sama_plugin.host.checkpoint import read_config_json
from sama_plugin.host.compat import quiet_host_import
from sama_plugin.host.hub import resolve_folder
from sama_plugin.host.loading import one_device

logger = logging.getLogger(__name__)

TEMPLATES = {"llava_qwen": "qwen_1_5", "llava_llama": "vicuna_v1", "llava_mistral": "mistral_instruct"}
"""`model_type`, by whose name the host's loader takes the right class, → its conversation template.

LLaVA-OneVision and LLaVA-Video are `llava_qwen`.
"""

POOLING = {"mm_spatial_pool_mode": "bilinear", "mm_spatial_pool_stride": 2}
"""Of video frames, where the config has none; what LLaVA-OneVision and LLaVA-Video were trained with."""

IMAGE_TOKEN = "<image>"


class PlainChat:
    """A loaded plain model.

    Args:
        model: checkpoint folder or hub id.
        device: auto, cpu, cuda or cuda:N. On the CPU it computes in float32, else in float16.
        template: of the host; None goes by the model's type.

    Attributes:
        folder: that it was loaded from.
        template: in use.

    Raises:
        CheckpointError: no such folder, a SAMA one, or one the host cannot load.
        HostError: no such device or template.
    """

    def __init__(self, model: str, *, device: str = "auto", template: str | None = None) -> None:
        self.folder = resolve_folder(model)
        model_type = str(read_config_json(self.folder).get("model_type"))
        if model_type not in TEMPLATES:
            raise CheckpointError(
                f"{self.folder}/config.json has model_type '{model_type}', expected a plain LLaVA-NeXT model: "
                f"{', '.join(TEMPLATES)}."
            )
        self.template = template or TEMPLATES[model_type]
        with quiet_host_import():
            self._conversation = importlib.import_module("llava.conversation")
            self._mm = importlib.import_module("llava.mm_utils")
        if self.template not in self._conversation.conv_templates:
            known = ", ".join(sorted(self._conversation.conv_templates))
            raise HostError(f"The host has no conversation template '{self.template}'; it has {known}.")
        self.tokenizer, self.model, self.image_processor = self._load(model_type, device)

    def _load(self, name: str, device: str) -> tuple[Any, Any, Any]:
        on_cpu = one_device(device) == "cpu"
        builder = importlib.import_module("llava.model.builder")
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                # The loader sends the tower to CUDA unless the map is "auto", and takes no float32.
                tokenizer, model, image_processor, _ = builder.load_pretrained_model(
                    str(self.folder),
                    None,
                    name,
                    device_map="auto" if on_cpu else device,
                    torch_dtype="bfloat16" if on_cpu else "float16",
                    attn_implementation="sdpa",
                )
        except Exception as error:  # the host raises many kinds
            raise CheckpointError(
                f"The host cannot load {self.folder} ({type(error).__name__}: {error}); is the folder whole, and its "
                "vision tower at hand?"
            ) from error
        for line in said.getvalue().splitlines():
            logger.info("host: %s", line)
        for key, value in POOLING.items():
            if getattr(model.config, key, None) is None:
                setattr(model.config, key, value)
        return tokenizer, (model.float() if on_cpu else model).eval(), image_processor

    @torch.no_grad()
    def answer(
        self, frames: np.ndarray, turns: Sequence[tuple[str, str | None]], *, max_new_tokens: int = 256
    ) -> str:
        """Say what comes next in a conversation about a video, greedily.

        Args:
            frames: (T, H, W, 3) uint8 RGB, in order of time.
            turns: questions with their answers; the last one's is None.
            max_new_tokens: longest answer.

        Raises:
            PromptError: a question with the host's image token in it, or no frames.
        """
        if not len(frames) or any(IMAGE_TOKEN in question for question, _ in turns):
            raise PromptError(f"A plain model needs frames, and questions without {IMAGE_TOKEN}.")
        pixels = self.image_processor.preprocess(frames, return_tensors="pt")["pixel_values"]
        input_ids = self._mm.tokenizer_image_token(
            self.prompt(turns), self.tokenizer, self._image_index(), return_tensors="pt"
        )[None].to(self.model.device)
        padding = self.tokenizer.pad_token_id
        made = self.model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            images=[pixels.to(self.model.device, self.model.dtype)],
            modalities=["video"],
            do_sample=False,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.tokenizer.eos_token_id if padding is None else padding,
        )
        return self.tokenizer.batch_decode(made, skip_special_tokens=True)[0].strip()  # type: ignore[no-any-return]

    def prompt(self, turns: Sequence[tuple[str, str | None]]) -> str:
        """The conversation in the host's template, the video before the first question."""
        conversation = self._conversation.conv_templates[self.template].copy()
        for number, (question, answer) in enumerate(turns):
            shown = f"{IMAGE_TOKEN}\n{question}" if number == 0 else question
            conversation.append_message(conversation.roles[0], shown)
            conversation.append_message(conversation.roles[1], answer)
        return conversation.get_prompt()  # type: ignore[no-any-return]

    @staticmethod
    def _image_index() -> int:
        return int(importlib.import_module("llava.constants").IMAGE_TOKEN_INDEX)
