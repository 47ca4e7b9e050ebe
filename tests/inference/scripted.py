"""Sessions whose answers are written beforehand: the model reads them token by token instead of its own choice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sama_plugin.inference import generation


def write_answers(monkeypatch: pytest.MonkeyPatch, tokenizer: Any, answers: list[str]) -> None:
    """Make the next answers be these; afterwards, choosing a token fails."""

    def tokens() -> Iterator[int]:
        for answer in answers:
            yield from tokenizer(answer, add_special_tokens=False).input_ids
            yield tokenizer.eos_token_id

    written = tokens()
    monkeypatch.setattr(generation, "_choose", lambda *_: next(written))
