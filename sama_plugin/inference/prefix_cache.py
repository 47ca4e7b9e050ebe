"""Keys and values of conversations that only grow: what was read once is never computed again."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache


class ReadTokens(NamedTuple):
    """What the LLM says at n tokens.

    Attributes:
        logits: (n, V) float; of what comes next.
        hidden_states: (n, N) float; last layer, after the final norm.
    """

    logits: Tensor
    hidden_states: Tensor


class PrefixCache:
    """The LLM's memory of B conversations, each at its own length.

    One row takes the host's plain causal way. Several rows are padded on the left of each piece that is read, so their
    memory has holes, which a mask hides and which count in no position.

    Args:
        model: a SAMA model.
        num_rows: B.

    Attributes:
        lengths: tokens read so far, of each row.
    """

    def __init__(self, model: Any, num_rows: int = 1) -> None:
        self._model = model
        self._cache = DynamicCache()
        self._holds = torch.zeros(num_rows, 0, dtype=torch.bool, device=model.device)  # False where a hole is
        self.lengths = [0] * num_rows

    def read(self, pieces: list[Tensor]) -> ReadTokens:
        """Read on.

        Args:
            pieces: list of B × (l, N) float; embedded tokens, none for a row that rests, some for one at least.

        Returns:
            At the last token of each row; of a row that read nothing, anything.
        """
        new = [len(piece) for piece in pieces]
        embeds = torch.stack([F.pad(piece, (0, 0, max(new) - len(piece), 0)) for piece in pieces])
        places = {} if len(pieces) == 1 else self._places(new, embeds)
        outputs = self._model(
            inputs_embeds=embeds, past_key_values=self._cache, use_cache=True, logits_to_keep=1, **places
        )
        self.lengths = [length + count for length, count in zip(self.lengths, new, strict=True)]
        return ReadTokens(outputs.logits[:, -1], outputs.last_hidden_state[:, -1])

    def read_each(self, piece: Tensor) -> ReadTokens:
        """Read on in a cache of one row, and hear at every token of (l, N) float what comes next."""
        (length,) = self.lengths
        outputs = self._model(inputs_embeds=piece[None], past_key_values=self._cache, use_cache=True)
        self.lengths = [length + len(piece)]
        return ReadTokens(outputs.logits[0], outputs.last_hidden_state[0])

    def crop(self, row: int, length: int) -> None:
        """Forget all but the first `length` tokens of a row."""
        if length >= self.lengths[row]:
            return
        self.lengths[row] = length
        if len(self.lengths) > 1:
            self._holds[row] &= self._holds[row].cumsum(0) <= length
        elif length:
            self._cache.crop(length)
        else:
            self._cache = DynamicCache()

    def _places(self, new: list[int], embeds: Tensor) -> dict[str, Tensor]:
        """Positions (B, m) long and the additive mask (B, 1, m, k + m) of a piece of m padded tokens."""
        longest, device = max(new), embeds.device
        steps = torch.arange(longest, device=device)
        offsets = torch.tensor([longest - count for count in new], device=device)[:, None]
        is_token = steps >= offsets
        positions = (torch.tensor(self.lengths, device=device)[:, None] + steps - offsets).clamp(min=0)
        before = self._holds[:, None].expand(-1, longest, -1)
        within = is_token[:, None] & (steps[:, None] >= steps[None])
        keep = torch.cat([before, within], dim=2)[:, None]
        # A finite value: a row of nothing but holes then gives numbers that nobody reads, not NaN.
        mask = torch.zeros(keep.shape, dtype=embeds.dtype, device=device)
        mask.masked_fill_(~keep, torch.finfo(embeds.dtype).min)
        self._holds = torch.cat([self._holds, is_token], dim=1)
        return {"position_ids": positions, "attention_mask": mask}
