"""How tokens are chosen: settings that can be checked before anything heavy is imported."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sama_plugin.errors import PromptError


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
