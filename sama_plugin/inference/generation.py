"""Token by token: next token by greedy choice or sampling, and the hidden state of every token that was read.

Several conversations are answered side by side, a row each. A conversation on its own is read ahead: what followed the
last two tokens when they stood in it before is read along with the last of them, and kept as far as it is what is
chosen then. So names and answers that come again are written in a few steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from sama_plugin.inference.decoding import Decoding
from sama_plugin.inference.prefix_cache import PrefixCache

LEAST_TEMPERATURE = 1e-5
"""Below it sampling is greedy; logits divided by less would overflow."""

MATCHED_TOKENS = 2
"""The last so many tokens have to have stood in the conversation before, for what followed them to be read along."""

MAX_GUESSES = 10
"""Tokens read along; a step takes little longer for them."""


class GeneratedToken(NamedTuple):
    """One token of the answer.

    Attributes:
        token_id: its id.
        hidden_state: (N,) float; last layer at this token's own position, as `[SEG]` is read in training.
    """

    token_id: int
    hidden_state: Tensor


@torch.inference_mode()
def generate_tokens(
    model: Any,
    cache: PrefixCache,
    prompts: list[Tensor],
    *,
    decodings: Sequence[Decoding],
    stop_ids: set[int],
    generators: Sequence[torch.Generator],
    seen: Sequence[int] | None = None,
) -> Iterator[list[GeneratedToken | None]]:
    """Write an answer after each prompt.

    Each token is fed back before it is given out, so its hidden state is there even for the last one, and the cache
    holds all that was given out; that of a single row may hold more until the end.

    Args:
        model: a SAMA model.
        cache: what was read before; of as many rows as there are prompts.
        prompts: list of (l, N) float; what the cache does not hold yet; of a row that rests, nothing.
        decodings: how to choose, of each row.
        stop_ids: tokens that end an answer; not given out.
        generators: of the sampling, on the CPU, of each row.
        seen: of a single row; token ids of its conversation to the end of its prompt, negative where something else
            than a token is read. Without them nothing is read ahead. With them the answer is the same up to rounding,
            which in bfloat16 or 8 bits may now and then choose another token.

    Yields:
        Per step a token of each row, None where the row has ended; at most `max_new_tokens` of each.

    Source of reading ahead: prompt lookup decoding, as `prompt_lookup_num_tokens` of `transformers`.
    """
    last = cache.read(prompts)
    embed = model.get_model().embed_tokens
    if seen is not None:
        (decoding,), (generator,) = decodings, generators
        yield from _read_ahead(embed, cache, last.logits[0], decoding, stop_ids, generator, list(seen))
        return
    silence = prompts[0][:0]
    warpers = [_warpers(decoding) for decoding in decodings]
    left = [
        decoding.max_new_tokens if len(prompt) else 0
        for decoding, prompt in zip(decodings, prompts, strict=True)
    ]
    while True:
        ids: list[int | None] = []
        for row, (logits, generator) in enumerate(zip(last.logits.float(), generators, strict=True)):
            token_id = _choose(logits[None], warpers[row], generator) if left[row] else None
            ids.append(None if token_id in stop_ids else token_id)
            left[row] = 0 if ids[row] is None else left[row] - 1
        if all(token_id is None for token_id in ids):
            return
        last = cache.read(
            [silence if i is None else embed(torch.tensor([i], device=silence.device)) for i in ids]
        )
        yield [
            None if i is None else GeneratedToken(i, state)
            for i, state in zip(ids, last.hidden_states, strict=True)
        ]


def _read_ahead(
    embed: Any,
    cache: PrefixCache,
    logits: Tensor,
    decoding: Decoding,
    stop_ids: set[int],
    generator: torch.Generator,
    seen: list[int],
) -> Iterator[list[GeneratedToken | None]]:
    """The answer of a single row, after logits (V,); `seen` grows with it."""
    warpers, left = _warpers(decoding), decoding.max_new_tokens
    chosen = _choose(logits[None].float(), warpers, generator)
    while chosen not in stop_ids:
        guesses = _follow([*seen, chosen], stop_ids, min(MAX_GUESSES, left - 1))
        ids = torch.tensor([chosen, *guesses], device=logits.device)
        read = cache.read_each(embed(ids))
        for place, state in enumerate(read.hidden_states):
            seen.append(chosen)
            left -= 1
            yield [GeneratedToken(chosen, state)]
            if not left:
                return
            chosen = _choose(read.logits[place, None].float(), warpers, generator)
            if guesses[place : place + 1] != [chosen]:
                cache.crop(0, cache.lengths[0] - len(guesses) + place)
                break


def _follow(seen: list[int], stop_ids: set[int], count: int) -> list[int]:
    """At most `count` tokens of an answer that followed when the last two stood before, the latest time."""
    last = seen[-MATCHED_TOKENS:]
    for end in range(len(seen) - 1, MATCHED_TOKENS - 1, -1) if count else ():
        if seen[end - MATCHED_TOKENS : end] == last:
            following = seen[end : end + count]
            return list(itertools.takewhile(lambda i: i >= 0 and i not in stop_ids, following))
    return []


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
