from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sama_plugin.errors import PromptError
from sama_plugin.inference.generation import Decoding, GeneratedToken, generate_tokens
from sama_plugin.inference.prefix_cache import PrefixCache


@pytest.fixture
def talkative(fresh_model: Any) -> Any:
    """The tiny model with larger weights in the LLM, so that its choices differ from step to step."""
    torch.manual_seed(3)
    for layer in fresh_model.model.layers:
        for parameter in layer.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return fresh_model


def prompt_embeds(model: Any) -> torch.Tensor:
    return model.get_model().embed_tokens(torch.arange(20, 32)[None])


def generate(
    model: Any, *, seed: int = 0, stop: set[int] = frozenset(), **decoding: Any
) -> list[GeneratedToken]:
    settings = Decoding(**{"max_new_tokens": 8} | decoding)
    generator = torch.Generator().manual_seed(seed)
    steps = generate_tokens(
        model,
        PrefixCache(model),
        [prompt_embeds(model)[0]],
        decodings=[settings],
        stop_ids=set(stop),
        generators=[generator],
    )
    return [token for (token,) in steps if token is not None]


def test_greedy_with_cache_equals_the_whole_forward(talkative: Any) -> None:
    tokens = generate(talkative)
    embed = talkative.get_model().embed_tokens
    whole = torch.cat([prompt_embeds(talkative), embed(torch.tensor([[t.token_id for t in tokens]]))], dim=1)
    with torch.no_grad():
        outputs = talkative(inputs_embeds=whole)
    assert len({t.token_id for t in tokens}) > 2
    assert [t.token_id for t in tokens] == outputs.logits[0, 11:-1].argmax(-1).tolist()
    states = torch.stack([t.hidden_state for t in tokens])
    # the enlarged weights enlarge rounding too
    torch.testing.assert_close(states, outputs.last_hidden_state[0, 12:], atol=1e-4, rtol=1e-4)


def answer_after(
    model: Any, seen: list[int] | None, *, stop: set[int], decoding: Decoding, seed: int
) -> tuple[list[GeneratedToken], PrefixCache]:
    cache = PrefixCache(model)
    steps = generate_tokens(
        model,
        cache,
        [prompt_embeds(model)[0]],
        decodings=[decoding],
        stop_ids=stop,
        generators=[torch.Generator().manual_seed(seed)],
        seen=seen,
    )
    return [token for (token,) in steps if token is not None], cache


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_reading_ahead_changes_nothing(talkative: Any, data: st.DataObject) -> None:
    decoding = Decoding(
        max_new_tokens=data.draw(st.integers(1, 12)), temperature=data.draw(st.sampled_from([0.0, 0.7]))
    )
    seed = data.draw(st.integers(0, 3))
    plain, _ = answer_after(talkative, None, stop=set(), decoding=decoding, seed=seed)
    ids = [token.token_id for token in plain]
    # What stood before: bits of the answer to come, of another, and of what is no token.
    bits = st.one_of(
        st.tuples(st.integers(0, len(ids)), st.integers(0, len(ids))).map(lambda ends: ids[slice(*ends)]),
        st.lists(st.integers(-3, 40), max_size=3),
    )
    seen = [i for bit in data.draw(st.lists(bits, max_size=6)) for i in bit]
    stop = set(data.draw(st.lists(st.sampled_from(ids), max_size=1)))
    plain, _ = answer_after(talkative, None, stop=stop, decoding=decoding, seed=seed)
    ahead, cache = answer_after(talkative, seen, stop=stop, decoding=decoding, seed=seed)
    assert [t.token_id for t in ahead] == [t.token_id for t in plain]
    for one, other in zip(ahead, plain, strict=True):
        torch.testing.assert_close(one.hidden_state, other.hidden_state, atol=1e-3, rtol=1e-3)
    assert cache.lengths == [12 + len(plain)]
    kept = cache.read(list(prompt_embeds(talkative)))
    whole = torch.cat([prompt_embeds(talkative)[0], embedded(talkative, plain), prompt_embeds(talkative)[0]])
    with torch.inference_mode():
        outputs = talkative(inputs_embeds=whole[None])
    torch.testing.assert_close(kept.hidden_states[0], outputs.last_hidden_state[0, -1], atol=1e-3, rtol=1e-3)


def embedded(model: Any, tokens: list[GeneratedToken]) -> torch.Tensor:
    ids = torch.tensor([token.token_id for token in tokens], dtype=torch.long)
    return model.get_model().embed_tokens(ids)


def test_an_answer_that_comes_again_is_read_in_few_steps(talkative: Any, monkeypatch: Any) -> None:
    decoding = Decoding(max_new_tokens=22)
    plain, _ = answer_after(talkative, None, stop=set(), decoding=decoding, seed=0)
    ids = [token.token_id for token in plain]
    lengths = []
    read_each = PrefixCache.read_each
    monkeypatch.setattr(
        PrefixCache, "read_each", lambda self, piece: lengths.append(len(piece)) or read_each(self, piece)
    )
    # The prompt ends as the one before that answer did.
    ahead, _ = answer_after(talkative, [7, *ids, 9, 7], stop=set(), decoding=decoding, seed=0)
    assert [token.token_id for token in ahead] == ids
    assert lengths == [11, 11]


def test_stop_token_ends_the_answer_and_is_not_part_of_it(talkative: Any) -> None:
    ids = [t.token_id for t in generate(talkative)]
    stop = ids[3]
    assert [t.token_id for t in generate(talkative, stop={stop})] == ids[: ids.index(stop)]


def test_answer_ends_at_its_longest(talkative: Any) -> None:
    assert len(generate(talkative, max_new_tokens=3)) == 3


def test_sampling_repeats_with_its_seed(talkative: Any) -> None:
    def ids(seed: int) -> list[int]:
        return [t.token_id for t in generate(talkative, seed=seed, temperature=1.5)]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


def test_narrow_nucleus_is_greedy(talkative: Any) -> None:
    greedy = [t.token_id for t in generate(talkative)]
    assert [t.token_id for t in generate(talkative, temperature=1.0, top_p=1e-6)] == greedy


def test_low_temperature_is_greedy(talkative: Any) -> None:
    greedy = [t.token_id for t in generate(talkative)]
    assert [t.token_id for t in generate(talkative, temperature=1e-4)] == greedy


@pytest.mark.parametrize(
    "settings", [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_new_tokens": 0}]
)
def test_impossible_decoding_is_refused(settings: dict[str, Any]) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(PromptError, match=rf"{name} {value}.*; expected temperature >= 0"):
        Decoding(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": None},
        {"max_new_tokens": 2.5},
        {"top_p": "much"},
    ],
)
def test_numbers_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(PromptError, match="Decoding got"):
        Decoding(**settings)


def test_whole_and_tiny_temperatures_sample(talkative: Any) -> None:
    assert Decoding(temperature=1, max_new_tokens=3.0) == Decoding(1.0, 1.0, 3)
    greedy = [t.token_id for t in generate(talkative)]
    assert [t.token_id for t in generate(talkative, temperature=1e-40)] == greedy
    assert len(generate(talkative, temperature=1)) == 8


def test_rows_of_a_batch_are_answered_as_each_alone(talkative: Any) -> None:
    embed = talkative.get_model().embed_tokens
    prompts = [embed(torch.arange(20, 20 + length)) for length in (12, 3, 7)]
    longest = (6, 3, 8)

    def answer(rows: list[int], cache: PrefixCache) -> dict[int, list[GeneratedToken]]:
        given: dict[int, list[GeneratedToken]] = {row: [] for row in rows}
        steps = generate_tokens(
            talkative,
            cache,
            [prompts[row] for row in rows],
            decodings=[Decoding(max_new_tokens=longest[row], temperature=0.7 * (row == 2)) for row in rows],
            stop_ids=set(),
            generators=[torch.Generator().manual_seed(row) for row in rows],
        )
        for step in steps:
            for row, token in zip(rows, step, strict=True):
                if token is not None:
                    given[row].append(token)
        return given

    cache = PrefixCache(talkative, 3)
    together = answer([0, 1, 2], cache)
    assert cache.lengths == [18, 6, 15]
    for row in range(3):
        (alone,) = answer([row], PrefixCache(talkative)).values()
        assert [t.token_id for t in together[row]] == [t.token_id for t in alone]
        states = (torch.stack([t.hidden_state for t in tokens]) for tokens in (together[row], alone))
        torch.testing.assert_close(*states, atol=1e-4, rtol=1e-4)
