from __future__ import annotations

import torch
from transformers import InstructBlipQFormerConfig, InstructBlipQFormerModel

from sama_plugin.modeling.qformer import sine_positions
from sama_plugin.modeling.temporal_aggregator import TemporalAggregator
from tests.modeling.tiny_aggregator import HIDDEN, TINY_AGGREGATOR

WIDTH, QUERIES, MAX_FRAMES = 12, 5, 8
LENGTHS, OWNERS, FRAMES = (6, 2, 4), [0, 1, 0], (7, 2)


def make_aggregator() -> TemporalAggregator:
    torch.manual_seed(0)
    return TemporalAggregator(HIDDEN, TINY_AGGREGATOR, MAX_FRAMES).eval()


def make_inputs() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(1)
    clips = [torch.randn(num_frames, QUERIES, WIDTH) for num_frames in FRAMES]
    return clips, [torch.randn(length, WIDTH) for length in LENGTHS]


def read(
    aggregator: TemporalAggregator,
    clips: list[torch.Tensor],
    questions: list[torch.Tensor],
    owners: list[int],
) -> list[torch.Tensor]:
    """The temporal tokens of each question."""
    words = torch.cat([torch.zeros(0, WIDTH), *questions])
    tokens, counts = aggregator(clips, words, [len(question) for question in questions], owners)
    return list(tokens.split(counts))


def instruct_blip(aggregator: TemporalAggregator, text: torch.Tensor) -> InstructBlipQFormerModel:
    """InstructBLIP's Q-Former with our weights, whose word k is row k of `text`."""
    theirs = InstructBlipQFormerModel(
        InstructBlipQFormerConfig(
            vocab_size=len(text),
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=18,
            cross_attention_frequency=1,
            encoder_hidden_size=WIDTH,
        )
    ).eval()
    theirs.encoder.load_state_dict(aggregator.encoder.state_dict())
    theirs.embeddings.layernorm.load_state_dict(aggregator.input_norm.state_dict())
    theirs.embeddings.word_embeddings.weight.data.copy_(text)
    theirs.embeddings.position_embeddings.weight.data.zero_()
    return theirs


def test_equals_instruct_blip_with_the_same_weights() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    ours = read(aggregator, clips, questions, OWNERS)
    for question, owner, tokens in zip(questions, OWNERS, ours, strict=True):
        text = question + sine_positions(len(question), WIDTH, question)
        theirs = instruct_blip(aggregator, text)
        placed = clips[owner] + aggregator.frame_positions[0, : len(clips[owner]), None]
        parts = [
            theirs(
                input_ids=torch.arange(len(text))[None],
                query_embeds=aggregator.queries,
                encoder_hidden_states=placed[start : start + 3].flatten(0, 1)[None],
            ).last_hidden_state[0, :4]
            for start in range(0, len(placed), 3)
        ]
        torch.testing.assert_close(tokens, torch.cat(parts), atol=1e-5, rtol=1e-5)


def test_windows_are_counted_up() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    lengths = [len(tokens) for tokens in read(aggregator, clips, questions, OWNERS)]
    assert lengths == [3 * 4, 1 * 4, 3 * 4]  # 7 frames are windows of 3, 3 and 1; 2 frames are one


def test_question_alone_equals_question_among_others() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    together = read(aggregator, clips, questions, OWNERS)
    for i, owner in enumerate(OWNERS):
        (alone,) = read(aggregator, [clips[owner]], [questions[i]], [0])
        torch.testing.assert_close(alone, together[i], atol=1e-5, rtol=1e-5)


def test_order_of_frames_matters() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    aggregator.frame_positions.data.normal_()
    (forth,) = read(aggregator, clips[1:], questions[:1], [0])
    (back,) = read(aggregator, [clips[1].flip(0)], questions[:1], [0])
    assert not torch.allclose(forth, back, atol=1e-3)


def test_order_of_words_matters() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    (forth,) = read(aggregator, clips[1:], questions[:1], [0])
    (back,) = read(aggregator, clips[1:], [questions[0].flip(0)], [0])
    assert not torch.allclose(forth, back, atol=1e-3)


def test_clip_without_frames_beside_others_changes_nothing() -> None:
    aggregator, (clips, questions) = make_aggregator(), make_inputs()
    before = read(aggregator, clips, questions, OWNERS)
    nothing = torch.zeros(0, QUERIES, WIDTH)
    after = read(aggregator, [nothing, *clips], questions, [owner + 1 for owner in OWNERS])
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_no_questions_give_no_tokens() -> None:
    tokens, counts = make_aggregator()([torch.zeros(0, QUERIES, WIDTH)], torch.zeros(0, WIDTH), [], [])
    assert (tokens.shape, counts) == ((0, WIDTH), [])
