"""Training and inference are one implementation: the same sample gives the LLM and the mask head the same input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sama_plugin.data.collator import SamaCollator
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.media.masks import decode_mask
from tests.data.made_samples import make_dataset, talk
from tests.inference.scripted import write_answers

CHAT_QUESTIONS = ("What is <r1>?", "Does <r2> touch <r3> here?", "Where is it?")


@pytest.fixture
def seen(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Tensor]]:
    """What `embed_batch` gave and `seg_prompts` took, call by call."""
    calls: dict[str, list[Tensor]] = {"embeds": [], "states": [], "prompts": []}
    cls = type(loaded.model)
    embed_batch, seg_prompts = cls.embed_batch, cls.seg_prompts

    def spy_embed(self: Any, *args: Any) -> Tensor:
        calls["embeds"].append(embed_batch(self, *args))
        return calls["embeds"][-1]

    def spy_prompts(self: Any, states: Tensor) -> Tensor:
        calls["states"].append(states)
        calls["prompts"].append(seg_prompts(self, states))
        return calls["prompts"][-1]

    monkeypatch.setattr(cls, "embed_batch", spy_embed)
    monkeypatch.setattr(cls, "seg_prompts", spy_prompts)
    return calls


@torch.no_grad()
def test_training_and_inference_take_the_same_path(
    loaded: Any, shapes_set: Path, seen: dict[str, list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = talk(shapes_set)
    example = make_dataset(loaded, [sample])[0]
    loaded.model(**SamaCollator(0)([example]))
    trained = {name: calls.copy() for name, calls in seen.items()}
    for calls in seen.values():
        calls.clear()

    session = VideoSession(loaded.model, loaded.tokenizer, loaded.image_processor, sample.video_path)
    sparse = sparse_indices(session.clip.num_frames, loaded.model.sama.sampling)
    region_ids = [i for turn in sample.turns for i in turn.region_ids]
    for number, (region_id, slot) in enumerate(
        zip(region_ids, example.video.regions.frame_slots.tolist(), strict=True), start=1
    ):
        frame = sparse[slot]
        rle = sample.masks[region_id][frame]
        assert rle is not None
        session.region(f"r{number}", frame=frame, mask=decode_mask(rle))
    write_answers(monkeypatch, loaded.tokenizer, [turn.answer for turn in sample.turns])
    answers = [session.ask(question) for question in CHAT_QUESTIONS]

    assert [answer.raw for answer in answers] == [turn.answer for turn in sample.turns]
    (whole,) = trained["embeds"]
    assert len(seen["embeds"]) == 3
    read = 0
    for embeds, turn in zip(seen["embeds"], sample.turns, strict=True):
        piece = whole[:, read : read + embeds.shape[1]]
        torch.testing.assert_close(embeds, piece, atol=1e-5, rtol=1e-5)
        answer_ids = loaded.tokenizer(turn.answer, add_special_tokens=False).input_ids
        read += embeds.shape[1] + len(answer_ids)  # the answer is read as it is written
    assert read == whole.shape[1] - 1
    assert [len(states) for states in seen["states"]] == [1, 2]
    torch.testing.assert_close(torch.cat(seen["states"]), trained["states"][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(seen["prompts"]), trained["prompts"][0], atol=1e-5, rtol=1e-5)
