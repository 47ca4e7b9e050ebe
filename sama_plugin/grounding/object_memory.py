"""SAM2's memory of many objects at once: stacked in fixed room, and attended to by all of them in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.memory_attention import MemoryAttention
from sam2.modeling.position_encoding import apply_rotary_enc
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_utils import get_1d_sine_pe

from sama_plugin.grounding.sam2_model import FrameFeatures, MemoryEntry, SamaSam2


@dataclass(frozen=True)
class PackedMemory:
    """What R objects attend to on one frame, each object's memories padded to the same length.

    Attributes:
        keys: (R, N, C) float; memories with their place and time.
        values: (R, N, C) float; the memories alone.
        num_cells: so many of the N tokens come first and are cells of frames, which have a place; the others are
            of object pointers.
        mask: (R, 1, 1, N) bool, False where an object has no such memory; None if each has all.
    """

    keys: torch.Tensor
    values: torch.Tensor
    num_cells: int
    mask: torch.Tensor | None


@dataclass(frozen=True)
class _Slots:
    """Memories of S objects in k slots and pointers in p: (S, k, h·w, C) bfloat16, as in SAM2, and (S, p, M)."""

    memories: torch.Tensor
    pointers: torch.Tensor


class ObjectMemory:
    """Memories of S objects of a clip, in room that does not grow with the clip.

    Of each object: its prompted frames, and the last n - 1 memories (n is SAM2's `num_maskmem`) and 15 pointers of
    other frames on the way forward; and as many on the way back, which begins with those right after its first
    prompted frame. All objects go from frame to frame together. So a slot holds the same frame for all of them (its
    index modulo the number of slots), and whether an object has a memory of a frame follows from where it is
    prompted.

    Args:
        sam2: whose memory it is.
        prompted: frame → (S,) bool, which objects are prompted there; each object on at least one frame.
        has_way_back: whether there will be a way back.

    Attributes:
        firsts: (S,) int; first prompted frame of each object.
        reach: so many frames away a memory or a pointer is looked at.
    """

    def __init__(self, sam2: SamaSam2, prompted: Mapping[int, np.ndarray], *, has_way_back: bool) -> None:
        self._sam2 = sam2
        self._prompted = prompted
        frames = np.array(sorted(prompted))
        is_on = np.stack([prompted[i] for i in frames], axis=1)  # (S, F)
        self.firsts: np.ndarray = frames[is_on.argmax(1)]
        num_prompts = int(is_on.sum(1).max())
        self._prompt_frames = np.full((len(is_on), num_prompts), -1)
        rows, places = is_on.nonzero()
        self._prompt_frames[rows, is_on.cumsum(1)[rows, places] - 1] = frames[places]
        self._prompts = self._new_slots(num_prompts, num_prompts)
        recent = (sam2.num_maskmem - 1, sam2.max_obj_ptrs_in_encoder - 1)
        self.reach: int = max(recent)
        self._ahead = self._new_slots(*recent)
        self._back = self._new_slots(*recent) if has_way_back else None
        cell_grid = torch.empty(1, sam2.mem_dim, *[_side(sam2)] * 2, device=sam2.device)
        place = sam2.memory_encoder.position_encoding(cell_grid).flatten(2).transpose(1, 2)
        self._places = place + sam2.maskmem_tpos_enc[:, 0]  # (n, h·w, C): 1, ... n - 1 frames away, prompted

    @property
    def num_bytes(self) -> int:
        """Room it takes."""
        held = [slots for slots in (self._prompts, self._ahead, self._back) if slots is not None]
        return sum(slots.memories.nbytes + slots.pointers.nbytes for slots in held)

    def add_prompt(self, frame_idx: int, entry: MemoryEntry) -> None:
        """Keep a prompted frame: (G, ...) for the G objects prompted there."""
        rows = self._prompted[frame_idx].nonzero()[0]
        slots = (self._prompt_frames[rows] == frame_idx).argmax(1)
        index = self._to_device(rows), self._to_device(slots)
        self._prompts.memories[index] = _cells(entry)
        self._prompts.pointers[index] = entry["obj_ptr"].float()

    def add(self, frame_idx: int, rows: np.ndarray, entry: MemoryEntry, *, is_reverse: bool) -> None:
        """Keep a tracked frame: (R, ...) for the objects `rows` (R,) int."""
        content = (_cells(entry), entry["obj_ptr"].float())
        if not is_reverse:
            for ring, values in zip((self._ahead.memories, self._ahead.pointers), content, strict=True):
                ring[self._to_device(rows), frame_idx % ring.shape[1]] = values
        if self._back is None:
            return
        for ring, values in zip((self._back.memories, self._back.pointers), content, strict=True):
            is_seen = frame_idx - self.firsts[rows] < ring.shape[1]  # from the frame before the first prompt
            if is_seen.any():
                kept = self._to_device(is_seen.nonzero()[0])
                ring[self._to_device(rows[is_seen]), frame_idx % ring.shape[1]] = values[kept]

    def forget_way_back(self) -> None:
        """Let go of what only the way back needs."""
        self._back = None

    def pack(
        self, frame_idx: int, rows: np.ndarray, num_frames: int, num_tracked: int, *, is_reverse: bool
    ) -> PackedMemory:
        """What SAM2 looks at from a frame: prompts, the n - 1 memories before it, pointers of at most 16 frames.

        Args:
            frame_idx: this frame.
            rows: (R,) int; objects that are tracked there.
            num_frames: that are wanted in all.
            num_tracked: frames, from the clip's first on, that the way forward is done with; for the way back, at
                least those in reach of this frame, or all there are.
            is_reverse: going back in time; before is then after.

        Source: `SAM2Base._prepare_memory_conditioned_features`. Differs: a batch of objects with memories of
            different frames.
        """
        sam2, way = self._sam2, (rows, num_tracked, is_reverse)
        ring = self._back if is_reverse else self._ahead
        assert ring is not None, "the way back is over"
        prompt_frames = self._prompt_frames[rows]  # (R, P)
        is_prompt = prompt_frames >= 0

        ages, frames, has = self._behind(frame_idx, np.arange(sam2.num_maskmem - 1, 0, -1), *way)
        cells = self._gather(rows, self._prompts.memories, ring.memories, frames).flatten(1, 2)
        has_cells = np.concatenate([is_prompt, has], axis=1).repeat(_side(sam2) ** 2, axis=1)
        distances = np.concatenate([np.full(is_prompt.shape[1], sam2.num_maskmem), ages])
        places = self._places[self._to_device(distances - 1)].flatten(0, 1)

        reach = min(num_frames, sam2.max_obj_ptrs_in_encoder) - 1
        ages, frames, has = self._behind(frame_idx, np.arange(1, reach + 1), *way)
        pointers = self._gather(rows, self._prompts.pointers, ring.pointers, frames)
        tokens = pointers.reshape(len(rows), -1, sam2.mem_dim)  # a pointer is cut into several
        per_pointer = tokens.shape[1] // pointers.shape[1]
        prompt_ages = (prompt_frames - frame_idx) if is_reverse else (frame_idx - prompt_frames)
        has_pointers = np.concatenate([is_prompt & (prompt_ages >= 0), has], axis=1)
        all_ages = np.concatenate([prompt_ages, np.broadcast_to(ages, has.shape)], axis=1)
        times = get_1d_sine_pe(self._to_device(all_ages) / reach, dim=sam2.hidden_dim)
        times = sam2.obj_ptr_tpos_proj(times).repeat_interleave(per_pointer, dim=1)

        has_tokens = np.concatenate([has_cells, has_pointers.repeat(per_pointer, axis=1)], axis=1)
        return PackedMemory(
            keys=torch.cat([cells + places, tokens + times], dim=1),
            values=torch.cat([cells, tokens], dim=1),
            num_cells=cells.shape[1],
            mask=None if has_tokens.all() else self._to_device(has_tokens)[:, None, None],
        )

    def _behind(
        self, frame_idx: int, ages: np.ndarray, rows: np.ndarray, num_tracked: int, is_reverse: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ages (k,) and frames (k,) behind on the way on which any object was tracked, and (R, k) bool, which."""
        frames = frame_idx + ages if is_reverse else frame_idx - ages
        if is_reverse:
            has = np.broadcast_to(frames < num_tracked, (len(rows), len(frames))).copy()
        else:
            has = frames > self.firsts[rows, None]
        for place, frame in enumerate(frames.tolist()):
            if frame in self._prompted:
                has[:, place] &= ~self._prompted[frame][rows]
        is_used = has.any(0)
        return ages[is_used], frames[is_used], has[:, is_used]

    def _gather(
        self, rows: np.ndarray, prompts: torch.Tensor, ring: torch.Tensor, frames: np.ndarray
    ) -> torch.Tensor:
        """(R, P + k, ...): what rows have of their prompts, and in a ring of (k,) frames."""
        index = self._to_device(rows)
        slots = self._to_device(frames % ring.shape[1])
        return torch.cat([prompts[index], ring[index[:, None], slots]], dim=1)

    def _new_slots(self, num_memories: int, num_pointers: int) -> _Slots:
        sam2, count = self._sam2, len(self.firsts)
        size = (count, num_memories, _side(sam2) ** 2, sam2.mem_dim)
        return _Slots(
            torch.zeros(size, dtype=torch.bfloat16, device=sam2.device),
            torch.zeros(count, num_pointers, sam2.hidden_dim, device=sam2.device),
        )

    def _to_device(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._sam2.device)


def join_memories(parts: Sequence[PackedMemory]) -> PackedMemory:
    """Those of several frames as one, the shorter ones padded."""
    if len(parts) == 1:
        return parts[0]
    num_cells = max(part.num_cells for part in parts)
    num_tokens = max(part.keys.shape[1] - part.num_cells for part in parts)

    def padded(part: PackedMemory, x: torch.Tensor) -> torch.Tensor:
        cells, tokens = x[:, : part.num_cells], x[:, part.num_cells :]
        spare = num_cells - cells.shape[1], num_tokens - tokens.shape[1]
        pieces = (cells, x.new_zeros(len(x), spare[0], x.shape[2]), tokens)
        return torch.cat([*pieces, x.new_zeros(len(x), spare[1], x.shape[2])], dim=1)

    masks = [
        torch.ones_like(part.keys[..., :1], dtype=torch.bool) if part.mask is None else part.mask.mT[:, 0]
        for part in parts
    ]
    mask = torch.cat([padded(part, own) for part, own in zip(parts, masks, strict=True)])  # (R, N, 1)
    return PackedMemory(
        keys=torch.cat([padded(part, part.keys) for part in parts]),
        values=torch.cat([padded(part, part.values) for part in parts]),
        num_cells=num_cells,
        mask=None if mask.all() else mask.mT[:, None],
    )


def attend_to_memory(
    attention: MemoryAttention, features: FrameFeatures, memory: PackedMemory, owner: torch.Tensor
) -> torch.Tensor:
    """The lowest level of frames after R objects attended to their memories, (R, M, h, w) float.

    Args:
        attention: SAM2's; its layers' own weights do everything.
        features: of n frames; objects of the same frame part only where they meet their memories.
        memory: from `ObjectMemory.pack`.
        owner: (R,) long; frame of each object.

    Source: `MemoryAttention.forward` in eval mode. Differs: fewer frames than rows, and a mask.
    """
    low = features.levels[2]
    cells = (low + 0.1 * features.pos).flatten(2).transpose(1, 2)
    for layer in attention.layers:
        cells = layer._forward_sa(cells, None)
        found = _cross_attend(layer.cross_attn_image, layer.norm2(cells), memory, owner)
        cells = (cells if len(cells) == len(owner) else cells[owner]) + found
        cells = cells + layer.linear2(layer.activation(layer.linear1(layer.norm3(cells))))
    return attention.norm(cells).transpose(1, 2).unflatten(2, low.shape[-2:])


def _cross_attend(
    attention: RoPEAttention, queries: torch.Tensor, memory: PackedMemory, owner: torch.Tensor
) -> torch.Tensor:
    """`RoPEAttention.forward` of (R or n, h·w, M) queries, with a mask; every frame turned by the same rotations."""
    q = attention._separate_heads(attention.q_proj(queries), attention.num_heads)
    k = attention._separate_heads(attention.k_proj(memory.keys), attention.num_heads)
    v = attention._separate_heads(attention.v_proj(memory.values), attention.num_heads)
    frames = k[:, :, : memory.num_cells].unflatten(2, (-1, q.shape[2])).flatten(1, 2)  # (R, heads·n, h·w, M)
    attention.freqs_cis = attention.freqs_cis.to(q.device)  # no buffer; SAM2 moves it on the way, too
    q = q if len(q) == len(k) else q[owner]
    q, frames = apply_rotary_enc(q, frames, freqs_cis=attention.freqs_cis)
    k[:, :, : memory.num_cells] = frames.view(len(k), attention.num_heads, memory.num_cells, -1)
    found = F.scaled_dot_product_attention(q, k, v, attn_mask=memory.mask)
    out: torch.Tensor = attention.out_proj(attention._recombine_heads(found))
    return out


def _side(sam2: SamaSam2) -> int:
    """Cells per side of SAM2's lowest level."""
    return int(sam2.image_size // sam2.backbone_stride)


def _cells(entry: MemoryEntry) -> torch.Tensor:
    """(G, h·w, C) bfloat16 of a frame's memory, rounded as in SAM2's video predictor."""
    cells: torch.Tensor = entry["maskmem_features"].flatten(2).transpose(1, 2).to(torch.bfloat16)
    return cells
