"""Stage 6: prompt embeddings and frames in, masks out; the frozen SAM2 and the decoder fine-tuned on `[SEG]`.

Training and inference share `segment`: the fine-tuned decoder turns language prompts into masks on chosen
frames. At inference SAM2's untouched weights carry these masks through the clip, forward from an object's first
prompted frame to the end, then back to the beginning; objects on one frame share its features, those with
the same prompted frames a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder

from sama_plugin.config import GroundingConfig
from sama_plugin.errors import PromptError
from sama_plugin.grounding.prediction import GroundedTrack, SegPrediction
from sama_plugin.grounding.sam2_model import (
    DecoderOutput,
    FrameFeatures,
    MemoryEntry,
    SamaSam2,
    is_ambiguous,
)
from sama_plugin.media.masks import encode_mask, mask_of_box
from sama_plugin.media.transforms import masks_to_video, sam2_frames
from sama_plugin.schema import RegionPrompt, Rle

if TYPE_CHECKING:
    from sama_plugin.media.decode import VideoClip

logger = logging.getLogger(__name__)

OFFICIAL_PROMPTED_FRAMES = 5
"""The official release prompts the first five frames."""

MAX_SCRIBBLE_CLICKS = 8
"""Clicks a scribble is thinned to: SAM2 was trained on few."""

MIN_BOX_SHARE = 0.05
"""Below this share of its box, SAM2's mask of a box prompt is not believed."""


NEARLY_AS_GOOD = 0.95
"""Of the score of an object's best frame: what other frames need to be prompts too; a worse mask misleads memory."""

KEPT_FRAMES = 32
"""Frames between the first prompts of two objects that are kept for the way back; others are encoded again."""


@dataclass(frozen=True)
class GroundFrame:
    """Masks of some objects on one video frame.

    Attributes:
        frame_idx: 0-based.
        objects: (G,) int; which of the S objects.
        masks: (G, H, W) bool, video pixels; all False where an object is absent.
        scores: (G,) float32 in [0, 1]; how sure it is that each object is in this frame.
    """

    frame_idx: int
    objects: np.ndarray
    masks: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Grounding:
    """What S prompts mean in a clip.

    Attributes:
        scores: (S,) float32 in [0, 1]; best over the frames tried; low for an object that is not in the clip.
        num_tracked: objects that are in the clip.
        frames: each frame of the clip once for each object that is in it, not in order (forward from its first
            prompted frame, then backward). Made while it is read.
    """

    scores: np.ndarray
    num_tracked: int
    frames: Iterator[GroundFrame]


class MemoryBank:
    """SAM2's memory of a clip, bounded: all prompted frames, and only the recent others.

    Attributes:
        entries: SAM2's `output_dict`.
    """

    def __init__(self, num_recent: int, num_pointers: int) -> None:
        self.entries: dict[str, dict[int, MemoryEntry]] = {
            "cond_frame_outputs": {},
            "non_cond_frame_outputs": {},
        }
        self._num_recent = num_recent
        self._num_pointers = num_pointers
        self._pos: torch.Tensor | None = None

    def add(self, frame_idx: int, entry: MemoryEntry, *, is_prompted: bool) -> None:
        """Keep a frame; as in SAM2, spatial memory in bfloat16 and one position encoding for all frames."""
        features = entry["maskmem_features"].to(torch.bfloat16)
        if self._pos is None:
            self._pos = entry["maskmem_pos_enc"][-1][:1].clone()
        pos = self._pos.expand(features.shape[0], -1, -1, -1)
        kept = {"maskmem_features": features, "maskmem_pos_enc": [pos], "obj_ptr": entry["obj_ptr"]}
        self.entries["cond_frame_outputs" if is_prompted else "non_cond_frame_outputs"][frame_idx] = kept

    def trim(self, near: list[int]) -> None:
        """Forget unprompted frames that SAM2 will not look at from any frame of `near`."""
        recent = self.entries["non_cond_frame_outputs"]
        for frame_idx in list(recent):
            distance = min(abs(frame_idx - n) for n in near)
            if distance > self._num_pointers:
                del recent[frame_idx]
            elif distance > self._num_recent:
                recent[frame_idx] = {"maskmem_features": None, "obj_ptr": recent[frame_idx]["obj_ptr"]}

    @property
    def num_memories(self) -> int:
        """Spatial memories held."""
        return sum(e["maskmem_features"] is not None for kind in self.entries.values() for e in kind.values())

    @property
    def num_pointers(self) -> int:
        """Object pointers held."""
        return sum(map(len, self.entries.values()))


@dataclass(frozen=True)
class _Tracker:
    """How unprompted frames are segmented: with which decoder, and whether its object score empties masks."""

    decoder: MaskDecoder
    is_gated: bool


@dataclass(frozen=True)
class _Group:
    """Objects that are prompted on the same frames, and so share a memory.

    Attributes:
        rows: (G,) long; which of all objects.
        bank: their memory.
        given: prompted frame → (G, h, w) logits and (G,) object logits.
    """

    rows: torch.Tensor
    bank: MemoryBank
    given: dict[int, tuple[torch.Tensor, torch.Tensor]]


class Sam2Head:
    """The frozen SAM2, outside the LLM's module tree, with its own device and precision.

    Attributes:
        sam2: float32 weights, eval mode, no gradients (set here).
        grounding: how prompts become masks.
        dtype: precision of the computation; below float32 by autocast. Masks and scores leave in float32.
        frames_encoded: frames through the image encoder so far.
    """

    def __init__(
        self, sam2: SamaSam2, grounding: GroundingConfig, *, dtype: torch.dtype = torch.float32
    ) -> None:
        self.sam2 = sam2.requires_grad_(False).eval()
        self.grounding = grounding
        self.dtype = dtype
        self.frames_encoded = 0

    @property
    def device(self) -> torch.device:
        """Where SAM2 is."""
        return self.sam2.device

    @property
    def image_size(self) -> int:
        """Side of SAM2's square input, pixels."""
        return int(self.sam2.image_size)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Sam2Head:
        """Move SAM2 and set the precision; returns itself."""
        if device is not None:
            self.sam2.to(device)
        if dtype is not None:
            self.dtype = dtype
        return self

    @torch.no_grad()
    def encode(self, frames: torch.Tensor) -> FrameFeatures:
        """Image features, once for all objects and both decoders; no gradient.

        Args:
            frames: (n, 3, s, s) float; from `media.transforms.sam2_frames`.
        """
        self.frames_encoded += frames.shape[0]
        with self._autocast():
            return self.sam2.encode_image(frames.to(self.device, torch.float32))

    def segment(
        self, features: FrameFeatures, prompt_embeds: torch.Tensor, decoder: MaskDecoder
    ) -> SegPrediction:
        """Masks of S objects on n frames, each frame without memory of the others.

        The one path from `[SEG]` to masks: training takes its losses here, inference its prompted frames. Has
        gradients with respect to `prompt_embeds` and the decoder.

        Args:
            features: n frames, not projected.
            prompt_embeds: (S, M) float; one per `[SEG]`.
            decoder: the fine-tuned one; its dtype and device decide where this runs.

        Returns:
            Of three candidates the one with the best predicted IoU; not gated by the object score.

        Source: official §4.2. Differs: S objects as they are, neither cut nor repeated to five.
        """
        n, num_objects = features.num_frames, prompt_embeds.shape[0]
        rows = torch.arange(n).repeat_interleave(num_objects)
        pairs = self.segment_pairs(features, prompt_embeds.repeat(n, 1), decoder, frame_rows=rows)
        return SegPrediction(
            pairs.mask_logits.view(n, num_objects, *pairs.mask_logits.shape[-2:]),
            pairs.iou.view(n, num_objects),
            pairs.object_logits.view(n, num_objects),
        )

    def segment_pairs(
        self,
        features: FrameFeatures,
        prompt_embeds: torch.Tensor,
        decoder: MaskDecoder,
        *,
        frame_rows: torch.Tensor | None = None,
    ) -> SegPrediction:
        """`segment` for K (frame, object) pairs that need not be a full product, e.g. of a batch of clips.

        Args:
            features: n frames, not projected.
            prompt_embeds: (K, M) float.
            decoder: as in `segment`.
            frame_rows: (K,) long; which frame pair k is about; None if n = K and row k is its frame.

        Returns:
            The same fields with one leading axis: (K, 1, h, w), (K, 1), (K, 1).
        """
        if len(prompt_embeds) == 0:
            h, w = features.levels[0].shape[-2:]
            none = prompt_embeds.float().sum() + torch.zeros(0, 1, device=prompt_embeds.device)
            return SegPrediction(none[..., None, None].expand(0, 1, h, w), none, none)
        best = self._decode_language(features, prompt_embeds, decoder, frame_rows)
        return SegPrediction(best.mask_logits, best.iou, best.object_logits[:, None])

    @torch.no_grad()
    def prompt_to_mask(
        self,
        features: FrameFeatures,
        *,
        points_xy: torch.Tensor | None = None,
        point_labels: torch.Tensor | None = None,
        box_xyxy: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The mask SAM2 itself gives for clicks or a box; not gated: the user says that something is there.

        Args:
            features: one frame.
            points_xy: (n, 2) float; SAM2 input pixels.
            point_labels: (n,) 1 inside, 0 outside; all inside if None.
            box_xyxy: (4,) float; SAM2 input pixels.

        Returns:
            (h, w) float32 logits at a quarter of SAM2's input size.

        Raises:
            PromptError: neither points nor a box.
        """
        coords, labels = [], []
        if box_xyxy is not None:
            coords.append(box_xyxy.reshape(2, 2))
            labels.append(torch.tensor([2, 3]))
        if points_xy is not None:
            coords.append(points_xy.reshape(-1, 2))
            labels.append(torch.ones(len(points_xy)) if point_labels is None else point_labels)
        if not coords:
            raise PromptError("prompt_to_mask got neither points nor a box; give at least one of them.")
        points = torch.cat([c.float() for c in coords])[None]
        kinds = torch.cat([k.to(torch.int32) for k in labels])[None]
        with self._autocast():
            own = features.project(self.sam2.sam_mask_decoder)
            sparse, dense = self.sam2.embed_points(points, kinds, 1)
            output = self.sam2.decode(
                self.sam2.embed_without_memory(own),
                own.levels[:2],
                sparse,
                dense,
                multimask=is_ambiguous(points.shape[1]),
            )
        return output.best().mask_logits[0, 0]

    def mask_from_prompt(self, prompt: RegionPrompt, frame: np.ndarray) -> np.ndarray:
        """What the user pointed at, as a mask.

        Args:
            prompt: point, box, scribble (thinned to at most 8 clicks) or mask (returned as it is).
            frame: (H, W, 3) uint8; the frame it points at.

        Returns:
            (H, W) bool, not empty. For a box where SAM2 finds next to nothing the filled box, with a warning.

        Raises:
            PromptError: SAM2 finds nothing at these clicks.

        Source: official region masks. Differs: a box becomes the object in it instead of the filled box.
        """
        height, width = frame.shape[:2]
        if prompt.mask is not None:
            return prompt.mask
        features = self.encode(sam2_frames(frame[None], self.image_size))
        scale = torch.tensor([self.image_size / width, self.image_size / height])
        if prompt.box_xyxy is not None:
            box = torch.tensor(prompt.box_xyxy, dtype=torch.float32).reshape(2, 2) * scale
            logits = self.prompt_to_mask(features, box_xyxy=box)
        else:
            assert prompt.points_xy is not None, f"region '{prompt.name}' has neither mask, box nor points"
            points, labels = _clicks(prompt)
            logits = self.prompt_to_mask(features, points_xy=points * scale, point_labels=labels)
        mask = _to_video(logits[None], height, width)[0]
        if prompt.box_xyxy is not None:
            filled = mask_of_box(prompt.box_xyxy, height, width)
            share = (mask & filled).sum() / max(int(filled.sum()), 1)
            if share >= MIN_BOX_SHARE:
                return mask
            logger.warning(
                "Region '%s' on frame %d: SAM2 finds an object in %.1f %% of its box only; using the box.",
                prompt.name,
                prompt.frame,
                100 * share,
            )
            return filled
        if not mask.any():
            raise PromptError(
                f"Region '{prompt.name}' on frame {prompt.frame}: SAM2 finds nothing at {len(points)} "
                f"{prompt.kind} clicks; click elsewhere on the object, or give a box or a mask."
            )
        return mask

    @torch.no_grad()
    def propagate(
        self,
        clip: VideoClip,
        prompts: dict[int, torch.Tensor],
        *,
        features: dict[int, FrameFeatures] | None = None,
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Carry masks from prompted frames through the clip with SAM2's untouched weights.

        Forward from the first prompted frame to the end, then backward from it to frame 0. Memory stays flat:
        prompted frames, 6 recent memories and 15 recent pointers (and as many after the first prompted frame,
        for the way back).

        Args:
            clip: read lazily.
            prompts: frame -> (S, h, w); bool masks, or logits that are taken as masks above 0; at least one
                frame. An empty mask says that the object is absent there.
            features: frame -> features already there; used instead of encoding, and emptied on the way.

        Yields:
            Frame index, (S, h, w) float32 logits at a quarter of the input size, (S,) float32 object logits.

        Source: design §6; `SAM2VideoPredictor` with `add_new_mask`. Differs: all objects in one batch, lazy
            frames, bounded memory; the same numbers.
        """
        cache = {} if features is None else features
        tracker = _Tracker(self.sam2.sam_mask_decoder, is_gated=True)
        rows = torch.arange(len(next(iter(prompts.values()))))
        group = self._prompted_group(clip, prompts, rows, cache, tracker)
        for frame_idx, _, logits, object_logits in self._track(
            clip, [group], cache, tracker, is_two_way=True
        ):
            yield frame_idx, logits, object_logits

    def ground(self, clip: VideoClip, prompt_embeds: torch.Tensor, seg_decoder: MaskDecoder) -> Grounding:
        """Masks of S objects on every frame of a clip.

        Candidate frames are tried over the whole clip, the best of each object by object score times predicted IoU
        become its prompts, SAM2 carries them on. An object below the minimum score is absent and not tracked. Under
        `propagation="official"` the fine-tuned decoder does everything, from the first five frames, forward
        only, and nothing is ever absent.

        Args:
            clip: read lazily.
            prompt_embeds: (S, M) float.
            seg_decoder: the fine-tuned decoder.

        Source: design §6; official §4.5 for `official`. Differs: as the design says; S objects in one pass.
        """
        if prompt_embeds.shape[0] == 0:
            return Grounding(np.zeros(0, np.float32), 0, iter(()))
        if self.grounding.propagation == "official":
            return self._ground_official(clip, prompt_embeds, seg_decoder)
        cache: dict[int, FrameFeatures] = {}
        predictions = self._try_candidates(clip, prompt_embeds, seg_decoder, cache)
        frame_indices = sorted(predictions)
        frame_scores = torch.stack([predictions[i].scores[0] for i in frame_indices])  # (frames, S)
        in_frame = torch.stack([predictions[i].object_logits[0] > 0 for i in frame_indices])
        scores = frame_scores.amax(0)
        best = frame_scores.topk(min(self.grounding.prompted_frames, len(frame_indices)), dim=0).indices
        is_present = (scores >= self.grounding.min_score) & in_frame.gather(0, best[:1])[0]
        kept = is_present.nonzero()[:, 0]
        is_prompt = torch.zeros_like(in_frame).scatter_(0, best, True)
        is_prompt &= in_frame & (frame_scores >= NEARLY_AS_GOOD * scores)
        prompts, prompted = {}, {}
        for i, rows in zip(frame_indices, is_prompt[:, kept], strict=True):
            if rows.any():
                prompts[i] = predictions[i].mask_logits[0, kept].to(self.device)
                prompted[i] = rows.to(self.device)
        frames = self._ground_frames(clip, prompts, prompted, kept.cpu().numpy(), cache)
        return Grounding(scores.cpu().numpy(), len(kept), frames)

    def ground_tracks(
        self,
        clip: VideoClip,
        prompt_embeds: torch.Tensor,
        seg_decoder: MaskDecoder,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[GroundedTrack]:
        """`ground`, with each mask run-length encoded as it is made: only these grow with the clip.

        Args:
            clip: as in `ground`.
            prompt_embeds: as in `ground`.
            seg_decoder: as in `ground`.
            progress: called with frames done and frames in all.

        Returns:
            S tracks.
        """
        grounding = self.ground(clip, prompt_embeds, seg_decoder)
        rles: list[list[Rle | None]] = [[None] * clip.num_frames for _ in grounding.scores]
        made, told = 0, 0
        for frame in grounding.frames:
            for index, mask in zip(frame.objects.tolist(), frame.masks, strict=True):
                rles[index][frame.frame_idx] = encode_mask(mask) if mask.any() else None
            made += len(frame.objects)
            done = made // grounding.num_tracked  # some objects are done with a frame before others
            if progress is not None and done > told:
                told = done
                progress(done, clip.num_frames)
        return [GroundedTrack(float(s), rle) for s, rle in zip(grounding.scores, rles, strict=True)]

    def _autocast(self) -> AbstractContextManager[Any]:
        """Our precision, whatever the caller's."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _decode_language(
        self,
        features: FrameFeatures,
        prompt_embeds: torch.Tensor,
        decoder: MaskDecoder,
        frame_rows: torch.Tensor | None,
    ) -> DecoderOutput:
        """Best candidates of K (frame, object) pairs; arguments as in `segment_pairs`."""
        assert not features.is_projected, "each decoder projects the fine levels itself"
        rows = features.project(decoder)  # before repeating: the raw levels are eight times as large
        if frame_rows is not None:
            rows = rows.take(frame_rows)
        return self.sam2.decode_language(
            self.sam2.embed_without_memory(rows), rows.levels[:2], prompt_embeds[:, None], decoder
        ).best()

    def _new_bank(self) -> MemoryBank:
        return MemoryBank(self.sam2.num_maskmem - 1, self.sam2.max_obj_ptrs_in_encoder - 1)

    def _features_of(
        self, clip: VideoClip, frame_idx: int, cache: dict[int, FrameFeatures], tracker: _Tracker
    ) -> FrameFeatures:
        """Features of a prompted frame, for the tracker's decoder; they stay in the cache for `_track`."""
        if frame_idx not in cache:
            cache[frame_idx] = self.encode(sam2_frames(clip.read([frame_idx]), self.image_size))
        with self._autocast():
            return cache[frame_idx].project(tracker.decoder)

    def _to_input(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks or logits (S, h, w) as (S, s, s) bool at SAM2's input size."""
        logits = masks.to(self.device, torch.float32)
        if masks.dtype == torch.bool:
            logits = logits - 0.5
        side = (self.image_size, self.image_size)
        if logits.shape[-2:] != side:
            logits = F.interpolate(logits[:, None], size=side, mode="bilinear", align_corners=False)[:, 0]
        return logits > 0

    def _prompted_group(
        self,
        clip: VideoClip,
        prompts: dict[int, torch.Tensor],
        rows: torch.Tensor,
        cache: dict[int, FrameFeatures],
        tracker: _Tracker,
    ) -> _Group:
        """A group whose memory holds its prompts, frame → (G, h, w)."""
        bank = self._new_bank()
        given: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        for frame_idx in sorted(prompts):
            own = self._features_of(clip, frame_idx, cache, tracker).expand(len(rows))
            with self._autocast():
                logits, object_logits, pointers = self.sam2.accept_masks(
                    own, self._to_input(prompts[frame_idx])
                )
                entry = self.sam2.remember(own, logits, object_logits, pointers, is_prompt=True)
            bank.add(frame_idx, entry, is_prompted=True)
            given[frame_idx] = (logits[:, 0].float(), object_logits.float())
        return _Group(rows, bank, given)

    def _track(
        self,
        clip: VideoClip,
        groups: list[_Group],
        cache: dict[int, FrameFeatures],
        tracker: _Tracker,
        *,
        is_two_way: bool,
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Frame, rows of all objects that are seen to there, their logits and object logits.

        Each group goes from its first given frame to the end, then (if two-way) from there back to 0; all that see to a
        frame on the same way share its features. Given frames are as they are.
        """
        firsts = [min(group.given) for group in groups]
        turn = max(firsts)
        for frame_idx, frame in clip.iter_frames(min(firsts)):
            near = [(group, first) for group, first in zip(groups, firsts, strict=True) if first <= frame_idx]
            keeps = is_two_way and frame_idx < turn
            yield self._visit(
                clip, frame_idx, frame, [g for g, _ in near], cache, tracker, is_reverse=False, keeps=keeps
            )
            for group, first in near:
                group.bank.trim([frame_idx + 1, first] if is_two_way and first > 0 else [frame_idx + 1])
        if not is_two_way or turn == 0:
            return
        for frame_idx, frame in clip.iter_frames_reversed(turn - 1):
            left = [group for group, first in zip(groups, firsts, strict=True) if first > frame_idx]
            yield self._visit(clip, frame_idx, frame, left, cache, tracker, is_reverse=True, keeps=False)
            for group in left:
                group.bank.trim([frame_idx - 1])

    def _visit(
        self,
        clip: VideoClip,
        frame_idx: int,
        frame: np.ndarray,
        groups: list[_Group],
        cache: dict[int, FrameFeatures],
        tracker: _Tracker,
        *,
        is_reverse: bool,
        keeps: bool,
    ) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
        """What `_track` yields for one frame; its features stay in the cache if wanted and there is room."""
        features = cache.pop(frame_idx, None)
        parts = []
        for group in groups:
            if frame_idx in group.given:
                parts.append(group.given[frame_idx])
                continue
            if features is None:
                features = self.encode(sam2_frames(frame[None], self.image_size))
            with self._autocast():
                features = features.project(tracker.decoder)
            parts.append(self._step(clip, frame_idx, features, group, tracker, is_reverse=is_reverse))
        if keeps and features is not None and len(cache) < KEPT_FRAMES:
            cache[frame_idx] = features
        logits, object_logits = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return frame_idx, torch.cat([group.rows for group in groups]), logits, object_logits

    def _step(
        self,
        clip: VideoClip,
        frame_idx: int,
        features: FrameFeatures,
        group: _Group,
        tracker: _Tracker,
        *,
        is_reverse: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Segment a group on a frame where it is not prompted, from memory, and remember it."""
        with self._autocast():
            rows = features.expand(len(group.rows))
            embed = self.sam2.embed_with_memory(
                rows, group.bank.entries, frame_idx, clip.num_frames, is_reverse=is_reverse
            )
            sparse, dense = self.sam2.embed_points(None, None, len(group.rows))
            best = self.sam2.decode(embed, rows.levels[:2], sparse, dense, decoder=tracker.decoder).best()
            logits = best.gated_logits() if tracker.is_gated else best.mask_logits
            pointers = self.sam2.point_to_object(best.tokens, best.object_logits)
            entry = self.sam2.remember(rows, logits, best.object_logits, pointers)
        group.bank.add(frame_idx, entry, is_prompted=False)
        return logits[:, 0].float(), best.object_logits.float()

    @torch.no_grad()
    def _try_candidates(
        self,
        clip: VideoClip,
        prompt_embeds: torch.Tensor,
        seg_decoder: MaskDecoder,
        cache: dict[int, FrameFeatures],
    ) -> dict[int, SegPrediction]:
        """Segment the candidate frames one by one; their features stay in `cache`, small (projected)."""
        predictions = {}
        for frame_idx in spread_frames(clip.num_frames, self.grounding.candidate_frames):
            features = self.encode(sam2_frames(clip.read([frame_idx]), self.image_size))
            predictions[frame_idx] = self.segment(features, prompt_embeds, seg_decoder)
            with self._autocast():
                cache[frame_idx] = features.project(self.sam2.sam_mask_decoder)
        return predictions

    @torch.no_grad()
    def _ground_frames(
        self,
        clip: VideoClip,
        prompts: dict[int, torch.Tensor],
        prompted: dict[int, torch.Tensor],
        kept: np.ndarray,
        cache: dict[int, FrameFeatures],
    ) -> Iterator[GroundFrame]:
        """Track the objects `kept`, each from its own prompts; where one is prompted, the prompt itself is shown."""
        if not prompts:
            return
        tracker = _Tracker(self.sam2.sam_mask_decoder, is_gated=True)
        groups = [
            self._prompted_group(clip, {i: prompts[i][rows] for i in frames}, rows, cache, tracker)
            for frames, rows in _rows_by_frames(prompted)
        ]
        for frame_idx, rows, logits, object_logits in self._track(
            clip, groups, cache, tracker, is_two_way=True
        ):
            shown = logits
            if frame_idx in prompts:
                is_prompt = prompted[frame_idx][rows]
                shown = prompts[frame_idx][rows].where(is_prompt[:, None, None], logits)
            masks = _to_video(shown, clip.height, clip.width)
            yield GroundFrame(frame_idx, kept[rows.numpy()], masks, object_logits.sigmoid().cpu().numpy())

    @torch.no_grad()
    def _ground_official(
        self, clip: VideoClip, prompt_embeds: torch.Tensor, seg_decoder: MaskDecoder
    ) -> Grounding:
        """The official release's way, official §4.5, with the first frames' masks as prompts in memory."""
        tracker = _Tracker(seg_decoder, is_gated=False)
        bank = self._new_bank()
        given: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        scores = []
        for frame_idx in range(min(OFFICIAL_PROMPTED_FRAMES, clip.num_frames)):
            features = self.encode(sam2_frames(clip.read([frame_idx]), self.image_size))
            same = torch.zeros(len(prompt_embeds), dtype=torch.long)
            best = self._decode_language(features, prompt_embeds, seg_decoder, same)
            rows = features.expand(len(prompt_embeds))
            with self._autocast():
                pointers = self.sam2.point_to_object(best.tokens, best.object_logits)
                entry = self.sam2.remember(rows, best.mask_logits, best.object_logits, pointers)
            bank.add(frame_idx, entry, is_prompted=True)
            given[frame_idx] = (best.mask_logits[:, 0], best.object_logits)
            scores.append(best.object_logits.sigmoid() * best.iou[:, 0])
        group = _Group(torch.arange(len(prompt_embeds)), bank, given)
        frames = self._official_frames(clip, group, tracker)
        return Grounding(torch.stack(scores).amax(0).cpu().numpy(), len(prompt_embeds), frames)

    @torch.no_grad()
    def _official_frames(
        self,
        clip: VideoClip,
        group: _Group,
        tracker: _Tracker,
    ) -> Iterator[GroundFrame]:
        for frame_idx, rows, logits, object_logits in self._track(
            clip, [group], {}, tracker, is_two_way=False
        ):
            masks = _to_video(logits, clip.height, clip.width)
            yield GroundFrame(frame_idx, rows.numpy(), masks, object_logits.sigmoid().cpu().numpy())


def _rows_by_frames(prompted: dict[int, torch.Tensor]) -> list[tuple[list[int], torch.Tensor]]:
    """Frame → (S,) bool, whether each object is prompted there, to frames and the rows of objects that share them."""
    frames = sorted(prompted)
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, on in enumerate(torch.stack([prompted[i] for i in frames], dim=1).tolist()):
        rows.setdefault(tuple(i for i, is_on in zip(frames, on, strict=True) if is_on), []).append(row)
    return [(list(own), torch.tensor(indices)) for own, indices in rows.items()]


def spread_frames(num_frames: int, count: int) -> list[int]:
    """At most `count` frame indices over a clip: the middles of equal parts, ascending, all different."""
    count = min(count, num_frames)
    return [int((i + 0.5) * num_frames / count) for i in range(count)]


def _clicks(prompt: RegionPrompt) -> tuple[torch.Tensor, torch.Tensor]:
    """Clicks of a point or scribble prompt: (n, 2) float pixels and (n,) labels; scribbles evenly thinned."""
    assert prompt.points_xy is not None, "only point and scribble prompts have clicks"
    points = torch.as_tensor(np.asarray(prompt.points_xy, dtype=np.float32))
    if prompt.kind == "scribble":
        points = points[spread_frames(len(points), MAX_SCRIBBLE_CLICKS)]
    if prompt.kind == "scribble" or prompt.point_labels is None:
        return points, torch.ones(len(points), dtype=torch.int32)
    return points, torch.as_tensor(np.asarray(prompt.point_labels), dtype=torch.int32)


def _to_video(logits: torch.Tensor, height: int, width: int) -> np.ndarray:
    """(n, h, w) logits to (n, H, W) bool on the CPU."""
    masks: np.ndarray = masks_to_video(logits.float(), height, width).cpu().numpy()
    return masks
