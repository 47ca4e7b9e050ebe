from __future__ import annotations

import torch

from sama_plugin.modeling.context_injection import ContextInjection

FRAMES, PATCHES, WIDTH, QFORMER_WIDTH, TOKENS = 3, 4, 8, 6, 5


def make_injection() -> ContextInjection:
    torch.manual_seed(0)
    return ContextInjection(WIDTH, QFORMER_WIDTH)


def test_equals_a_loop_over_questions_and_frames() -> None:
    injection = make_injection()
    features = [torch.randn(frames, PATCHES, WIDTH) for frames in (FRAMES, 2, FRAMES)]
    owner = [0, 1, 2, 2]
    questions = [torch.randn(TOKENS - clip % 2, QFORMER_WIDTH) for clip in owner]
    counts = [len(tokens) for tokens in questions]
    flat = injection(features, torch.cat(questions), counts, owner)
    written = flat.split([len(features[clip]) for clip in owner])
    for clip, tokens, rows in zip(owner, questions, written, strict=True):
        for frame, token in zip(features[clip], rows, strict=True):
            scores = injection.query(frame) @ injection.key(tokens).T / WIDTH**0.5
            attended = scores.softmax(-1) @ injection.value(tokens)
            expected = injection.final_proj((frame + injection.attention_proj(attended)).mean(0))
            torch.testing.assert_close(token, expected, atol=1e-5, rtol=1e-5)


def test_layers_run_once_whatever_the_lengths_of_clips() -> None:
    injection = make_injection()
    calls: list[str] = []
    for name, layer in injection.named_children():
        layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    tokens = torch.randn(3 * TOKENS, QFORMER_WIDTH)
    injection([torch.randn(frames, PATCHES, WIDTH) for frames in (1, 2, 3)], tokens, [TOKENS] * 3, [0, 1, 2])
    assert sorted(calls) == sorted(name for name, _ in injection.named_children())
    calls.clear()
    injection([torch.randn(0, PATCHES, WIDTH)], tokens[:0], [], [])
    assert sorted(calls) == sorted(name for name, _ in injection.named_children())
