"""Token by token: next token by greedy choice or sampling, and the hidden state of every token that was read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from sama_plugin.errors import PromptError

LEAST_TEMPERATURE = 1e-5
"""Below it sampling is greedy; logits divided by less would overflow."""


@dataclass(frozen=True)
class Decoding:
    """How the next token is chosen.

    Attributes:
        temperature: 0 is greedy.
        top_p: nucleus; 1 keeps all.
        max_new_tokens: the answer ends there at the latest.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        try:
            temperature, top_p, longest = float(self.temperature), float(self.top_p), int(self.max_new_tokens)
            fits = 0 <= temperature < math.inf and 0 < top_p <= 1 and longest == self.max_new_tokens >= 1
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise PromptError(
                f"Decoding got temperature {self.temperature}, top_p {self.top_p}, max_new_tokens "
                f"{self.max_new_tokens}; expected temperature >= 0, 0 < top_p <= 1, whole max_new_tokens >= 1."
            )
        for name, value in (("temperature", temperature), ("top_p", top_p), ("max_new_tokens", longest)):
            object.__setattr__(self, name, value)


class GeneratedToken(NamedTuple):
    """One token of the answer.

    Attributes:
        token_id: its id.
        hidden_state: (N,) float; last layer at this token's own position, as `[SEG]` is read in training.
    """

    token_id: int
    hidden_state: Tensor


@torch.no_grad()
def generate_tokens(
    model: Any,
    inputs_embeds: Tensor,
    *,
    decoding: Decoding,
    stop_ids: set[int],
    generator: torch.Generator,
) -> Iterator[GeneratedToken]:
    """Write an answer after a prompt.

    Each token is fed back before it is given out, so its hidden state is there even for the last one.

    Args:
        model: a SAMA model.
        inputs_embeds: (1, L, N) float; the whole conversation so far.
        decoding: how to choose.
        stop_ids: tokens that end the answer; not given out.
        generator: of the sampling, on the CPU.

    Yields:
        Tokens of the answer, at most `max_new_tokens`.
    """
    cache = DynamicCache()
    outputs = model(inputs_embeds=inputs_embeds, past_key_values=cache, use_cache=True, logits_to_keep=1)
    warpers = _warpers(decoding)
    for _ in range(decoding.max_new_tokens):
        token_id = _choose(outputs.logits[:, -1].float(), warpers, generator)
        if token_id in stop_ids:
            return
        step = torch.tensor([[token_id]], device=inputs_embeds.device)
        outputs = model(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1)
        yield GeneratedToken(token_id, outputs.last_hidden_state[0, -1])


def _warpers(decoding: Decoding) -> LogitsProcessorList | None:
    """None for greedy."""
    if decoding.temperature < LEAST_TEMPERATURE:
        return None
    warpers = LogitsProcessorList([TemperatureLogitsWarper(decoding.temperature)])
    if decoding.top_p < 1:
        warpers.append(TopPLogitsWarper(decoding.top_p))
    return warpers


def _choose(logits: Tensor, warpers: LogitsProcessorList | None, generator: torch.Generator) -> int:
    if warpers is None:
        return int(logits.argmax(-1))
    probabilities = warpers(None, logits).softmax(-1).cpu()
    return int(torch.multinomial(probabilities, 1, generator=generator))
