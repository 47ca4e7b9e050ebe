"""Part of the stages `talk` and `joint`: where an answer and its phrases look.

Before an answer begins, and at the `<p>` of every phrase, attention heads after the middle of the LLM have to look at
frame tokens of the objects that are meant, or at no frame token where nothing is; at `[SEG]`, at those still to name.
What a question asks for is told by some hundred tokens a clip that way, not by the few words of its answer. One layer
earlier, another head has to look at what was mentioned before: at the object that `it` means, and at those the answer
has named already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from sama_plugin.constants import FRAME_TOKEN_INDEX, IGNORE_INDEX, PHRASE_START, REGION_END, SEG_TOKEN
from sama_plugin.data.dataset import Example
from sama_plugin.data.shapes.followups import NEEDS_HISTORY
from sama_plugin.evaluation.metrics.text_match import says_none
from sama_plugin.schema import Turn
from sama_plugin.training.seg_alignment import find_name

POINTING_HEADS = (2, 3)
POINTING_LAYERS = 2
"""After the middle: questions about what is said of the video, then those about what other tokens found first."""

RECALL_HEADS = (4,)
RECALL_LAYERS = 2
"""From one before the middle on, so that what was said is known where heads point."""

TELLING_ON = "describe"
"""Kind of questions whose answers go on about an object after its `[SEG]`, before the next one."""

MAX_OBJECTS = 8
MIN_SHARE = 1e-4
"""Of attention, below which the loss stops growing."""


class Pointers(NamedTuple):
    """Tokens of one example, and what they have to look at.

    Attributes:
        positions: (Q,) long.
        objects: (Q, MAX_OBJECTS) bool; all False where nothing is meant.
        mentions: (Q, L) bool; ends of earlier mentions that tell what is meant, or what is named already.
    """

    positions: Tensor
    objects: Tensor
    mentions: Tensor

    def owners(self) -> Tensor:
        """(Q,) long; 1 + the object, 0 where nothing is meant, `IGNORE_INDEX` where several are."""
        count = self.objects.sum(dim=1)
        one = (1 + self.objects.long().argmax(dim=1)) * (count == 1)
        return one.where(count < 2, IGNORE_INDEX)


def mention_ends(tokenizer: Any) -> Tensor:
    """(2,) long; tokens that end the mention of an object."""
    return torch.tensor(tokenizer.convert_tokens_to_ids([REGION_END, SEG_TOKEN]))


def mentioned(turns: Sequence[Turn], ids: tuple[str, ...]) -> list[int]:
    """1 + index of the object behind each region and each `[SEG]`, in the order of the text; for `mention_ends`."""
    groups = [
        group
        for turn in turns
        for group in (*((region_id,) for region_id in turn.region_ids), *turn.target_ids)
    ]
    return [1 + ids.index(group[0]) if len(group) == 1 else IGNORE_INDEX for group in groups]


def find_pointers(example: Example, tokenizer: Any, ids: tuple[str, ...], attributes: Tensor) -> Pointers:
    """The tokens of an example that point: the last one before each answer, each `<p>`, each `[SEG]` at what is left.

    Args:
        example: of the small world.
        tokenizer: as in training.
        ids: K mask ids of the objects of the scene.
        attributes: (K, A) long, from `object_attributes`.
    """
    is_answer = example.labels != IGNORE_INDEX
    before = torch.nonzero(is_answer[1:] & ~is_answer[:-1])[:, 0]
    is_start = (example.input_ids == tokenizer.convert_tokens_to_ids(PHRASE_START)) & is_answer
    starts = iter(torch.nonzero(is_start)[:, 0].tolist())
    ends = iter(torch.nonzero(example.input_ids == tokenizer.convert_tokens_to_ids(SEG_TOKEN))[:, 0].tolist())
    owners = torch.zeros_like(example.input_ids)
    is_end = torch.isin(example.input_ids, mention_ends(tokenizer))
    owners[is_end] = torch.tensor(mentioned(example.turns, ids), dtype=torch.long)
    slots = torch.arange(len(owners))
    found: list[tuple[int, list[int], Tensor]] = []
    for first, turn, topic in zip(before.tolist(), example.turns, _topics(example.turns), strict=True):
        about = torch.tensor([1 + ids.index(i) for i in topic], dtype=torch.long)
        of_topic = (slots < first) & torch.isin(owners, about)
        meant = _meant(turn, topic, ids, attributes)
        if meant is not None:
            found.append((first, meant, of_topic))
        targets = [[ids.index(i) for i in target] for target in turn.target_ids]
        for number, target in enumerate(targets):
            start, end = next(starts), next(ends)
            named = (slots > first) & (owners != 0)
            found.append((start, target, of_topic | (named & (slots < start))))
            if turn.kind != TELLING_ON:
                left = [k for later in targets[number + 1 :] for k in later]
                found.append((end, left, named & (slots <= end)))
    positions = torch.tensor([position for position, _, _ in found], dtype=torch.long)
    objects = torch.zeros(len(found), MAX_OBJECTS, dtype=torch.bool)
    mentions = torch.zeros(len(found), len(slots), dtype=torch.bool)
    for row, (_, meant, earlier) in enumerate(found):
        objects[row, meant] = True
        mentions[row] = earlier
    return Pointers(positions, objects, mentions)


def _topics(turns: Sequence[Turn]) -> Iterator[tuple[str, ...]]:
    """For each question, the one object that its `it` or `another one` speaks of, by the rules of the small world."""
    topic: tuple[str, ...] = ()
    for turn in turns:
        looks_back = turn.kind.startswith(NEEDS_HISTORY)
        yield topic if looks_back else ()
        if turn.target_ids:
            topic = turn.target_ids[0] if len(turn.target_ids) == 1 else ()
        elif says_none(turn.answer) or "relation" in turn.kind:
            topic = ()
        elif turn.region_ids or not looks_back:
            topic = turn.region_ids if len(turn.region_ids) == 1 else ()


def _meant(turn: Turn, topic: tuple[str, ...], ids: tuple[str, ...], attributes: Tensor) -> list[int] | None:
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
    return [ids.index(i) for i in turn.region_ids or topic] or None


def wanted_frame_tokens(input_ids: Tensor, pointers: Pointers, owners: Tensor) -> Tensor:
    """Tokens that each pointer of an example has to look at to see what is meant.

    Args:
        input_ids: (L,) long with slot sentinels.
        pointers: Q of them.
        owners: (frame tokens,) long; 0 or 1 + the object on each frame token.

    Returns:
        (Q, L) bool; frame tokens of the objects meant, or all other tokens where none is.
    """
    classes = torch.zeros_like(input_ids)
    classes[input_ids == FRAME_TOKEN_INDEX] = 1 + owners
    is_none = ~pointers.objects.any(dim=1, keepdim=True)
    table = torch.cat(
        [is_none, torch.zeros_like(is_none), pointers.objects], dim=1
    )  # text, background, objects
    return table[:, classes]


class PointerBatch(NamedTuple):
    """Pointers of several examples and what they have to look at, padded with ones that look at nothing.

    Attributes:
        positions: (B, Q) long; -1 is padding.
        frames: (B, Q, L) bool, from `wanted_frame_tokens`.
        mentions: (B, Q, L) bool, see `Pointers`.
    """

    positions: Tensor
    frames: Tensor
    mentions: Tensor

    def to(self, device: torch.device) -> PointerBatch:
        """Move."""
        return PointerBatch(*(tensor.to(device) for tensor in self))


def collate_pointers(pointers: Sequence[Pointers], frames: Sequence[Tensor]) -> PointerBatch:
    """Pad the pointers of B examples, and what they have to look at, (Q, L) bool each, to the longest ones."""
    count, length = (max(rows.shape[i] for rows in frames) for i in (0, 1))
    missing = [(count - rows.shape[0], length - rows.shape[1]) for rows in frames]
    positions = [F.pad(p.positions, (0, n), value=-1) for p, (n, _) in zip(pointers, missing, strict=True)]
    masks = (frames, [p.mentions for p in pointers])
    padded = [
        torch.stack([F.pad(rows, (0, m, 0, n)) for rows, (n, m) in zip(mask, missing, strict=True)])
        for mask in masks
    ]
    return PointerBatch(torch.stack(positions), *padded)


def pointing_loss(
    model: Any, hidden_states: tuple[Tensor, ...], pointers: PointerBatch
) -> tuple[Tensor, Tensor]:
    """How little the pointing heads look where they should, and the share of tokens that do for the most part.

    Args:
        model: a SAMA model on Qwen2.
        hidden_states: of the LLM, from the embeddings on; (B, L, N) each.
        pointers: of the batch.

    Returns:
        () float each; tokens whose object covers no frame token count nowhere.
    """
    first = model.config.num_hidden_layers // 2
    layers = range(first, first + POINTING_LAYERS)
    return _attention_loss(model, hidden_states, layers, POINTING_HEADS, pointers.positions, pointers.frames)


def recall_loss(
    model: Any, hidden_states: tuple[Tensor, ...], pointers: PointerBatch
) -> tuple[Tensor, Tensor]:
    """Like `pointing_loss`, of the heads that have to look at earlier mentions.

    Returns:
        () float each; tokens that have no such mention count nowhere.
    """
    first = model.config.num_hidden_layers // 2 - 1
    layers = range(first, first + RECALL_LAYERS)
    return _attention_loss(model, hidden_states, layers, RECALL_HEADS, pointers.positions, pointers.mentions)


def _attention_loss(
    model: Any,
    hidden_states: tuple[Tensor, ...],
    layers: Iterable[int],
    heads: tuple[int, ...],
    positions: Tensor,
    wanted: Tensor,
) -> tuple[Tensor, Tensor]:
    """() float each: of positions (B, Q) with a wanted key, (B, Q, L) bool, mean log share missed, share above ½."""
    asked = wanted.any(dim=2)
    # Rows that are not asked stay unmasked: one with no key left would have no gradient but NaN.
    later = (torch.arange(wanted.shape[2], device=wanted.device) > positions[..., None]) & asked[..., None]
    losses, right = [], []
    for index in layers:
        queries, keys = _heads(model, index, hidden_states[index], heads)
        place = positions.clamp(min=0)[:, None, :, None].expand(-1, len(heads), -1, queries.shape[3])
        scores = queries.gather(2, place) @ keys.transpose(2, 3)  # (B, heads, Q, L)
        attention = scores.masked_fill(later[:, None], float("-inf")).softmax(dim=-1)
        share = (attention.mean(dim=1) * wanted).sum(dim=2)[asked]
        losses.append(-share.clamp(min=MIN_SHARE).log())
        right.append(share > 0.5)
    shares = torch.cat(losses)
    count = max(1, len(shares))
    return shares.sum() / count, torch.cat(right).sum() / count


def _heads(model: Any, index: int, hidden: Tensor, heads: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(B, heads, L, d) queries and keys of some heads of a layer, scaled, with rotary positions."""
    layer = model.get_model().layers[index]
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    width = attention.head_dim
    rows = torch.cat([torch.arange(head * width, (head + 1) * width) for head in heads]).to(hidden.device)
    projected = [
        F.linear(normed, projection.weight[rows], projection.bias[rows])
        .unflatten(-1, (len(heads), width))
        .transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj)
    ]
    positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
    queries, keys = apply_rotary_pos_emb(*projected, *model.get_model().rotary_emb(normed, positions))
    return queries * width**-0.5, keys
