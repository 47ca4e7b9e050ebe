"""Part of the stage `talk`: where an answer and its phrases look.

Before an answer begins, and at the `<p>` of every phrase, attention heads after the middle of the LLM have to look at
frame tokens of the objects that are meant, or at no frame token where nothing is. What a question asks for is told by
some hundred tokens a clip that way, not by the few words of its answer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START
from sama_plugin.data.dataset import Example
from sama_plugin.evaluation.metrics.text_match import says_none
from sama_plugin.schema import Turn
from sama_plugin.training.seg_alignment import find_name

POINTING_HEADS = (2, 3)
POINTING_LAYERS = 2
"""After the middle: questions about what is said of the video, then those about what other tokens found first."""

MAX_OBJECTS = 8
MIN_SHARE = 1e-4
"""Of attention, below which the loss stops growing."""


class Pointers(NamedTuple):
    """Tokens of one example, and what they have to look at.

    Attributes:
        positions: (Q,) long.
        objects: (Q, MAX_OBJECTS) bool; all False where nothing is meant.
    """

    positions: Tensor
    objects: Tensor

    def owners(self) -> Tensor:
        """(Q,) long; 1 + the object, 0 where nothing is meant, `IGNORE_INDEX` where several are."""
        count = self.objects.sum(dim=1)
        one = (1 + self.objects.long().argmax(dim=1)) * (count == 1)
        return one.where(count < 2, IGNORE_INDEX)


def find_pointers(example: Example, tokenizer: Any, ids: tuple[str, ...], attributes: Tensor) -> Pointers:
    """The tokens of an example that point: the last one before each answer, and each `<p>`.

    Args:
        example: of the small world.
        tokenizer: as in training.
        ids: K mask ids of the objects of the scene.
        attributes: (K, A) long, from `object_attributes`.
    """
    is_answer = example.labels != IGNORE_INDEX
    before = torch.nonzero(is_answer[1:] & ~is_answer[:-1])[:, 0]
    starts = (example.input_ids == tokenizer.convert_tokens_to_ids(PHRASE_START)) & is_answer
    positions, rows = [], []
    for position, turn in zip(before.tolist(), example.turns, strict=True):
        meant = _meant(turn, ids, attributes)
        if meant is not None:
            positions.append(position)
            rows.append(meant)
    phrases = [target for turn in example.turns for target in turn.target_ids]
    for position, target in zip(torch.nonzero(starts)[:, 0].tolist(), phrases, strict=True):
        positions.append(position)
        rows.append([ids.index(i) for i in target])
    objects = torch.zeros(len(rows), MAX_OBJECTS, dtype=torch.bool)
    for row, meant in zip(objects, rows, strict=True):
        row[meant] = True
    return Pointers(torch.tensor(positions, dtype=torch.long), objects)


def _meant(turn: Turn, ids: tuple[str, ...], attributes: Tensor) -> list[int] | None:
    """Objects an answer is about; None where its words do not tell."""
    if turn.target_ids:
        return [ids.index(i) for target in turn.target_ids for i in target]
    name = find_name(turn.answer)
    if name is not None:
        return torch.nonzero((attributes[:, : len(name)] == name).all(dim=1))[:, 0].tolist()
    if len(turn.region_ids) > 1:
        return None
    if says_none(turn.answer):
        return []
    return [ids.index(i) for i in turn.region_ids] or None


def pointing_loss(
    model: Any,
    input_ids: Tensor,
    hidden_states: tuple[Tensor, ...],
    pointers: list[Pointers],
    owners: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """How little the pointing heads look where they should, and the share of tokens that do for the most part.

    Args:
        model: a SAMA model on Qwen2.
        input_ids: (B, L) long with slot sentinels.
        hidden_states: of the LLM, from the embeddings on.
        pointers: list of B.
        owners: list of B; (frame tokens,) long, 0 or 1 + the object on each frame token.

    Returns:
        () float each; tokens whose object covers no frame token count nowhere.
    """
    half = model.config.num_hidden_layers // 2
    losses, right = [], []
    for index in range(half, half + POINTING_LAYERS):
        queries, keys = _heads(model, index, hidden_states[index])
        for i, (pointer, owner) in enumerate(zip(pointers, owners, strict=True)):
            wanted = _wanted_keys(input_ids[i], pointer, owner)  # (Q, L)
            scores = queries[i][:, pointer.positions] @ keys[i].transpose(1, 2)  # (heads, Q, L)
            later = torch.arange(keys.shape[2])[None] > pointer.positions[:, None]
            attention = scores.masked_fill(later, float("-inf")).softmax(dim=-1).mean(dim=0)
            share = (attention * wanted).sum(dim=1)[wanted.any(dim=1)]
            losses.append(-share.clamp(min=MIN_SHARE).log())
            right.append(share > 0.5)
    count = max(1, sum(map(len, losses)))
    return torch.cat(losses).sum() / count, torch.cat(right).sum() / count


def _wanted_keys(input_ids: Tensor, pointer: Pointers, owner: Tensor) -> Tensor:
    """(Q, L) bool; frame tokens of the objects meant, or all other tokens where none is."""
    classes = torch.zeros_like(input_ids)
    classes[input_ids == FRAME_TOKEN_INDEX] = 1 + owner
    is_none = ~pointer.objects.any(dim=1, keepdim=True)
    table = torch.cat(
        [is_none, torch.zeros_like(is_none), pointer.objects], dim=1
    )  # text, background, objects
    return table[:, classes]


def _heads(model: Any, index: int, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """(B, heads, L, d) queries and keys of the pointing heads of a layer, scaled, with rotary positions."""
    layer = model.get_model().layers[index]
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    width = attention.head_dim
    rows = torch.cat([torch.arange(head * width, (head + 1) * width) for head in POINTING_HEADS])
    projected = [
        torch.nn.functional.linear(normed, projection.weight[rows], projection.bias[rows])
        .unflatten(-1, (len(POINTING_HEADS), width))
        .transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj)
    ]
    positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
    queries, keys = apply_rotary_pos_emb(*projected, *model.get_model().rotary_emb(normed, positions))
    return queries * width**-0.5, keys
