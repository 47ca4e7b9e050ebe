"""Objects carried from their prompted frames through a clip by SAM2, all of them in one batch per frame.

Where both ways through the clip can go on, forward and back, one batch takes a frame of each.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder

from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.object_memory import ObjectMemory, attend_to_memory, join_memories
from sama_plugin.grounding.sam2_model import FrameFeatures

KEPT = ("maskmem_features", "obj_ptr")
"""Of SAM2's record of a frame: what `ObjectMemory` holds."""


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


class _Visit(NamedTuple):
    """Objects on a frame on one of the two ways.

    Attributes:
        frame_idx: 0-based.
        rows: (R,) int; which objects are tracked there.
        features: of that frame; None where there are no rows.
        is_reverse: going back in time.
    """

    frame_idx: int
    rows: np.ndarray
    features: FrameFeatures | None
    is_reverse: bool


class ObjectTracker:
    """S objects on their way through a clip; memory attention, mask decoder and memory encoder run once per step.

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
        frames: Sequence[int],
        features: FrameFeatures,
        logits: torch.Tensor,
        object_logits: torch.Tensor,
        pointers: torch.Tensor,
        *,
        is_binary: bool,
        shown: torch.Tensor | None = None,
    ) -> None:
        """Remember prompted frames.

        Args:
            frames: of `prompted`.
            features: G rows, or one frame for all.
            logits: (G, 1, h, w) float; of the objects prompted there, frame by frame.
            object_logits: (G,) float.
            pointers: (G, M) float.
            is_binary: masks enter memory as 0 and 1.
            shown: (G, h, w) float32; what `track` gives for this frame instead of `logits`.
        """
        with self._store.head.autocast():
            entry = self._sam2.remember(features, logits, object_logits, pointers, is_prompt=is_binary)
        shown = logits[:, 0].float() if shown is None else shown
        ends = list(itertools.accumulate((int(self._prompted[i].sum()) for i in frames), initial=0))
        for frame_idx, rows in zip(frames, map(slice, ends, ends[1:]), strict=True):
            self._memory.add_prompt(frame_idx, {name: entry[name][rows] for name in KEPT})
            self._given[frame_idx] = shown[rows], object_logits[rows].float()

    def track(self) -> Iterator[TrackedFrame]:
        """Every frame that is wanted, once for each object.

        Each object goes from its first prompted frame to the end, and (if two-way) from there back to the start.
        """
        back = (
            range(int(self._memory.firsts.max()) - 1, self._start - 1, -1) if self._is_two_way else range(0)
        )
        yield from self._visit(self._ahead(), back)
        self._memory.forget_way_back()

    def extend(self) -> Iterator[TrackedFrame]:
        """Frames from the last one on which the way forward arrived to the end, as it is now."""
        yield from self._visit(self._ahead(), range(0))

    def _ahead(self) -> range:
        stop = self._store.clip.num_frames if self._stop is None else self._stop
        return range(self._num_tracked, stop)

    @torch.inference_mode()
    def _visit(self, ahead: range, back: range) -> Iterator[TrackedFrame]:
        # The way back looks at frames behind the last first prompt, on which the way forward has to have been.
        lead = max(0, back.start + self._memory.reach + 1 - ahead.start) if back else len(ahead)
        first = ((i, None) for i in ahead[:lead])
        together: Iterator[tuple[int | None, int | None]] = itertools.zip_longest(ahead[lead:], back)
        with (
            closing(self._walk(ahead, is_reverse=False)) as forward,
            closing(self._walk(back, is_reverse=True)) as backward,
        ):
            for frames in itertools.chain(first, together):
                ways = zip((forward, backward), frames, strict=True)
                visits = [next(way) for way, frame_idx in ways if frame_idx is not None]
                yield from self._step(visits, num_frames=ahead.stop - self._start)

    def _walk(self, indices: range, *, is_reverse: bool) -> Generator[_Visit, None, None]:
        """Where objects are tracked on a way, with features; elsewhere there are none to be had."""
        rows = [self._tracked(i, is_reverse=is_reverse).nonzero()[0] for i in indices]
        wanted = [i for i, own in zip(indices, rows, strict=True) if len(own)]
        with closing(self._store.walk(wanted, self._decoder)) as walk:
            for frame_idx, own in zip(indices, rows, strict=True):
                features = next(walk)[1] if len(own) else None
                yield _Visit(frame_idx, own, features, is_reverse)

    def _tracked(self, frame_idx: int, *, is_reverse: bool) -> np.ndarray:
        """(S,) bool; which objects are tracked, not given, on a frame on that way."""
        firsts = self._memory.firsts
        if is_reverse:
            return firsts > frame_idx
        is_near = firsts <= frame_idx
        return is_near & ~self._prompted[frame_idx] if frame_idx in self._prompted else is_near

    def _step(self, visits: Sequence[_Visit], num_frames: int) -> Iterator[TrackedFrame]:
        """What is given or tracked on a frame of each way."""
        tracked = self._track_on([visit for visit in visits if len(visit.rows)], num_frames)
        for visit in visits:
            frame_idx = visit.frame_idx
            parts = []
            if not visit.is_reverse and frame_idx in self._prompted:
                rows = self._prompted[frame_idx].nonzero()[0]
                parts.append(TrackedFrame(frame_idx, rows, *self._given[frame_idx]))
            if len(visit.rows):
                parts.append(next(tracked))
            if not visit.is_reverse:
                self._num_tracked = frame_idx + 1
            yield _joined(parts)

    def _track_on(self, visits: Sequence[_Visit], num_frames: int) -> Iterator[TrackedFrame]:
        """Segment the objects of each frame from memory, and remember them."""
        if not visits:
            return iter(())
        sam2, counts = self._sam2, [len(visit.rows) for visit in visits]
        features = FrameFeatures.of_frames([visit.features for visit in visits if visit.features is not None])
        owner = torch.arange(len(visits)).repeat_interleave(torch.tensor(counts)).to(sam2.device)
        sparse, dense = self._no_points
        with self._store.head.autocast():
            memory = join_memories(
                [
                    self._memory.pack(
                        visit.frame_idx,
                        visit.rows,
                        num_frames,
                        self._num_tracked,
                        is_reverse=visit.is_reverse,
                    )
                    for visit in visits
                ]
            )
            embed = attend_to_memory(sam2.memory_attention, features, memory, owner)
            own = features if len(visits) == 1 else features.take(owner)
            sparse = sparse.expand(len(owner), -1, -1)
            best = sam2.decode(embed, own.levels[:2], sparse, dense, decoder=self._decoder).best()
            logits = best.gated_logits() if self._is_gated else best.mask_logits
            pointers = sam2.point_to_object(best.tokens, best.object_logits)
            entry = sam2.remember(own, logits, best.object_logits, pointers)
        ends = list(itertools.accumulate(counts, initial=0))
        frames = []
        for visit, rows in zip(visits, map(slice, ends, ends[1:]), strict=True):
            kept = {name: entry[name][rows] for name in KEPT}
            self._memory.add(visit.frame_idx, visit.rows, kept, is_reverse=visit.is_reverse)
            seen = logits[rows, 0].float(), best.object_logits[rows].float()
            frames.append(TrackedFrame(visit.frame_idx, visit.rows, *seen))
        return iter(frames)


def _joined(parts: list[TrackedFrame]) -> TrackedFrame:
    if len(parts) == 1:
        return parts[0]
    _, rows, logits, object_logits = zip(*parts, strict=True)
    return TrackedFrame(parts[0].frame_idx, np.concatenate(rows), torch.cat(logits), torch.cat(object_logits))
