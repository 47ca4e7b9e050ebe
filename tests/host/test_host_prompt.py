from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch

from sama_plugin.config import SamaConfig, SamplingConfig
from sama_plugin.constants import CONTEXT_TOKEN_INDEX, FRAME_TOKEN_INDEX
from sama_plugin.data.model_inputs import InputBuilder
from sama_plugin.errors import PromptError
from sama_plugin.host.compat import quiet_host_import
from sama_plugin.inference.session import VideoSession
from sama_plugin.media.frame_sampling import sparse_indices
from sama_plugin.prompting.tokenization import SlotLayout
from tests.conftest import LoadedCheckpoint

IMAGE = FRAME_TOKEN_INDEX
SAMA = SamaConfig(sampling=SamplingConfig(max_sparse=6, num_dense=2))


@pytest.fixture(autouse=True)
def _loaded(loaded: LoadedCheckpoint) -> None:
    """The host is there."""


def expand(ids: list[int], frames: torch.Tensor) -> Any:
    from sama_plugin.host.host_prompt import expand_host_prompt

    return expand_host_prompt(
        torch.tensor(ids), frames, SAMA, lambda dense, sparse: SlotLayout(dense, 3, sparse)
    )


def test_image_opens_into_frame_and_context_slots() -> None:
    prompt = expand([7, IMAGE, 8, 9], torch.rand(4, 3, 8, 8))
    assert prompt.input_ids.tolist() == [7, *[FRAME_TOKEN_INDEX] * 6, *[CONTEXT_TOKEN_INDEX] * 4, 8, 9]
    assert prompt.video.num_sparse == 4
    assert [q.tolist() for q in prompt.video.question_ids] == [[8, 9]]
    assert len(prompt.video.regions.look_masks) == 0


def test_layout_is_that_of_a_first_turn() -> None:
    from sama_plugin.host.host_prompt import expand_host_prompt

    row = torch.tensor([7, IMAGE, 10, 8, 9, 2, 10, 5])  # 10 is a newline, 2 the end of a turn
    prompt = expand_host_prompt(
        row,
        torch.rand(4, 3, 8, 8),
        SAMA,
        lambda dense, sparse: SlotLayout(dense, 3, sparse),
        newline_ids=[10],
        end_ids=[2],
    )
    frame, context = [*[FRAME_TOKEN_INDEX] * 3, 10], [*[CONTEXT_TOKEN_INDEX] * 4, 10]
    assert prompt.input_ids.tolist() == [7, *frame, *frame, *context, 8, 9, 2, 10, 5]
    assert prompt.video.question_ids[0].tolist() == [8, 9]


def test_many_frames_are_thinned_evenly() -> None:
    frames = torch.arange(11.0)[:, None, None, None].expand(11, 3, 8, 8)
    shown = expand([IMAGE], frames).video.pixel_values[:, 0, 0, 0]
    assert shown.tolist() == [0, 2, 4, 6, 8, 10]


def test_one_image_is_a_clip_of_one_frame() -> None:
    prompt = expand([IMAGE, 5], torch.rand(3, 8, 8))
    assert prompt.video.pixel_values.shape == (1, 3, 8, 8)
    assert prompt.video.dense_positions.tolist() == [0]


@pytest.mark.parametrize(("ids", "count"), [([5, 6], 0), ([IMAGE, 5, IMAGE], 2)])
def test_not_exactly_one_image_is_refused(ids: list[int], count: int) -> None:
    with pytest.raises(PromptError, match=f"needs exactly one <image>, got {count}"):
        expand(ids, torch.rand(2, 3, 8, 8))


def test_no_frames_are_refused() -> None:
    with pytest.raises(PromptError, match="came with 0 frames"):
        expand([IMAGE], torch.rand(0, 3, 8, 8))


def make_row(loaded: LoadedCheckpoint, question: str) -> torch.Tensor:
    tokenize = loaded.tokenizer
    before = tokenize("<|im_start|>user\n", add_special_tokens=False).input_ids
    after = tokenize(f"\n{question}<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False).input_ids
    return torch.tensor([*before, IMAGE, *after])


def make_frames(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 128, 128, generator=torch.Generator().manual_seed(count))


def test_host_style_call_is_the_first_turn_of_a_session(
    lively_talker: Any, loaded: LoadedCheckpoint, shapes_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with quiet_host_import():
        conversation = importlib.import_module("llava.conversation").conv_templates["qwen_1_5"].copy()
        tokenize = importlib.import_module("llava.mm_utils").tokenizer_image_token
    conversation.append_message(conversation.roles[0], "<image>\nWhat moves to the left?")
    conversation.append_message(conversation.roles[1], None)
    row = tokenize(conversation.get_prompt(), loaded.tokenizer, IMAGE, return_tensors="pt")
    embeds = []
    embed_batch = type(lively_talker).embed_batch

    def spy(self: Any, *args: Any) -> torch.Tensor:
        embeds.append(embed_batch(self, *args))
        return embeds[-1]

    monkeypatch.setattr(type(lively_talker), "embed_batch", spy)
    video = shapes_set / "videos" / "00000.mp4"
    session = VideoSession(lively_talker, loaded.tokenizer, loaded.image_processor, video, max_new_tokens=6)
    answer = session.ask("What moves to the left?")
    sama = lively_talker.sama
    frames = session.clip.read(sparse_indices(session.clip.num_frames, sama.sampling))
    pixels = InputBuilder(sama, loaded.image_processor, 16).tower_pixels(frames)
    output = lively_talker.generate(
        row[None],
        images=[pixels],
        image_sizes=None,
        modalities=["video"],
        do_sample=False,
        max_new_tokens=6,
    )
    torch.testing.assert_close(embeds[1], embeds[0], atol=1e-5, rtol=1e-5)
    assert loaded.tokenizer.decode(output[0], skip_special_tokens=True).strip() == answer.text
    assert output.shape[1] <= 6


def test_rows_of_a_padded_batch_answer_as_alone(lively_talker: Any, loaded: LoadedCheckpoint) -> None:
    rows = [make_row(loaded, "What moves?"), make_row(loaded, "Is there a large red disc at the left?")]
    clips = [make_frames(9), make_frames(3)]
    longest = max(map(len, rows))
    inputs = torch.zeros(2, longest, dtype=torch.long)
    mask = torch.zeros(2, longest, dtype=torch.long)
    for i, row in enumerate(rows):
        inputs[i, : len(row)], mask[i, : len(row)] = row, 1
    settings = {"do_sample": False, "max_new_tokens": 5, "eos_token_id": None}
    together = lively_talker.generate(inputs, images=clips, attention_mask=mask, **settings)
    alone = [
        lively_talker.generate(r[None], images=[c], **settings)[0] for r, c in zip(rows, clips, strict=True)
    ]
    assert together.tolist() == [ids.tolist() for ids in alone]
    assert together[0].tolist() != together[1].tolist()


@pytest.fixture
def lively_talker(fresh_model: Any) -> Any:
    generator = torch.Generator().manual_seed(3)
    for layer in fresh_model.model.layers:
        for parameter in layer.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return fresh_model


def test_text_alone_is_answered(loaded: LoadedCheckpoint) -> None:
    output = loaded.model.generate(torch.arange(20, 30)[None], do_sample=False, max_new_tokens=4)
    assert output.shape[0] == 1
    assert 1 <= output.shape[1] <= 4


@pytest.mark.parametrize(("marks", "count"), [(0, 0), (2, 2)])
def test_call_without_exactly_one_image_is_refused(loaded: LoadedCheckpoint, marks: int, count: int) -> None:
    row = torch.tensor([20, *[IMAGE] * marks, 21])
    with pytest.raises(PromptError, match=f"needs exactly one <image>, got {count}"):
        loaded.model.generate(row[None], images=[make_frames(2)], max_new_tokens=2)
