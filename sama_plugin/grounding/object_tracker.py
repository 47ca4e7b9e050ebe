"""Objects carried from their prompted frames through a clip by SAM2, all of them in one batch per frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder

from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.object_memory import ObjectMemory, attend_to_memory
from sama_plugin.grounding.sam2_model import FrameFeatures


class TrackedFrame(NamedTuple):
    """Some of S objects on one frame.

    Attributes:
        frame_idx: 0-based.
        rows: (G,) int; which objects.
        logits: (G, h, w) float32, at a quarter of SAM2's input size.
        object_logits: (G,) float32; above 0 the object is in the frame.
    """

    frame_idx: int
    rows: np.ndarray
    logits: torch.Tensor
    object_logits: torch.Tensor


class ObjectTracker:
    """S objects on their way through a clip; memory attention, mask decoder and memory encoder run once per frame.

    First `prompt` each prompted frame, then read `track`, then, for a clip that grows, `extend`.

    Args:
        store: features of the clip, and the head whose SAM2 tracks.
        prompted: frame → (S,) bool, which objects are prompted there; each object on at least one frame.
        decoder: segments the other frames.
        is_gated: whether a frame without the object gets SAM2's empty mask, or what the decoder says.
        is_two_way: whether objects are also carried back from their first prompted frames.
        start: first frame that is wanted.
        stop: frame after the last; None is the end of the clip, as it is when frames are asked for.
    """

    def __init__(
        self,
        store: FeatureStore,
        prompted: Mapping[int, np.ndarray],
        *,
        decoder: MaskDecoder,
        is_gated: bool,
        is_two_way: bool,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        self._store = store
        self._sam2 = store.head.sam2
        self._prompted = prompted
        self._decoder = decoder
        self._is_gated = is_gated
        self._is_two_way = is_two_way
        self._start, self._stop = start, stop
        self._memory = ObjectMemory(self._sam2, prompted, has_way_back=is_two_way)
        self._given: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._num_tracked = int(self._memory.firsts.min())
        with torch.inference_mode():
            self._no_points = self._sam2.embed_points(None, None, 1)

    @property
    def num_bytes(self) -> int:
        """Memory of the objects, whatever the clip's length."""
        return self._memory.num_bytes

    @torch.inference_mode()
    def prompt(
        self,
        frame_idx: int,
        features: FrameFeatures,
        logits: torch.Tensor,
        object_logits: torch.Tensor,
        pointers: torch.Tensor,
        *,
        is_binary: bool,
        shown: torch.Tensor | None = None,
    ) -> None:
        """Remember a prompted frame.

        Args:
            frame_idx: a frame of `prompted`.
            features: of that frame.
            logits: (G, 1, h, w) float; of the G objects prompted there.
            object_logits: (G,) float.
            pointers: (G, M) float.
            is_binary: masks enter memory as 0 and 1.
            shown: (G, h, w) float32; what `track` gives for this frame instead of `logits`.
        """
        with self._store.head.autocast():
            entry = self._sam2.remember(features, logits, object_logits, pointers, is_prompt=is_binary)
        self._memory.add_prompt(frame_idx, entry)
        self._given[frame_idx] = (logits[:, 0].float() if shown is None else shown, object_logits.float())

    def track(self) -> Iterator[TrackedFrame]:
        """Every frame that is wanted, once for each object.

        Each object goes from its first prompted frame to the end, then (if two-way) from there back to the start.
        """
        firsts = self._memory.firsts
        yield from self.extend()
        if self._is_two_way:
            back = range(int(firsts.max()) - 1, self._start - 1, -1)
            yield from self._visit(back, self._num_tracked - self._start, is_reverse=True)
        self._memory.forget_way_back()

    def extend(self) -> Iterator[TrackedFrame]:
        """Frames from the last one on which the way forward arrived to the end, as it is now."""
        stop = self._store.clip.num_frames if self._stop is None else self._stop
        yield from self._visit(range(self._num_tracked, stop), stop - self._start, is_reverse=False)

    @torch.inference_mode()
    def _visit(self, indices: Sequence[int], num_frames: int, *, is_reverse: bool) -> Iterator[TrackedFrame]:
        wanted = [i for i in indices if self._tracked(i, is_reverse=is_reverse).any()]
        with closing(self._store.walk(wanted, self._decoder)) as walk:
            for frame_idx in indices:
                rows = self._tracked(frame_idx, is_reverse=is_reverse).nonzero()[0]
                parts = []
                if not is_reverse and frame_idx in self._prompted:
                    parts.append(
                        TrackedFrame(
                            frame_idx, self._prompted[frame_idx].nonzero()[0], *self._given[frame_idx]
                        )
                    )
                if len(rows):
                    _, features = next(walk)
                    parts.append(self._step(frame_idx, rows, features, num_frames, is_reverse=is_reverse))
                if not is_reverse:
                    self._num_tracked = frame_idx + 1
                yield _joined(parts)

    def _tracked(self, frame_idx: int, *, is_reverse: bool) -> np.ndarray:
        """(S,) bool; which objects are tracked, not given, on a frame on that way."""
        firsts = self._memory.firsts
        if is_reverse:
            return firsts > frame_idx
        is_near = firsts <= frame_idx
        return is_near & ~self._prompted[frame_idx] if frame_idx in self._prompted else is_near

    def _step(
        self, frame_idx: int, rows: np.ndarray, features: FrameFeatures, num_frames: int, *, is_reverse: bool
    ) -> TrackedFrame:
        """Segment objects from memory, and remember them."""
        sam2 = self._sam2
        sparse, dense = self._no_points
        with self._store.head.autocast():
            memory = self._memory.pack(frame_idx, rows, num_frames, self._num_tracked, is_reverse=is_reverse)
            embed = attend_to_memory(sam2.memory_attention, features, memory)
            sparse = sparse.expand(len(rows), -1, -1)
            best = sam2.decode(embed, features.levels[:2], sparse, dense, decoder=self._decoder).best()
            logits = best.gated_logits() if self._is_gated else best.mask_logits
            pointers = sam2.point_to_object(best.tokens, best.object_logits)
            entry = sam2.remember(features, logits, best.object_logits, pointers)
        self._memory.add(frame_idx, rows, entry, is_reverse=is_reverse)
        return TrackedFrame(frame_idx, rows, logits[:, 0].float(), best.object_logits.float())


def _joined(parts: list[TrackedFrame]) -> TrackedFrame:
    if len(parts) == 1:
        return parts[0]
    _, rows, logits, object_logits = zip(*parts, strict=True)
    return TrackedFrame(parts[0].frame_idx, np.concatenate(rows), torch.cat(logits), torch.cat(object_logits))
