"""Stages 1-3 of a session: the frames that the LLM sees, their features, kept from turn to turn, and what it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sama_plugin.data.model_inputs import InputBuilder, RegionUse
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_sampling import dense_positions, sparse_indices
from sama_plugin.prompting.tokenization import SlotLayout
from sama_plugin.schema import Region


class ClipFeatures:
    """Features of the frames of one clip that the LLM sees: each frame is encoded once.

    Args:
        model: a SAMA model.
        image_processor: its image processor.
        clip: the video; may grow.
        span: frames of it that the conversation is about.

    Attributes:
        sparse: T frame indices that the aggregator sees.
        dense: D positions among them that the LLM sees.
        num_encoded: frames through the tower so far.
    """

    def __init__(self, model: Any, image_processor: Any, clip: VideoClip, span: range) -> None:
        self._model = model
        self._builder = InputBuilder(
            model.sama, image_processor, model.get_vision_tower().num_patches_per_side
        )
        self._features: dict[int, Tensor] = {}
        self._spatial: list[Tensor] | None = None
        self.num_encoded = 0
        self.choose_frames(clip, span)

    def choose_frames(self, clip: VideoClip, span: range) -> None:
        """Look at a span of a clip from now on; features of frames that stay are kept."""
        sampling = self._model.sama.sampling
        self.clip = clip
        self.sparse = [span.start + i for i in sparse_indices(len(span), sampling)]
        self.dense = dense_positions(len(self.sparse), sampling.num_dense)
        self._features = {frame: self._features[frame] for frame in self.sparse if frame in self._features}
        self._spatial = None

    def forget(self) -> None:
        """Drop all features; they are made again when wanted."""
        self._features.clear()
        self._spatial = None

    @property
    def layout(self) -> SlotLayout:
        """Slots of these frames in a conversation."""
        layout: SlotLayout = self._model.slot_layout(len(self.dense), len(self.sparse))
        return layout

    def embed(
        self, input_ids: list[int], question_ids: list[Tensor], regions: Sequence[Region], *, is_start: bool
    ) -> Tensor:
        """Bring a stretch of the conversation into the form the LLM reads.

        Args:
            input_ids: L ids with slot sentinels; whole turns.
            question_ids: of the questions in it.
            regions: of these questions, in the order of their slots.
            is_start: the stretch begins with the dense frames.

        Returns:
            (L, N) float.

        Raises:
            MediaError: a frame that is needed cannot be read.
        """
        extra = [
            frame for frame in dict.fromkeys(region.frame for region in regions) if frame not in self.sparse
        ]
        self._encode([*self.sparse, *extra])
        features = torch.stack([self._features[frame] for frame in [*self.sparse, *extra]])
        if self._spatial is None:
            self._spatial = self._model.summarise_frames([features[: len(self.sparse)]])
        slots = {frame: slot for slot, frame in enumerate([*self.sparse, *extra])}
        video = self._builder.video_inputs(
            None,
            len(self.sparse),
            self.dense if is_start else [],
            question_ids,
            [RegionUse(region.mask, slots[region.frame]) for region in regions],
        )
        ids = torch.tensor([input_ids], device=self._model.device)
        embeds: Tensor = self._model.embed_batch(ids, [video], [features], [self.clip.path], self._spatial)
        return embeds[0]

    def encode(self, frames: Any) -> Tensor:
        """(n, H, W, 3) uint8 → (n, P, N) projected features."""
        self.num_encoded += len(frames)
        features: Tensor = self._model.encode_frames([self._builder.tower_pixels(frames)])[0]
        return features

    def _encode(self, wanted: list[int]) -> None:
        new = [frame for frame in wanted if frame not in self._features]
        if new:
            self._features |= zip(new, self.encode(self.clip.read(new)), strict=True)
