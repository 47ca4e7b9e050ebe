"""SAM2 built from sizes, with one addition: a language embedding among the sparse prompt tokens.

In come normalised frames and prompts (language embeddings, clicks, boxes, masks); out go mask logits,
predicted IoU and object scores. Weights of the published SAM2.1 models load unchanged. What spans a whole video
is in `feature_store.py`, `object_memory.py`, `object_tracker.py` and, for all of it, `sam2_head.py`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam2_base import NO_OBJ_SCORE, SAM2Base
from sam2.modeling.sam2_utils import LayerNorm2d
from torch.overrides import TorchFunctionMode

from sama_plugin.config import Sam2Config
from sama_plugin.errors import CheckpointError, PromptError

WEIGHTS_NAME = "model.safetensors"
"""SAM2's weights inside the `sam2/` folder of a checkpoint."""

FEATURE_STRIDE = 16
"""Input pixels per cell of SAM2's lowest feature level; its mask logits have a quarter of that."""

MEMORY_FORMAT = torch.channels_last
"""Of the memory encoder's weights, after `FusedLayerNorm2d`; with both it takes a fifth less time on a CPU."""

Sam2Kind = TypeVar("Sam2Kind", bound=SAM2Base)

MemoryEntry = dict[str, Any]
"""SAM2's own record of one frame: `maskmem_features`, `maskmem_pos_enc`, `obj_ptr`."""


@dataclass(frozen=True)
class FrameFeatures:
    """What SAM2's image encoder makes of n frames; `s` is the input side.

    The two fine levels are kept *raw*: each mask decoder brings its own 1×1 convolutions for them, and the
    frozen and the fine-tuned decoder differ there.

    Attributes:
        levels: (n, M, s/4, s/4), (n, M, s/8, s/8) and (n, M, s/16, s/16) float; once projected the first two
            have M/8 and M/4 channels.
        pos: (1, M, s/16, s/16) float; position encoding of the lowest level.
        projected_by: the decoder whose convolutions were applied, if any.
    """

    levels: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    pos: torch.Tensor
    projected_by: MaskDecoder | None = None

    @property
    def num_frames(self) -> int:
        """Frames n."""
        return self.levels[2].shape[0]

    @classmethod
    def of_frames(cls, frames: Sequence[FrameFeatures]) -> FrameFeatures:
        """Several, projected alike, as one: (n, ...)."""
        fine, middle, low = (torch.cat(levels) for levels in zip(*(f.levels for f in frames), strict=True))
        return cls((fine, middle, low), frames[0].pos, frames[0].projected_by)

    def take(self, rows: torch.Tensor) -> FrameFeatures:
        """Frames by index, repeats allowed: (K, ...) for (K,) long `rows`."""
        fine, middle, low = (level[rows.to(level.device)] for level in self.levels)
        return FrameFeatures((fine, middle, low), self.pos, self.projected_by)

    def project(self, decoder: MaskDecoder) -> FrameFeatures:
        """Fine levels through the decoder's own convolutions, in its dtype, on its device; only once."""
        if self.projected_by is decoder:
            return self
        assert self.projected_by is None, "another decoder has projected these features"
        weight = decoder.conv_s0.weight
        fine, middle, low = self.levels
        fine = decoder.conv_s0(fine.to(weight.device, weight.dtype))
        middle = decoder.conv_s1(middle.to(weight.device, weight.dtype))
        return FrameFeatures((fine, middle, low), self.pos, decoder)


@dataclass(frozen=True)
class DecoderOutput:
    """What a mask decoder says about K prompts, nothing gated.

    Attributes:
        mask_logits: (K, m, h, w) float32; m = 3 candidates, or 1.
        iou: (K, m) float32; predicted IoU.
        tokens: (K, m or 1, M) float; mask tokens, from which object pointers are made.
        object_logits: (K,) float32; above 0 the object is in the frame.
    """

    mask_logits: torch.Tensor
    iou: torch.Tensor
    tokens: torch.Tensor
    object_logits: torch.Tensor

    def best(self) -> DecoderOutput:
        """The candidate with the best predicted IoU of each prompt, m = 1."""
        rows = torch.arange(self.iou.shape[0], device=self.iou.device)
        pick = self.iou.argmax(dim=1)
        tokens = self.tokens[rows, pick][:, None] if self.tokens.shape[1] > 1 else self.tokens
        return DecoderOutput(
            self.mask_logits[rows, pick][:, None], self.iou[rows, pick][:, None], tokens, self.object_logits
        )

    def gated_logits(self) -> torch.Tensor:
        """(K, m, h, w) float32; SAM2's large negative constant where the object score is not above 0."""
        return torch.where(self.object_logits[:, None, None, None] > 0, self.mask_logits, NO_OBJ_SCORE)


@dataclass(frozen=True)
class ClipPrompt:
    """First-frame prompts of B clips for `SamaSam2.track_clip`; exactly one kind is given.

    Attributes:
        points_xy: (B, n, 2) float; SAM2 input pixels.
        point_labels: (B, n) long; 1 inside, 0 outside, 2 and 3 the corners of a box, -1 padding.
        masks: (B, s, s) bool, at SAM2's input size.
        language: (B, M) float; prompt embeddings.
    """

    points_xy: torch.Tensor | None = None
    point_labels: torch.Tensor | None = None
    masks: torch.Tensor | None = None
    language: torch.Tensor | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("points_xy", "masks", "language") if getattr(self, name) is not None]
        if len(given) != 1 or (self.points_xy is None) != (self.point_labels is None):
            raise PromptError(
                f"ClipPrompt got {given or 'no prompt'}, expected exactly one of points_xy with "
                "point_labels, masks, or language."
            )


@dataclass(frozen=True)
class ClipPrediction:
    """Tracks of B clips, one object each, nothing gated and nothing detached.

    Attributes:
        mask_logits: (B, T, h, w) float32; the candidate with the best predicted IoU.
        iou: (B, T) float32; its predicted IoU.
        object_logits: (B, T) float32.
        candidate_logits: list of T × (B, m, h, w) float32; m is 3, or 1 where SAM2 gives one mask.
        candidate_iou: list of T × (B, m) float32.
        features: of all B·T frames, clip by clip.
    """

    mask_logits: torch.Tensor
    iou: torch.Tensor
    object_logits: torch.Tensor
    candidate_logits: list[torch.Tensor]
    candidate_iou: list[torch.Tensor]
    features: FrameFeatures


class FusedLayerNorm2d(LayerNorm2d):
    """SAM2's normalisation over channels in one kernel, not ten; its output lies in memory channels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, C, h, w) float to the same."""
        last = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return last.permute(0, 3, 1, 2)


class SamaSam2(SAM2Base):
    """SAM2 with language prompts. Parameters and their names are SAM2's own.

    Weights stay in float32, as SAM2's prompt encoder needs; for less precision run it under autocast. A
    decoder passed in may have its own dtype and device.
    """

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        for module in self.modules():
            if type(module) is LayerNorm2d:
                module.__class__ = FusedLayerNorm2d
        self.memory_encoder.to(memory_format=MEMORY_FORMAT)

    def encode_image(self, frames: torch.Tensor) -> FrameFeatures:
        """Features of frames, before any decoder's convolutions.

        Args:
            frames: (n, 3, s, s) float; normalised SAM2 input.
        """
        encoded = self.image_encoder(frames)
        fine, middle, low = encoded["backbone_fpn"]
        return FrameFeatures((fine, middle, low), encoded["vision_pos_enc"][-1][:1].clone())

    def embed_points(
        self, points_xy: torch.Tensor | None, point_labels: torch.Tensor | None, num_prompts: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """SAM2's sparse and dense prompt embeddings of clicks and boxes, or of no points at all.

        Args:
            points_xy: (K, n, 2) float; SAM2 input pixels; None for no points.
            point_labels: (K, n); as in `ClipPrompt`.
            num_prompts: K.

        Returns:
            (K, n + 1, M) sparse, the last a not-a-point token (for no points, two of these), and (K, M, h, w)
            dense.
        """
        if points_xy is None or point_labels is None:
            points_xy = torch.zeros(num_prompts, 1, 2, device=self.device)
            point_labels = torch.full((num_prompts, 1), -1, dtype=torch.int32, device=self.device)
        points = (points_xy.to(self.device, torch.float32), point_labels.to(self.device))
        sparse, dense = self.sam_prompt_encoder(points=points, boxes=None, masks=None)
        return sparse, dense

    def decode(
        self,
        image_embed: torch.Tensor,
        high_res: Iterable[torch.Tensor],
        sparse: torch.Tensor,
        dense: torch.Tensor,
        *,
        decoder: MaskDecoder | None = None,
        multimask: bool = True,
    ) -> DecoderOutput:
        """Run a mask decoder on K prompts, each with its own image or all with the same.

        Args:
            image_embed: (K or 1, M, h, w) float; lowest level, with memory or the no-memory embedding.
            high_res: (K or 1, M/8, 4h, 4w) and (K or 1, M/4, 2h, 2w) float; projected by the same decoder.
            sparse: (K, n, M) float.
            dense: (K or 1, M, h, w) float.
            decoder: SAM2's own if None; inputs are brought to its dtype and device.
            multimask: three candidates instead of one.
        """
        decoder = self.sam_mask_decoder if decoder is None else decoder
        weight = decoder.iou_token.weight
        to = {"device": weight.device, "dtype": weight.dtype}
        masks, iou, tokens, object_logits = decoder(
            image_embeddings=image_embed.to(**to).expand(len(sparse), -1, -1, -1),
            image_pe=self.sam_prompt_encoder.get_dense_pe().to(**to),
            sparse_prompt_embeddings=sparse.to(**to),
            dense_prompt_embeddings=dense.to(**to),
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=[level.to(**to) for level in high_res],
        )
        return DecoderOutput(masks.float(), iou.float(), tokens, object_logits.float()[:, 0])

    def decode_language(
        self,
        image_embed: torch.Tensor,
        high_res: Iterable[torch.Tensor],
        prompt_embeds: torch.Tensor,
        decoder: MaskDecoder | None = None,
    ) -> DecoderOutput:
        """Masks of what language embeddings mean: the one thing this class adds to SAM2.

        Args:
            image_embed: as in `decode`.
            high_res: as in `decode`.
            prompt_embeds: (K, 1, M) float; stands after the two not-a-point tokens SAM2 has when nobody
                clicked; the dense prompt is SAM2's no-mask embedding.
            decoder: as in `decode`.

        Returns:
            Three candidates per prompt, not gated by the object score.

        Source: official §4.1, §4.2; `SAM2Base._forward_sam_heads` with a language embedding. Differs: no.
        """
        sparse, dense = self.embed_points(None, None, prompt_embeds.shape[0])
        sparse = torch.cat([sparse.to(prompt_embeds), prompt_embeds], dim=1)
        return self.decode(image_embed, high_res, sparse, dense, decoder=decoder, multimask=True)

    def embed_without_memory(self, features: FrameFeatures) -> torch.Tensor:
        """(n, M, h, w); the lowest level as SAM2 hands it to the decoder on a frame it has no memory for."""
        return features.levels[2] + self.no_mem_embed.reshape(1, -1, 1, 1)

    def embed_with_memory(
        self,
        features: FrameFeatures,
        memory: dict[str, dict[int, MemoryEntry]],
        frame_idx: int,
        num_frames: int,
        *,
        is_reverse: bool = False,
    ) -> torch.Tensor:
        """(K, M, h, w); the lowest level after attending to prompted and recent frames.

        Args:
            features: K rows, one per object (or per clip of a batch).
            memory: SAM2's `output_dict`.
            frame_idx: this frame.
            num_frames: of the whole video.
            is_reverse: going back in time.
        """
        return self._prepare_memory_conditioned_features(
            frame_idx=frame_idx,
            is_init_cond_frame=False,
            current_vision_feats=[_flatten(features.levels[2])],
            current_vision_pos_embeds=[_flatten(features.pos.expand(features.num_frames, -1, -1, -1))],
            feat_sizes=[tuple(features.levels[2].shape[-2:])],
            output_dict=memory,
            num_frames=num_frames,
            track_in_reverse=is_reverse,
        )

    def point_to_object(self, tokens: torch.Tensor, object_logits: torch.Tensor) -> torch.Tensor:
        """Object pointers (K, M) of tokens (K, 1, M); SAM2's constant where `object_logits` (K,) say no."""
        present = (object_logits > 0).float().to(self.device)[:, None]
        pointer = self.obj_ptr_proj(tokens[:, 0].to(self.device, self.no_obj_ptr.dtype))
        return present * pointer + (1 - present) * self.no_obj_ptr

    def remember(
        self,
        features: FrameFeatures,
        mask_logits: torch.Tensor,
        object_logits: torch.Tensor,
        pointers: torch.Tensor,
        *,
        is_prompt: bool = False,
    ) -> MemoryEntry:
        """Encode masks into memory.

        Args:
            features: K rows, or one for all.
            mask_logits: (K, 1, h, w) float; at any size.
            object_logits: (K,) float.
            pointers: (K, M) float.
            is_prompt: masks the user (or the language decoder) stated: outside training they are binarised
                first.
        """
        side = (self.image_size, self.image_size)
        large = F.interpolate(
            mask_logits.to(self.device).float(), size=side, mode="bilinear", align_corners=False
        )
        encoded, pos = self._encode_new_memory(
            current_vision_feats=[_flatten(features.levels[2])],
            feat_sizes=[tuple(features.levels[2].shape[-2:])],
            pred_masks_high_res=large,
            object_score_logits=object_logits.to(self.device)[:, None],
            is_mask_from_pts=is_prompt,
        )
        return {"maskmem_features": encoded, "maskmem_pos_enc": pos, "obj_ptr": pointers}

    def accept_masks(
        self, features: FrameFeatures, masks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take masks as the truth on a frame, as SAM2 does with mask prompts.

        Args:
            features: K rows, projected by SAM2's own decoder.
            masks: (K, s, s) bool, at SAM2's input size.

        Returns:
            (K, 1, h, w) logits of about ±10, (K,) object logits of ±10, (K, M) object pointers.
        """
        fine, middle, low = features.levels
        _, _, _, logits, _, pointers, object_logits = self._use_mask_as_output(
            low, [fine, middle], masks[:, None].to(self.device, torch.float32)
        )
        return logits, object_logits[:, 0], pointers

    def track_clip(
        self, frames: torch.Tensor, prompt: ClipPrompt, *, decoder: MaskDecoder | None = None
    ) -> ClipPrediction:
        """Segment the first frame of B short clips by a prompt and track on; differentiable.

        For (pre)training. Every frame's memory stays in the graph, so keep T small. As in SAM2, absent
        objects reach memory as absent; the returned logits are not gated, so that masks always get gradients.

        Args:
            frames: (B, T, 3, s, s) float; normalised SAM2 input.
            prompt: for the first frame; one object per clip.
            decoder: for a language prompt on the first frame; SAM2's own if None.
        """
        num_clips, num_frames = frames.shape[:2]
        encoded = self.encode_image(frames.flatten(0, 1))
        memory: dict[str, dict[int, MemoryEntry]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        outputs: list[DecoderOutput] = []
        for t in range(num_frames):
            fine, middle, low = (x.unflatten(0, (num_clips, num_frames))[:, t] for x in encoded.levels)
            features = FrameFeatures((fine, middle, low), encoded.pos)
            own = features.project(self.sam_mask_decoder)
            if t == 0:
                output, pointers = self._prompt_clip(features, own, prompt, decoder)
            else:
                embed = self.embed_with_memory(own, memory, t, num_frames)
                output = self.decode(embed, own.levels[:2], *self.embed_points(None, None, num_clips))
                pointers = None
            best = output.best()
            if pointers is None:
                pointers = self.point_to_object(best.tokens, best.object_logits)
            entry = self.remember(own, best.gated_logits(), best.object_logits, pointers, is_prompt=t == 0)
            memory["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][t] = entry
            outputs.append(output)
        chosen = [output.best() for output in outputs]
        return ClipPrediction(
            mask_logits=torch.cat([o.mask_logits for o in chosen], dim=1),
            iou=torch.cat([o.iou for o in chosen], dim=1),
            object_logits=torch.stack([o.object_logits for o in chosen], dim=1),
            candidate_logits=[o.mask_logits for o in outputs],
            candidate_iou=[o.iou for o in outputs],
            features=encoded,
        )

    def _prompt_clip(
        self, features: FrameFeatures, own: FrameFeatures, prompt: ClipPrompt, decoder: MaskDecoder | None
    ) -> tuple[DecoderOutput, torch.Tensor | None]:
        """First-frame output of `track_clip`, and pointers where they do not come from its tokens."""
        if prompt.masks is not None:
            logits, object_logits, pointers = self.accept_masks(own, prompt.masks)
            given = torch.ones_like(object_logits)[:, None]
            return DecoderOutput(logits, given, pointers[:, None], object_logits), pointers
        embed = self.embed_without_memory(features)
        if prompt.language is not None:
            high_res = own.levels[:2] if decoder is None else features.project(decoder).levels[:2]
            return self.decode_language(embed, high_res, prompt.language[:, None], decoder), None
        assert prompt.points_xy is not None, "ClipPrompt holds exactly one kind"
        sparse, dense = self.embed_points(prompt.points_xy, prompt.point_labels, embed.shape[0])
        is_multimask = is_ambiguous(prompt.points_xy.shape[1])
        return self.decode(embed, own.levels[:2], sparse, dense, multimask=is_multimask), None


def is_ambiguous(num_points: int) -> bool:
    """Whether SAM2 answers that many points with three candidates, not one mask (a box is two points)."""
    return num_points <= 1


def _flatten(features: torch.Tensor) -> torch.Tensor:
    """(n, M, h, w) to SAM2's (h·w, n, M)."""
    return features.flatten(2).permute(2, 0, 1)


class _ReadableLinspace(TorchFunctionMode):
    """Keeps `torch.linspace` on the CPU: SAM2's trunk reads its values while it is built."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs["device"] = "cpu"
        return func(*args, **kwargs)


@overload
def build_sam2(config: Sam2Config, *, device: torch.device | str | None = None) -> SamaSam2: ...
@overload
def build_sam2(
    config: Sam2Config, *, device: torch.device | str | None = None, kind: type[Sam2Kind]
) -> Sam2Kind: ...
def build_sam2(
    config: Sam2Config, *, device: torch.device | str | None = None, kind: type[SAM2Base] = SamaSam2
) -> SAM2Base:
    """SAM2 with fresh weights, in eval mode, from sizes alone: no YAML, no hydra, no download.

    What `Sam2Config` does not name is as in the published `sam2.1` files and SAM2's own video predictor; only
    hole filling, which needs a compiled extension, is off.

    Args:
        config: sizes.
        device: `meta` builds without memory; the current default device if None.
        kind: class to build, with SAM2's own arguments.
    """
    target = torch.device(device) if device is not None else torch.get_default_device()
    reading: AbstractContextManager[Any] = _ReadableLinspace() if target.type == "meta" else nullcontext()
    with torch.device("cpu"):  # holds plain tensors (rotary tables) that must exist on a real device
        memory_attention = _build_memory_attention(config)
    with torch.device(target), reading:
        model = kind(
            image_encoder=_build_image_encoder(config),
            memory_attention=memory_attention,
            memory_encoder=_build_memory_encoder(config),
            num_maskmem=config.num_maskmem,
            image_size=config.image_size,
            backbone_stride=FEATURE_STRIDE,
            sigmoid_scale_for_mem_enc=20.0,
            sigmoid_bias_for_mem_enc=-10.0,
            binarize_mask_from_pts_for_mem_enc=True,
            use_mask_input_as_output_without_sam=True,
            directly_add_no_mem_embed=True,
            no_obj_embed_spatial=True,
            use_high_res_features_in_sam=True,
            multimask_output_in_sam=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            multimask_output_for_tracking=True,
            use_multimask_token_for_obj_ptr=True,
            iou_prediction_use_sigmoid=True,
            use_obj_ptrs_in_encoder=True,
            max_obj_ptrs_in_encoder=config.max_obj_ptrs,
            add_tpos_enc_to_obj_ptrs=True,
            proj_tpos_enc_in_obj_ptrs=True,
            use_signed_tpos_enc_to_obj_ptrs=True,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=True,
            use_mlp_for_obj_ptr_proj=True,
            sam_mask_decoder_extra_args={
                "dynamic_multimask_via_stability": True,
                "dynamic_multimask_stability_delta": 0.05,
                "dynamic_multimask_stability_thresh": 0.98,
            },
        )
    return (model if target.type == "cpu" else model.to(target)).eval()


def build_seg_decoder(sam2: SamaSam2) -> MaskDecoder:
    """A trainable copy of SAM2's mask decoder, the start of the fine-tuned one."""
    return copy.deepcopy(sam2.sam_mask_decoder).requires_grad_(True)


def save_sam2(sam2: SamaSam2, folder: str | Path) -> None:
    """Write the weights as `folder/model.safetensors`, whole or not at all.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    folder = Path(folder)
    temporary = folder / f".{WEIGHTS_NAME}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in sam2.state_dict().items()}, temporary)
        os.replace(temporary, folder / WEIGHTS_NAME)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"SAM2 weights cannot be written to '{folder}': {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def load_sam2(folder: str | Path, config: Sam2Config, *, device: torch.device | str = "cpu") -> SamaSam2:
    """SAM2 with the weights `save_sam2` wrote, in eval mode and float32.

    Args:
        folder: the `sam2/` folder of a checkpoint.
        config: sizes the weights were made with.
        device: where it will live.

    Raises:
        CheckpointError: no such file, or unreadable; keys missing, spare, of another shape, or not finite.
    """
    path = Path(folder) / WEIGHTS_NAME
    if not path.is_file():
        raise CheckpointError(f"'{path}' is missing: a SAMA checkpoint keeps SAM2's weights there.")
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"'{path}' is not a readable safetensors file ({error}); copy it again."
        ) from error
    return _build_with(state, config, device, str(path))


def load_published(path: str | Path, config: Sam2Config, *, device: torch.device | str = "cpu") -> SamaSam2:
    """SAM2 with the weights of a published `sam2.1_hiera_*.pt`.

    Args:
        path: the file; read with `weights_only`, so it cannot run code.
        config: its sizes, from `SAM2_PRESETS`.
        device: where it will live.

    Raises:
        CheckpointError: as `load_sam2`, or the file is not `{"model": weights}`.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged or unsafe pickle
        raise CheckpointError(f"'{path}' cannot be read as plain weights: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(
            f"'{path}' holds {type(content).__name__}, expected the published {{'model': weights}}."
        )
    return _build_with(content["model"], config, device, str(path))


def _build_with(
    state: dict[str, torch.Tensor], config: Sam2Config, device: torch.device | str, where: str
) -> SamaSam2:
    model = build_sam2(config, device="meta")
    expected = model.state_dict()
    missing = sorted(expected.keys() - state.keys())
    spare = sorted(state.keys() - expected.keys())
    shared = sorted(expected.keys() & state.keys())
    wrong = [
        f"{k} {tuple(state[k].shape)} expected {tuple(expected[k].shape)}"
        for k in shared
        if state[k].shape != expected[k].shape
    ]
    broken = [k for k in shared if not torch.isfinite(state[k]).all()]
    for problem, keys in (
        ("missing", missing),
        ("spare", spare),
        ("mis-shaped", wrong),
        ("not finite", broken),
    ):
        if keys:
            raise CheckpointError(
                f"'{where}': {len(keys)} SAM2 weights are {problem}: {', '.join(keys[:5])}"
                f"{', ...' if len(keys) > 5 else ''}; check the file and the config's 'sam2' sizes."
            )
    model.load_state_dict({k: v.to(device, torch.float32) for k, v in state.items()}, assign=True)
    model.memory_encoder.to(memory_format=MEMORY_FORMAT)
    return model.requires_grad_(True).eval()


def _build_image_encoder(config: Sam2Config) -> ImageEncoder:
    trunk = Hiera(
        embed_dim=config.embed_dim,
        num_heads=config.num_heads,
        stages=config.stages,
        global_att_blocks=config.global_att_blocks,
        window_spec=config.window_spec,
        window_pos_embed_bkg_spatial_size=config.window_pos_embed_size,
    )
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.hidden_dim, normalize=True),
        d_model=config.hidden_dim,
        backbone_channel_list=trunk.channel_list,
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _build_memory_attention(config: Sam2Config) -> MemoryAttention:
    side = config.image_size // FEATURE_STRIDE
    shared = {
        "rope_theta": 10000.0,
        "feat_sizes": (side, side),
        "embedding_dim": config.hidden_dim,
        "num_heads": 1,
        "downsample_rate": 1,
        "dropout": 0.1,
    }
    layer = MemoryAttentionLayer(
        activation="relu",
        d_model=config.hidden_dim,
        dim_feedforward=config.memory_feedforward,
        dropout=0.1,
        pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False,
        self_attention=RoPEAttention(**shared),
        cross_attention=RoPEAttention(rope_k_repeat=True, kv_in_dim=config.memory_dim, **shared),
    )
    return MemoryAttention(
        d_model=config.hidden_dim, pos_enc_at_input=True, layer=layer, num_layers=config.memory_layers
    )


def _build_memory_encoder(config: Sam2Config) -> MemoryEncoder:
    block = CXBlock(
        dim=config.hidden_dim, kernel_size=7, padding=3, layer_scale_init_value=1e-6, use_dwconv=True
    )
    return MemoryEncoder(
        in_dim=config.hidden_dim,
        out_dim=config.memory_dim,
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.memory_dim, normalize=True),
        mask_downsampler=MaskDownSampler(embed_dim=config.hidden_dim, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(block, num_layers=2),
    )
