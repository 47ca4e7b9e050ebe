from __future__ import annotations

import torch

from sama_plugin.modeling.context_injection import ContextInjection

FRAMES, PATCHES, WIDTH, QFORMER_WIDTH, TOKENS = 3, 4, 8, 6, 5


def make_injection() -> ContextInjection:
    torch.manual_seed(0)
    return ContextInjection(WIDTH, QFORMER_WIDTH)


def test_equals_a_loop_over_questions_and_frames() -> None:
    injection = make_injection()
    features = torch.randn(2, FRAMES, PATCHES, WIDTH)
    questions, owner = torch.randn(3, TOKENS, QFORMER_WIDTH), [0, 1, 1]
    written = injection(features, questions, torch.tensor(owner))
    assert written.shape == (3, FRAMES, WIDTH)
    for q, tokens in enumerate(questions):
        for t, frame in enumerate(features[owner[q]]):
            scores = injection.query(frame) @ injection.key(tokens).T / WIDTH**0.5
            attended = scores.softmax(-1) @ injection.value(tokens)
            expected = injection.final_proj((frame + injection.attention_proj(attended)).mean(0))
            torch.testing.assert_close(written[q, t], expected, atol=1e-5, rtol=1e-5)
