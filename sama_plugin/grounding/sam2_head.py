"""Stage 6: prompt embeddings and frames in, masks out; the frozen SAM2 and the decoder fine-tuned on `[SEG]`.

Training and inference share `segment`: the fine-tuned decoder turns language prompts into masks on chosen
frames. At inference SAM2's untouched weights carry these masks through the clip (`object_tracker.py`), over
features that are made once per frame (`feature_store.py`).
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder

from sama_plugin.config import GroundingConfig
from sama_plugin.errors import PromptError
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.grounding.object_tracker import ObjectTracker, TrackedFrame
from sama_plugin.grounding.prediction import GroundFrame, Grounding, SegPrediction
from sama_plugin.grounding.sam2_model import DecoderOutput, FrameFeatures, SamaSam2, is_ambiguous
from sama_plugin.media.masks import mask_of_box
from sama_plugin.media.transforms import masks_to_video
from sama_plugin.schema import RegionPrompt

logger = logging.getLogger(__name__)

OFFICIAL_PROMPTED_FRAMES = 5
"""The official release prompts the first five frames."""

MAX_SCRIBBLE_CLICKS = 8
"""Clicks a scribble is thinned to: SAM2 was trained on few."""

PAIRS_AT_ONCE = 12
"""Frame and object pairs that are segmented together, their features held beside the budget meanwhile; more are hardly
faster."""

MIN_BOX_SHARE = 0.05
"""Below this share of its box, SAM2's mask of a box prompt is not believed."""

NEARLY_AS_GOOD = 0.95
"""Of the score of an object's best frame: what other frames need to be prompts too; a worse mask misleads memory."""


class Sam2Head:
    """The frozen SAM2, outside the LLM's module tree, with its own device and precision.

    Attributes:
        sam2: float32 weights, eval mode, no gradients (set here).
        grounding: how prompts become masks.
        dtype: precision of the computation; below float32 by autocast. Masks and scores leave in float32.
    """

    def __init__(
        self, sam2: SamaSam2, grounding: GroundingConfig, *, dtype: torch.dtype = torch.float32
    ) -> None:
        self.sam2 = sam2.requires_grad_(False).eval()
        self.grounding = grounding
        self.dtype = dtype

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
        with self.autocast():
            return self.sam2.encode_image(frames.to(self.device, torch.float32))

    def segment(
        self, features: FrameFeatures, prompt_embeds: torch.Tensor, decoder: MaskDecoder
    ) -> SegPrediction:
        """Masks of S objects on n frames, each frame without memory of the others.

        The one path from `[SEG]` to masks: training takes its losses here, inference its prompted frames. Has
        gradients with respect to `prompt_embeds` and the decoder.

        Args:
            features: n frames, not projected, or by this decoder.
            prompt_embeds: (S, M) float; one per `[SEG]`.
            decoder: the fine-tuned one; its dtype and device decide where this runs.

        Returns:
            Of three candidates the one with the best predicted IoU; not gated by the object score.

        Source: official §4.2. Differs: S objects as they are, neither cut nor repeated to five.
        """
        n, num_objects = features.num_frames, prompt_embeds.shape[0]
        rows = torch.arange(n).repeat_interleave(num_objects) if num_objects > 1 else None
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
            features: n frames, as in `segment`.
            prompt_embeds: (K, M) float.
            decoder: as in `segment`.
            frame_rows: (K,) long; which frame pair k is about; None if n = K and row k is its frame, or n = 1.

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
            features: one frame, not projected, or by SAM2's own decoder.
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
        with self.autocast():
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

    def mask_from_prompt(self, prompt: RegionPrompt, store: FeatureStore) -> np.ndarray:
        """What the user pointed at, as a mask.

        Args:
            prompt: point, box, scribble (thinned to at most 8 clicks) or mask (returned as it is).
            store: features of the clip it points into.

        Returns:
            (H, W) bool, not empty. For a box where SAM2 finds next to nothing the filled box, with a warning.

        Raises:
            PromptError: SAM2 finds nothing at these clicks.

        Source: official region masks. Differs: a box becomes the object in it instead of the filled box.
        """
        if prompt.mask is not None:
            return prompt.mask
        height, width = store.clip.height, store.clip.width
        features = store.frame(prompt.frame)
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

    def propagate(
        self,
        store: FeatureStore,
        prompts: Mapping[int, torch.Tensor],
        prompted: Mapping[int, np.ndarray] | None = None,
    ) -> Iterator[TrackedFrame]:
        """Carry masks from prompted frames through the clip with SAM2's untouched weights.

        Each object goes forward from its first prompted frame to the end, and backward from it to frame 0.

        Args:
            store: features of the clip.
            prompts: frame → (G, h, w); bool masks, or logits that are taken as masks above 0; at least one frame.
                An empty mask says that the object is absent there.
            prompted: frame → (S,) bool, which G of S objects the masks of that frame belong to; each object to at
                least one. All on every frame if None.

        Source: design §6; `SAM2VideoPredictor` with `add_new_mask`. Differs: all objects in one batch, lazy
            frames, bounded memory; the same numbers.
        """
        if prompted is None:
            prompted = {i: np.ones(len(masks), dtype=bool) for i, masks in prompts.items()}
        yield from self._tracker_of_masks(store, prompts, prompted, are_shown=False).track()

    @torch.inference_mode()
    def ground(
        self,
        store: FeatureStore,
        prompt_embeds: torch.Tensor,
        seg_decoder: MaskDecoder,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Grounding:
        """Masks of S objects on every frame of a clip.

        Candidate frames are tried over the whole clip. Of those that are nearly as good for an object as its best, by
        object score times predicted IoU, those that suit most objects become its prompts, SAM2 carries them on. An
        object below the minimum score is absent and not tracked. Under `propagation="official"` the fine-tuned decoder
        does everything, from the first five frames, forward only, and nothing is ever absent.

        Args:
            store: features of the clip.
            prompt_embeds: (S, M) float.
            seg_decoder: the fine-tuned decoder.
            start: first frame that is wanted.
            stop: frame after the last; None is the end of the clip, also of one that grows.

        Source: design §6; official §4.5.
        """
        if self.grounding.propagation == "official":
            return self._ground_official(store, prompt_embeds, seg_decoder, start, stop)
        num_frames = (store.clip.num_frames if stop is None else stop) - start
        candidates = [start + i for i in spread_frames(num_frames, self.grounding.candidate_frames)]
        logits, frame_scores, in_frame = self._try_frames(store, candidates, prompt_embeds, seg_decoder)
        scores, best = frame_scores.max(0)
        is_good = in_frame & (frame_scores >= NEARLY_AS_GOOD * scores)
        is_present = (scores >= self.grounding.min_score) & in_frame.gather(0, best[None])[0]
        kept = is_present.nonzero()[:, 0]
        # Of frames that are good for an object, those that are for most: objects that start together share each step.
        rank = (is_good * (1 + frame_scores / len(prompt_embeds)))[:, kept].sum(1)
        num_prompts = min(self.grounding.prompted_frames, len(candidates))
        chosen = rank[:, None].where(is_good, 0).topk(num_prompts, dim=0).indices
        is_prompt = torch.zeros_like(is_good).scatter_(0, chosen, True) & is_good
        prompts, prompted = {}, {}
        for i, of_frame, rows in zip(candidates, logits, is_prompt[:, kept], strict=True):
            if rows.any():
                prompts[i] = of_frame[kept[rows]].to(self.device)
                prompted[i] = rows.cpu().numpy()
        if not prompts:
            return Grounding(scores.cpu().numpy(), 0, iter(()), lambda: iter(()))
        tracker = self._tracker_of_masks(store, prompts, prompted, are_shown=True, start=start, stop=stop)
        return self._grounding(scores, kept.cpu().numpy(), store, tracker)

    def _try_frames(
        self, store: FeatureStore, frames: Sequence[int], prompt_embeds: torch.Tensor, decoder: MaskDecoder
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of S objects on F frames: (F, S, h, w) logits, (F, S) scores, and (F, S) bool, whether they are there.

        As many frames at once as make `PAIRS_AT_ONCE` pairs.
        """
        at_once = max(1, PAIRS_AT_ONCE // max(1, len(prompt_embeds)))
        walk = (features for _, features in store.walk(frames, decoder))
        predictions: list[SegPrediction] = []
        while together := list(itertools.islice(walk, at_once)):
            predictions.append(self.segment(FrameFeatures.of_frames(together), prompt_embeds, decoder))
        return (
            torch.cat([p.mask_logits for p in predictions]),
            torch.cat([p.scores for p in predictions]),
            torch.cat([p.object_logits > 0 for p in predictions]),
        )

    @torch.inference_mode()
    def _ground_official(
        self,
        store: FeatureStore,
        prompt_embeds: torch.Tensor,
        seg_decoder: MaskDecoder,
        start: int,
        stop: int | None,
    ) -> Grounding:
        """The official release's way, official §4.5, with the first frames' masks as prompts in memory."""
        objects = np.arange(len(prompt_embeds))
        last = store.clip.num_frames if stop is None else stop
        frames = range(start, min(start + OFFICIAL_PROMPTED_FRAMES, last))
        prompted = {i: np.ones(len(objects), dtype=bool) for i in frames}
        tracker = ObjectTracker(
            store, prompted, decoder=seg_decoder, is_gated=False, is_two_way=False, start=start, stop=stop
        )
        scores = []
        for frame_idx, features in store.walk(frames, seg_decoder):
            best = self._decode_language(features, prompt_embeds, seg_decoder, None)
            with self.autocast():
                pointers = self.sam2.point_to_object(best.tokens, best.object_logits)
            tracker.prompt(
                [frame_idx], features, best.mask_logits, best.object_logits, pointers, is_binary=False
            )
            scores.append(best.object_logits.sigmoid() * best.iou[:, 0])
        return self._grounding(torch.stack(scores).amax(0), objects, store, tracker)

    def autocast(self) -> AbstractContextManager[Any]:
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
        rows = features.project(decoder)  # before repeating: the raw levels are eight times as large
        if frame_rows is not None and features.num_frames > 1:
            rows = rows.take(frame_rows)
        return self.sam2.decode_language(
            self.sam2.embed_without_memory(rows), rows.levels[:2], prompt_embeds[:, None], decoder
        ).best()

    def _to_input(self, masks: torch.Tensor) -> torch.Tensor:
        """Masks or logits (S, h, w) as (S, s, s) bool at SAM2's input size."""
        logits = masks.to(self.device, torch.float32)
        if masks.dtype == torch.bool:
            logits = logits - 0.5
        side = (self.image_size, self.image_size)
        if logits.shape[-2:] != side:
            logits = F.interpolate(logits[:, None], size=side, mode="bilinear", align_corners=False)[:, 0]
        return logits > 0

    @torch.inference_mode()
    def _tracker_of_masks(
        self,
        store: FeatureStore,
        prompts: Mapping[int, torch.Tensor],
        prompted: Mapping[int, np.ndarray],
        *,
        are_shown: bool,
        start: int = 0,
        stop: int | None = None,
    ) -> ObjectTracker:
        """SAM2's own tracking; `prompts` and `prompted` as in `propagate`.

        What it gives for prompted frames is what SAM2 makes of the prompts, or (`are_shown`) these logits themselves.
        """
        tracker = ObjectTracker(
            store,
            prompted,
            decoder=self.sam2.sam_mask_decoder,
            is_gated=True,
            is_two_way=True,
            start=start,
            stop=stop,
        )
        walk = store.walk(sorted(prompts))
        at_once = max(1, PAIRS_AT_ONCE // max(map(len, prompts.values())))
        while together := list(itertools.islice(walk, at_once)):
            frames = [frame_idx for frame_idx, _ in together]
            counts = torch.tensor([len(prompts[i]) for i in frames])
            owner = torch.arange(len(frames)).repeat_interleave(counts)
            features = FrameFeatures.of_frames([own for _, own in together]).take(owner)
            masks = torch.cat([self._to_input(prompts[i]) for i in frames])
            with self.autocast():
                accepted = self.sam2.accept_masks(features, masks)
            shown = torch.cat([prompts[i].float() for i in frames]) if are_shown else None
            tracker.prompt(frames, features, *accepted, is_binary=True, shown=shown)
        return tracker

    def _grounding(
        self,
        scores: torch.Tensor,
        objects: np.ndarray,
        store: FeatureStore,
        tracker: ObjectTracker,
    ) -> Grounding:
        def shown(frames: Iterator[TrackedFrame]) -> Iterator[GroundFrame]:
            for frame in frames:
                masks = _to_video(frame.logits, store.clip.height, store.clip.width)
                found = frame.object_logits.sigmoid().cpu().numpy()
                yield GroundFrame(frame.frame_idx, objects[frame.rows], masks, found)

        return Grounding(
            scores.cpu().numpy(), len(objects), shown(tracker.track()), lambda: shown(tracker.extend())
        )


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
