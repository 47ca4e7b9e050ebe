from __future__ import annotations

import torch

from sama_plugin.modeling.context_injection import ContextInjection

FRAMES, PATCHES, WIDTH, QFORMER_WIDTH, TOKENS = 3, 4, 8, 6, 5


def make_injection() -> ContextInjection:
    torch.manual_seed(0)
    return ContextInjection(WIDTH, QFORMER_WIDTH)


def test_equals_a_loop_over_questions_and_frames() -> None:
    injection = make_injection()
    features = torch.randn(FRAMES, PATCHES, WIDTH)
    questions = [torch.randn(TOKENS, QFORMER_WIDTH) for _ in range(2)]
    written = injection(features, questions)
    assert written.shape == (2, FRAMES, WIDTH)
    for q, tokens in enumerate(questions):
        for t in range(FRAMES):
            scores = injection.query(features[t]) @ injection.key(tokens).T / WIDTH**0.5
            attended = scores.softmax(-1) @ injection.value(tokens)
            expected = injection.final_proj((features[t] + injection.attention_proj(attended)).mean(0))
            torch.testing.assert_close(written[q, t], expected, atol=1e-5, rtol=1e-5)


def test_no_questions_give_no_tokens() -> None:
    assert make_injection()(torch.randn(FRAMES, PATCHES, WIDTH), []).shape == (0, FRAMES, WIDTH)
