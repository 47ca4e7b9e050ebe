from __future__ import annotations

import torch

from sama_plugin.modeling.context_aggregator import ContextAggregator
from tests.modeling.tiny_aggregator import HIDDEN, TINY_AGGREGATOR

PATCHES, MAX_FRAMES = 4, 8
SLOTS = [[[0, 1, 1, 0, 0], [0, 0, 0]], [[0, 1, 1]]]
"""Per clip and question: where region tokens stand."""


def make_aggregator() -> ContextAggregator:
    torch.manual_seed(0)
    return ContextAggregator(HIDDEN, TINY_AGGREGATOR, MAX_FRAMES).eval()


Inputs = tuple[
    list[torch.Tensor], list[list[torch.Tensor]], list[list[torch.Tensor]], list[list[torch.Tensor]]
]


def make_inputs() -> Inputs:
    """Features of clips; per clip and question embeddings, slots of regions, and their tokens."""
    torch.manual_seed(1)
    features = [torch.randn(7, PATCHES, HIDDEN), torch.randn(2, PATCHES, HIDDEN)]
    embeds = [[torch.randn(len(slots), HIDDEN) for slots in clip] for clip in SLOTS]
    slots = [[torch.tensor(s).bool() for s in clip] for clip in SLOTS]
    tokens = [[torch.randn(sum(s), 12) for s in clip] for clip in SLOTS]
    return features, embeds, slots, tokens


def run(
    aggregator: ContextAggregator,
    features: list[torch.Tensor],
    embeds: list[list[torch.Tensor]],
    slots: list[list[torch.Tensor]],
    tokens: list[list[torch.Tensor]],
) -> list[torch.Tensor]:
    text, is_region, region_tokens = (
        torch.cat([part for clip in column for part in clip]) for column in (embeds, slots, tokens)
    )
    lengths = [len(embed) for clip in embeds for embed in clip]
    owner = [clip for clip, own in enumerate(embeds) for _ in own]
    return aggregator(features, text, is_region, region_tokens, lengths, owner)


def test_one_token_per_frame_and_question() -> None:
    context = run(make_aggregator(), *make_inputs())
    assert [tuple(c.shape) for c in context] == [(2, 7, HIDDEN), (1, 2, HIDDEN)]


def test_clip_alone_equals_clip_in_a_batch() -> None:
    aggregator, inputs = make_aggregator(), make_inputs()
    together = run(aggregator, *inputs)
    for clip in range(2):
        (alone,) = run(aggregator, *[column[clip : clip + 1] for column in inputs])
        torch.testing.assert_close(alone, together[clip], atol=1e-5, rtol=1e-5)


def test_region_reaches_its_own_question_only() -> None:
    aggregator, inputs = make_aggregator(), make_inputs()
    before = run(aggregator, *inputs)
    inputs[3][0][0] = -inputs[3][0][0]
    after = run(aggregator, *inputs)
    assert not torch.allclose(before[0][0], after[0][0], atol=1e-4)
    torch.testing.assert_close(before[0][1], after[0][1], atol=1e-6, rtol=0)
    torch.testing.assert_close(before[1], after[1], atol=1e-6, rtol=0)


def test_word_under_a_region_slot_does_not_count() -> None:
    aggregator, inputs = make_aggregator(), make_inputs()
    before = run(aggregator, *inputs)
    inputs[1][0][0][1:3] = 9.0
    torch.testing.assert_close(run(aggregator, *inputs)[0], before[0], atol=1e-6, rtol=0)


def test_look_and_shape_keep_their_order() -> None:
    aggregator, inputs = make_aggregator(), make_inputs()
    before = run(aggregator, *inputs)
    inputs[3][0][0] = inputs[3][0][0].flip(0)
    assert not torch.allclose(before[0][0], run(aggregator, *inputs)[0][0], atol=1e-4)


def test_clip_without_questions_gives_no_tokens() -> None:
    aggregator, (features, embeds, slots, tokens) = make_aggregator(), make_inputs()
    context = run(aggregator, features, [embeds[0], []], [slots[0], []], [tokens[0], []])
    assert [tuple(c.shape) for c in context] == [(2, 7, HIDDEN), (0, 2, HIDDEN)]


def test_clips_without_any_question_give_no_tokens() -> None:
    features = make_inputs()[0]
    empty = torch.zeros(0, HIDDEN), torch.zeros(0, dtype=torch.bool), torch.zeros(0, 12)
    context = make_aggregator()(features, *empty, [], [])
    assert [tuple(c.shape) for c in context] == [(0, 7, HIDDEN), (0, 2, HIDDEN)]


def test_no_frames_and_no_questions_still_reach_every_weight() -> None:
    aggregator = make_aggregator()
    empty = torch.zeros(0, HIDDEN), torch.zeros(0, dtype=torch.bool), torch.zeros(0, 12)
    (context,) = aggregator([torch.zeros(0, PATCHES, HIDDEN)], *empty, [], [])
    assert context.shape == (0, 0, HIDDEN)
    context.sum().backward()
    assert [name for name, weight in aggregator.named_parameters() if weight.grad is None] == []
    assert not any(weight.grad.any() for weight in aggregator.parameters())
