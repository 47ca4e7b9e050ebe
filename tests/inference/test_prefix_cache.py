from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sama_plugin.inference.prefix_cache import PrefixCache
from tests.conftest import LoadedCheckpoint


def last_state(model: Any, tokens: Tensor) -> Tensor:
    """(N,) hidden state at the end of a sequence that is read at once."""
    state: Tensor = model(inputs_embeds=tokens[None]).last_hidden_state[0, -1]
    return state


@pytest.fixture(scope="module")
def words(loaded: LoadedCheckpoint) -> Tensor:
    return loaded.model.get_model().embed_tokens(torch.arange(40, 340)).detach()


@torch.no_grad()
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_read_in_pieces_and_cropped_is_what_is_read_at_once(
    loaded: LoadedCheckpoint, words: Tensor, data: st.DataObject
) -> None:
    rows = data.draw(st.integers(1, 3))
    cache = PrefixCache(loaded.model, rows)
    read = [words[:0] for _ in range(rows)]
    for _ in range(data.draw(st.integers(1, 5))):
        for row in range(rows):
            length = data.draw(st.integers(0, len(read[row]) + 2))
            cache.crop(row, length)
            read[row] = read[row][:length]
        assert cache.lengths == [len(tokens) for tokens in read]
        pieces = []
        for row in range(rows):
            least = 1 if row == rows - 1 and not any(map(len, pieces)) else 0
            start, length = data.draw(st.integers(0, 200)), data.draw(st.integers(least, 9))
            pieces.append(words[start : start + length])
        last = cache.read(pieces)
        read = [torch.cat(pair) for pair in zip(read, pieces, strict=True)]
        for row, piece in enumerate(pieces):
            if len(piece):
                wanted = last_state(loaded.model, read[row])
                torch.testing.assert_close(last.hidden_states[row], wanted, atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(
                    last.logits[row], loaded.model.lm_head(wanted), atol=1e-4, rtol=1e-4
                )
        assert torch.isfinite(last.logits).all()


@torch.no_grad()
def test_a_row_alone_reads_without_a_mask(loaded: LoadedCheckpoint, words: Tensor) -> None:
    seen = []
    handle = loaded.model.register_forward_pre_hook(
        lambda _, __, inputs: seen.append(set(inputs)), with_kwargs=True
    )
    PrefixCache(loaded.model).read([words[:5]])
    handle.remove()
    assert seen == [{"inputs_embeds", "past_key_values", "use_cache", "logits_to_keep"}]
