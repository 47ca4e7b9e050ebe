"""Stage 4: the LLaVA classes of SAMA, one helper serving training and inference.

    frames ─ vision tower ─ mm_projector ─► region encoder (1), context aggregator (2) ─► token splicer (3)
        ─► LLM (4) ─► hidden state at [SEG] ─ seg projection (5) ─► SAM2 head (6)

`embed_batch` is stages 1-3 for both; training then runs `grounding_losses`, inference `inference.session`.
Import after `registration.register()`: this file imports the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from llava.model.language_model.llava_llama import LlavaConfig, LlavaLlamaForCausalLM
from llava.model.language_model.llava_qwen import LlavaQwenConfig, LlavaQwenForCausalLM
from llava.model.llava_arch import LlavaMetaModel
from llava.model.multimodal_projector.builder import build_vision_projector as build_host_projector
from llava.model.multimodal_resampler.builder import build_vision_resampler
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, LlamaForCausalLM, LlamaModel, Qwen2ForCausalLM, Qwen2Model
from transformers.modeling_outputs import CausalLMOutputWithPast

from sama_plugin.config import SamaConfig
from sama_plugin.constants import (
    CONTEXT_TOKEN_INDEX,
    FRAME_TOKEN_INDEX,
    IGNORE_INDEX,
    REGION_TOKEN_INDEX,
    SEG_TOKEN,
)
from sama_plugin.errors import CheckpointError, PromptError
from sama_plugin.grounding.dot_head import dot_grounding, dot_segment_pairs
from sama_plugin.grounding.feature_store import FeatureStore, FrameSource
from sama_plugin.grounding.losses import GroundingLosses, LossCounts, LossWeights, grounding_losses
from sama_plugin.grounding.prediction import Grounding, SegPrediction
from sama_plugin.grounding.sam2_head import Sam2Head
from sama_plugin.grounding.sam2_model import build_sam2
from sama_plugin.grounding.seg_projection import build_seg_projection
from sama_plugin.host.host_prompt import expand_host_prompt
from sama_plugin.host.pretrained import SamaCheckpointMixin
from sama_plugin.host.vision_tower import build_vision_tower, load_tower
from sama_plugin.modeling.context_aggregator import ContextAggregator
from sama_plugin.modeling.projector import SamaProjector, base_projector_type, pool_grid
from sama_plugin.modeling.region_encoder import RegionEncoder, RegionTokens
from sama_plugin.modeling.token_splicer import fill_slots
from sama_plugin.prompting.tokenization import SlotLayout, add_sama_tokens
from sama_plugin.schema import GroundingInputs, VideoInputs

DEFAULT_CONTEXT = 2048


@dataclass
class SamaOutput(CausalLMOutputWithPast):
    """The host's output and the loss parts.

    Attributes:
        losses: name → () float, unweighted, of a training step; `<name>/<task>` is the mean of a task alone.
        last_hidden_state: (B, L, N) float, after the final norm.
    """

    losses: dict[str, Tensor] | None = None
    last_hidden_state: Tensor | None = None


def build_projector(config: Any, **_: Any) -> SamaProjector:
    """Make the projector variant `sama_<base>` from a model config.

    Args:
        config: host config with `mm_projector_type`, `mm_hidden_size`, `hidden_size` and `sama`.
    """
    sama = SamaConfig.from_dict(config.sama)
    host_view = type(config)(
        **{**config.to_dict(), "mm_projector_type": base_projector_type(config.mm_projector_type)}
    )
    has_sam2 = sama.grounding.head == "sam2"
    prompt_dim = sama.sam2.hidden_dim if has_sam2 else config.hidden_size
    return SamaProjector(
        base=build_host_projector(host_view),
        region_encoder=RegionEncoder(config.hidden_size, sama.aggregator.qformer_width, sama.region),
        aggregator=ContextAggregator(config.hidden_size, sama.aggregator, sama.sampling.max_sparse)
        if sama.use_aggregator
        else None,
        seg_projection=None
        if sama.grounding.head == "none"
        else build_seg_projection(config.hidden_size, prompt_dim),
        seg_decoder=build_sam2(sama.sam2).sam_mask_decoder if has_sam2 else None,
    )


class SamaConfigMixin:
    """Fields SAMA adds to a host config, with defaults that load anywhere.

    Args:
        sama: `SamaConfig` as plain values.
        seg_token_id: id of `[SEG]`; set with the tokenizer.
    """

    def __init__(
        self, sama: dict[str, Any] | None = None, seg_token_id: int | None = None, **kwargs: Any
    ) -> None:
        self.sama = SamaConfig.from_dict(sama or {}).to_dict()
        self.seg_token_id = seg_token_id
        kwargs = {
            "mm_use_im_patch_token": False,
            "mm_patch_merge_type": "flat",
            "mm_vision_select_layer": -2,
        } | kwargs
        super().__init__(**kwargs)


class LlavaSamaQwenConfig(SamaConfigMixin, LlavaQwenConfig):
    """`llava_qwen` with SAMA's fields."""

    model_type = "llava_sama_qwen"


class LlavaSamaLlamaConfig(SamaConfigMixin, LlavaConfig):
    """`llava_llama` with SAMA's fields."""

    model_type = "llava_sama_llama"


class SamaMetaModel(LlavaMetaModel):
    """The host's vision side with a delayed tower and SAMA's projector."""

    def __init__(self, config: Any) -> None:
        super(LlavaMetaModel, self).__init__(config)
        if hasattr(config, "mm_vision_tower"):
            self.vision_tower = build_vision_tower(config)
            self.vision_resampler = build_vision_resampler(config, vision_tower=self.vision_tower)
            self.mm_projector = build_projector(config)

    def initialize_vision_modules(self, model_args: Any, fsdp: Any = None) -> None:
        """Host hook of training: the modules exist already, only the tower's weights are read if still missing.

        Args:
            model_args: the host's arguments; a tower or projector type other than the checkpoint's is an error.
            fsdp: unused.

        Raises:
            CheckpointError: `--mm_projector_type` differs from the loaded model's.
        """
        wanted = getattr(model_args, "mm_projector_type", self.config.mm_projector_type)
        if wanted not in (self.config.mm_projector_type, "linear"):
            raise CheckpointError(
                f"--mm_projector_type is '{wanted}' but the loaded model has '{self.config.mm_projector_type}'; "
                "leave the flag out, or start from a checkpoint made with that type."
            )
        model_args.mm_projector_type = self.config.mm_projector_type
        tower = self.get_vision_tower()
        load_tower(tower)
        self.config.use_mm_proj = True
        # The host now casts the tower to half precision, also in a float32 run; `initialize_vision_tokenizer`
        # puts these back.
        self.tower_weights = {key: value.clone() for key, value in tower.state_dict().items()}


class SamaCausalLM(SamaCheckpointMixin):
    """What SAMA adds to a host causal LM; mixed in before the host class."""

    sam2_head: Sam2Head | None = None
    loss_weights: LossWeights = LossWeights()
    newline_ids: tuple[int, ...] = ()
    """Tokens of a newline, for host-style prompts; set with the tokenizer."""
    accepts_loss_kwargs = False

    # from the host class this is mixed into
    config: Any
    generation_config: Any
    model: Any
    lm_head: nn.Module
    device: torch.device
    dtype: torch.dtype
    get_model: Callable[[], Any]
    get_vision_tower: Callable[[], Any]
    resize_token_embeddings: Callable[[int], Any]

    @property
    def sama(self) -> SamaConfig:
        """The SAMA part of the config, typed."""
        return SamaConfig.from_dict(self.config.sama)

    @property
    def projector(self) -> SamaProjector:
        """`mm_projector`, typed."""
        return self.get_model().mm_projector

    @property
    def context_length(self) -> int:
        """Longest sequence, by the host's rule."""
        for key in ("max_sequence_length", "max_position_embeddings", "tokenizer_model_max_length"):
            if getattr(self.config, key, None) is not None:
                return int(getattr(self.config, key))
        return DEFAULT_CONTEXT

    @property
    def _end_ids(self) -> list[int]:
        """Tokens that end a turn."""
        end = self.generation_config.eos_token_id
        return [] if end is None else end if isinstance(end, list) else [end]

    def slot_layout(self, num_dense: int, num_sparse: int) -> SlotLayout:
        """Slots of a clip with so many dense and sparse frames."""
        sama = self.sama
        side = -(-self.get_vision_tower().num_patches_per_side // sama.dense_pool_stride)
        return SlotLayout(num_dense, side * side, num_sparse if sama.use_aggregator else 0)

    def initialize_vision_tokenizer(self, model_args: Any, tokenizer: Any) -> None:
        """Host hook of training: add SAMA's tokens, resize if the vocabulary has no room, remember `[SEG]`."""
        add_sama_tokens(tokenizer)
        if len(tokenizer) > self.config.vocab_size:
            self.resize_token_embeddings(len(tokenizer))
        self.config.seg_token_id = tokenizer.convert_tokens_to_ids(SEG_TOKEN)
        self.tokenizer = tokenizer
        tower = self.get_vision_tower().to(dtype=self.dtype)
        tower.load_state_dict(self.get_model().__dict__.pop("tower_weights"))

    def encode_frames(self, pixel_values: list[Tensor]) -> list[Tensor]:
        """Tower and projector over all frames at once.

        Args:
            pixel_values: list of (T_i, 3, s, s) float; T_i is 0 of text alone.

        Returns:
            list of (T_i, P, N) float.
        """
        frames = torch.cat(pixel_values).to(self.device, self.dtype)
        # The towers of `transformers` take no empty batch, and processes have to run them equally often: without any
        # frame they see a black one, of which nothing is kept.
        seen = frames if len(frames) else frames.new_zeros(1, *frames.shape[1:])
        features = self.projector(self.get_vision_tower()(seen))[: len(frames)]
        return list(features.split([len(p) for p in pixel_values]))

    def summarise_frames(self, features: list[Tensor]) -> list[Tensor] | None:
        """Stage 2a: list of (T, P, N) float → (T, Q, E) float, the same for all questions; None without aggregator."""
        aggregator = self.projector.aggregator
        if aggregator is None:
            return None
        return aggregator.summarise([pool_grid(f, self.sama.aggregator.pool_stride) for f in features])

    def embed_batch(
        self,
        input_ids: Tensor,
        videos: list[VideoInputs],
        features: list[Tensor],
        sample_ids: list[str],
        spatial: list[Tensor] | None = None,
    ) -> Tensor:
        """Stages 1-3: everything that enters the LLM, of training and of inference.

        Args:
            input_ids: (B, L) long with slot sentinels.
            videos: list of B.
            features: list of B × (T + X, P, N) float, from `encode_frames`.
            sample_ids: list of B.
            spatial: list of B × (T, Q, E) float, from `summarise_frames`, where kept; made here if None.

        Returns:
            (B, L, N) float.

        Raises:
            PromptError: slots and features of a sample differ in number.
        """
        lengths = [v.num_sparse for v in videos]
        tokens = self.region_tokens(videos, features)
        sparse = [f[:length] for f, length in zip(features, lengths, strict=True)]
        context = self.context_tokens(videos, sparse, [t.aggregator for t in tokens], spatial)
        dense = [f[v.dense_positions.to(f.device)] for v, f in zip(videos, sparse, strict=True)]
        pooled = pool_grid(torch.cat(dense), self.sama.dense_pool_stride).split([len(d) for d in dense])
        slots = {
            FRAME_TOKEN_INDEX: [frames.flatten(0, 1) for frames in pooled],
            CONTEXT_TOKEN_INDEX: [own.flatten(0, 1) for own in context],
            REGION_TOKEN_INDEX: [t.llm.flatten(0, 1) for t in tokens],
        }
        embeds = self.get_model().embed_tokens(input_ids.clamp(min=0))
        return fill_slots(embeds, input_ids, slots, sample_ids)

    def region_tokens(self, videos: list[VideoInputs], features: list[Tensor]) -> list[RegionTokens]:
        """Tokens of the regions of each sample; arguments as in `embed_batch`."""
        regions = [v.regions for v in videos]
        shown = [f[own.frame_slots.to(f.device)] for f, own in zip(features, regions, strict=True)]
        masks_and_boxes = zip(*((own.look_masks, own.shape_masks, own.boxes) for own in regions), strict=True)
        tokens = self.projector.region_encoder(torch.cat(shown), *map(torch.cat, masks_and_boxes))
        counts = [len(rows) for rows in shown]
        return [RegionTokens(*own) for own in zip(*(t.split(counts) for t in tokens), strict=True)]

    def context_tokens(
        self,
        videos: list[VideoInputs],
        sparse: list[Tensor],
        region_tokens: list[Tensor],
        spatial: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """(P_q, T, N) per sample; no questions' worth of them without the aggregator."""
        aggregator = self.projector.aggregator
        if aggregator is None:
            return [f.new_zeros(0, len(f), f.shape[-1]) for f in sparse]
        questions = [q.to(self.device) for v in videos for q in v.question_ids]
        ids = torch.cat([*questions, torch.zeros(0, dtype=torch.long, device=self.device)])
        return aggregator(
            [pool_grid(f, self.sama.aggregator.pool_stride) for f in sparse],
            self.get_model().embed_tokens(ids.clamp(min=0)),
            ids == REGION_TOKEN_INDEX,
            torch.cat([own.flatten(0, 1) for own in region_tokens]),
            [len(q) for q in questions],
            [clip for clip, v in enumerate(videos) for _ in v.question_ids],
            spatial,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        logits_to_keep: int = 0,
        videos: list[VideoInputs] | None = None,
        grounding: list[GroundingInputs | None] | None = None,
        sample_ids: list[str] | None = None,
        tasks: list[str] | None = None,
        loss_counts: LossCounts | None = None,
    ) -> SamaOutput:
        """Run the LLM over embedded or still to be embedded tokens; with labels, give losses.

        Args:
            input_ids: (B, L) long; with `videos`, slot sentinels are filled first.
            attention_mask: (B, L) bool or int; 1 = real token.
            position_ids: (B, L) long.
            past_key_values: the host's cache.
            inputs_embeds: (B, L, N) float instead of `input_ids`.
            labels: (B, L) long; gives `loss` and `losses`, and no logits.
            use_cache: keep keys and values.
            output_attentions: as the host.
            output_hidden_states: as the host.
            return_dict: ignored, always True.
            cache_position: as the host.
            logits_to_keep: only so many last positions get logits; 0 = all.
            videos: list of B.
            grounding: list of B; frames and targets of the mask losses.
            sample_ids: list of B; for errors.
            tasks: list of B; for losses by task.
            loss_counts: what losses are divided by; None: what there is in this batch.

        Returns:
            logits (B, L', V) or losses, never both.

        Raises:
            PromptError: slots, features or `[SEG]` targets differ in number.
        """
        features: list[Tensor] = []
        ids = sample_ids or [f"sample {i}" for i in range(0 if input_ids is None else len(input_ids))]
        if videos is not None and input_ids is not None:
            features = self.encode_frames([v.pixel_values for v in videos if v.pixel_values is not None])
            inputs_embeds = self.embed_batch(input_ids, videos, features, ids)
        outputs = self.model(
            input_ids=input_ids if inputs_embeds is None else None,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            cache_position=cache_position,
            return_dict=True,
        )
        hidden = outputs.last_hidden_state
        loss, losses, logits = None, None, None
        if labels is None:
            logits = self.lm_head(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        else:
            counts = LossCounts.of_batch(labels, grounding or []) if loss_counts is None else loss_counts
            losses = self._lm_losses(hidden, labels, tasks or [], counts)
            loss = losses["lm"]
            if grounding is not None and input_ids is not None and not self.loss_weights.is_off:
                pairs = self._grounding_losses(hidden, input_ids, grounding, videos or [], features, ids)
                mask_losses = pairs.mean(counts)
                losses |= mask_losses._asdict() | _mask_losses_by_task(pairs, grounding, tasks or [])
                loss = loss + self.loss_weights.total(mask_losses)
        return SamaOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            losses=losses,
            last_hidden_state=hidden,
        )

    def _lm_losses(
        self, hidden: Tensor, labels: Tensor, tasks: list[str], counts: LossCounts
    ) -> dict[str, Tensor]:
        """Cross-entropy of the next token, of all and by task; logits only where there is a label."""
        learn = labels[:, 1:] != IGNORE_INDEX
        logits = self.lm_head(hidden[:, :-1][learn]).float()
        each = F.cross_entropy(logits, labels[:, 1:][learn], reduction="none")
        losses = {"lm": each.sum() / counts.tokens.clamp(min=1)}
        return losses | _by_task("lm", each, torch.nonzero(learn)[:, 0], tasks)

    def seg_prompts(self, seg_hidden_states: Tensor) -> Tensor:
        """Stage 5: (S, N) hidden states at `[SEG]` → (S, M) prompt embeddings."""
        if self.projector.seg_projection is None:
            raise CheckpointError("This model was made without a grounding head, so it has no masks to give.")
        return self.projector.seg_projection(seg_hidden_states)

    def _grounding_losses(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        grounding: list[GroundingInputs | None],
        videos: list[VideoInputs],
        features: list[Tensor],
        sample_ids: list[str],
    ) -> GroundingLosses:
        """Stages 5-6 on the labelled frames of a batch, (K,) losses; samples without `[SEG]` add nothing."""
        frames, prompts, frame_rows, targets, seeds = [], [], [], [], []
        num_frames = 0
        for i, target in enumerate(grounding):
            seg_hidden = hidden[i][input_ids[i] == self.config.seg_token_id]
            num_targets = 0 if target is None else len(target.gt_masks)
            if len(seg_hidden) != num_targets:
                raise PromptError(
                    f"Sample '{sample_ids[i]}' has {len(seg_hidden)} {SEG_TOKEN} tokens but {num_targets} targets."
                )
            shown = self._mask_head_frames(target, videos[i], features[i])
            prompts.append(self.seg_prompts(seg_hidden).repeat_interleave(len(shown), dim=0))  # (S·F, M)
            frame_rows.append(torch.arange(num_frames, num_frames + len(shown)).repeat(num_targets))
            frames.append(shown)
            num_frames += len(shown)
            if target is not None:
                targets.append(target.gt_masks.flatten(0, 1).to(hidden.device))  # (S·F, h, w)
                seeds += [target.point_seed + pair for pair in range(len(targets[-1]))]
        prediction = self._segment_pairs(torch.cat(frames), torch.cat(prompts), torch.cat(frame_rows))
        gt_masks = torch.cat(targets) if targets else prediction.mask_logits[:, 0]
        return grounding_losses(prediction, gt_masks, seeds)

    def _mask_head_frames(
        self, target: GroundingInputs | None, video: VideoInputs, features: Tensor
    ) -> Tensor:
        """What the mask head reads of a sample: SAM2 input, or the dot head's frame features; no rows if no target."""
        if self.sama.grounding.head == "dot":
            dense = features[: video.num_sparse][video.dense_positions.to(features.device)]
            return dense if target is not None else dense[:0]
        size = self.sama.sam2.image_size
        return torch.zeros(0, 3, size, size) if target is None else target.sam2_frames

    def _segment_pairs(self, frames: Tensor, prompts: Tensor, frame_rows: Tensor) -> SegPrediction:
        """Masks of (frame, object) pairs by the configured head.

        If there are none it rests, and its gradient is zero, not None: to an optimizer that is a step like any other,
        however a batch is cut. With several processes it does not rest: they exchange gradients (ZeRO-3: weights) in
        the order of their graphs, which has to be the same in all.
        """
        if len(prompts) == 0:
            if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
                blank = frames.new_zeros(1, *frames.shape[1:])
                row = torch.cat([prompts, prompts.new_zeros(1, prompts.shape[1])])
                made = self._segment_pairs(blank, row, frame_rows.new_zeros(1))
                return SegPrediction(made.mask_logits[:0], made.iou[:0], made.object_logits[:0])
            weights = [] if self.projector.seg_decoder is None else self.projector.seg_decoder.parameters()
            none = prompts.float().sum() + sum(0.0 * weight.float().sum() for weight in weights)
            none = none + prompts.new_zeros(0, 1, dtype=torch.float32)
            return SegPrediction(none[..., None, None], none, none)
        if self.sama.grounding.head == "dot":
            return dot_segment_pairs(frames[frame_rows.to(frames.device)], prompts)
        head = self.sam2_head
        if head is None:
            raise CheckpointError("This model has no SAM2 loaded; load it with `load_pretrained_model`.")
        return head.segment_pairs(
            head.encode(frames), prompts, self.projector.seg_decoder, frame_rows=frame_rows
        )

    @torch.inference_mode()
    def ground(
        self,
        source: FeatureStore | FrameSource,
        seg_hidden_states: Tensor,
        encode: Callable[[np.ndarray], Tensor],
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Grounding:
        """Stages 5-6 at inference: masks on every frame of a clip, all objects in one pass, made while they are read.

        Args:
            source: the clip, read lazily; or SAM2's features of it, which then are not made again.
            seg_hidden_states: (S, N) float, one per `[SEG]`.
            encode: (n, H, W, 3) uint8 → (n, P, N) projected features; only the dot head calls it.
            start: first frame that is wanted.
            stop: frame after the last; None is the end of the clip, also of one that grows.

        Raises:
            CheckpointError: SAM2 is wanted and was not loaded.
        """
        prompts = self.seg_prompts(seg_hidden_states)
        if self.sama.grounding.head == "dot":
            clip = source.clip if isinstance(source, FeatureStore) else source
            return dot_grounding(clip, prompts, encode, start=start, stop=stop)
        if self.sam2_head is None:
            raise CheckpointError("This model has no SAM2 loaded; load it with `load_pretrained_model`.")
        store = source if isinstance(source, FeatureStore) else FeatureStore(self.sam2_head, source)
        return self.sam2_head.ground(
            store, prompts.float(), self.projector.seg_decoder, start=start, stop=stop
        )

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor,
        images: Any = None,
        image_sizes: Any = None,
        modalities: list[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The host's `generate`: text of host-style prompts (`<image>` once per row); new tokens only.

        Args:
            inputs: (B, l) long.
            images: list of B × (T, 3, s, s) float; None for text alone.
            image_sizes: ignored, as for the host's videos.
            modalities: ignored; images and videos are clips of one or more frames.
            **kwargs: generation settings.

        Raises:
            PromptError: not one clip per row, or not one `<image>` in a row.
        """
        kwargs.pop("position_ids", None)
        mask = kwargs.pop("attention_mask", None)
        if images is None:
            if bool((inputs < 0).any()):
                raise PromptError("A row has <image> but there are no images; give one clip per row.")
            embeds = self.get_model().embed_tokens(inputs)
            return GenerationMixin.generate(self, inputs_embeds=embeds, attention_mask=mask, **kwargs)
        if len(images) != len(inputs):
            raise PromptError(
                f"generate got {len(inputs)} rows but {len(images)} clips; give one clip per row."
            )
        keep = torch.ones_like(inputs, dtype=torch.bool) if mask is None else mask.bool()
        rows = [
            expand_host_prompt(
                ids[k],
                frames,
                self.sama,
                self.slot_layout,
                newline_ids=self.newline_ids,
                end_ids=self._end_ids,
            )
            for ids, k, frames in zip(inputs, keep, images, strict=True)
        ]
        features = self.encode_frames([f for row in rows if (f := row.video.pixel_values) is not None])
        embeds = [
            self.embed_batch(row.input_ids[None], [row.video], [f], [f"row {i}"])[0]
            for i, (row, f) in enumerate(zip(rows, features, strict=True))
        ]
        longest = max(len(e) for e in embeds)
        padded = torch.stack(
            [F.pad(e, (0, 0, longest - len(e), 0)) for e in embeds]
        )  # left, as generation needs
        lengths = torch.tensor([len(e) for e in embeds], device=padded.device)
        attend = torch.arange(longest, device=padded.device)[None] >= (longest - lengths)[:, None]
        return GenerationMixin.generate(self, inputs_embeds=padded, attention_mask=attend.long(), **kwargs)

    def prepare_inputs_labels_for_multimodal(self, *args: Any, **kwargs: Any) -> Any:
        """Not used by SAMA: `embed_batch` splices; a caller that expects the host's splice gets a clear answer.

        Raises:
            PromptError: always.
        """
        raise PromptError(
            "A SAMA model splices in `embed_batch`; call `generate(inputs, images=...)` or VideoSession."
        )


class LlavaSamaQwenModel(SamaMetaModel, Qwen2Model):
    """Qwen2 with SAMA's vision side."""

    config_class = LlavaSamaQwenConfig


class LlavaSamaQwenForCausalLM(SamaCausalLM, LlavaQwenForCausalLM):
    """SAMA on Qwen2."""

    config_class = LlavaSamaQwenConfig

    def __init__(self, config: LlavaSamaQwenConfig) -> None:
        super(Qwen2ForCausalLM, self).__init__(config)
        self.model = LlavaSamaQwenModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


class LlavaSamaLlamaModel(SamaMetaModel, LlamaModel):
    """Llama with SAMA's vision side."""

    config_class = LlavaSamaLlamaConfig


class LlavaSamaLlamaForCausalLM(SamaCausalLM, LlavaLlamaForCausalLM):
    """SAMA on Llama."""

    config_class = LlavaSamaLlamaConfig

    def __init__(self, config: LlavaSamaLlamaConfig) -> None:
        super(LlamaForCausalLM, self).__init__(config)
        self.model = LlavaSamaLlamaModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


CLASSES: dict[str, tuple[type, type]] = {
    "llava_sama_qwen": (LlavaSamaQwenConfig, LlavaSamaQwenForCausalLM),
    "llava_sama_llama": (LlavaSamaLlamaConfig, LlavaSamaLlamaForCausalLM),
}
"""model_type → config and model class."""


def _by_task(name: str, losses: Tensor, rows: Tensor, tasks: list[str]) -> dict[str, Tensor]:
    """`<name>/<task>` → () mean of the losses (n,) of a task's samples; `rows` (n,) long says whose each is."""
    found = {}
    for task in sorted(set(tasks)):
        own = torch.tensor([i for i, other in enumerate(tasks) if other == task], device=rows.device)
        of_task = torch.isin(rows, own)
        if of_task.any():
            found[f"{name}/{task}"] = losses.detach()[of_task].mean()
    return found


def _mask_losses_by_task(
    pairs: GroundingLosses, grounding: list[GroundingInputs | None], tasks: list[str]
) -> dict[str, Tensor]:
    """BCE and Dice by task."""
    counts = [0 if target is None else target.gt_masks.shape[:2].numel() for target in grounding]
    rows = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(pairs.mask_bce.device)
    return _by_task("mask_bce", pairs.mask_bce, rows, tasks) | _by_task(
        "mask_dice", pairs.mask_dice, rows, tasks
    )
