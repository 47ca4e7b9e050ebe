"""SAM2 from the true mask of each object's first visible frame: the most that propagation can give.

The SAM2 of a checkpoint, with the tracking that its answers go through (`grounding.sam2_head`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import sama_plugin
from sama_plugin.evaluation.baselines.replies import Reply, ReplyDialogue, TurnFinder
from sama_plugin.evaluation.results import fingerprint_folder
from sama_plugin.evaluation.targets import union_rles
from sama_plugin.grounding.feature_store import FeatureStore
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import decode_mask, encode_mask
from sama_plugin.media.transforms import masks_to_video
from sama_plugin.schema import Rle, Sample


class Sam2Answerer:
    """Says the true words, so that only masks are measured; before its first frame an object has none.

    Args:
        model: checkpoint folder or hub id; empty is the shipped one.
        device: auto, cpu, cuda, cuda:N.

    Attributes:
        settings: fingerprint of the weights, so that a run is not gone on with after they changed.

    Raises:
        CheckpointError: no such folder, or one without SAM2.
        HostError: no host, or no such device.
    """

    def __init__(self, model: str = "", device: str = "auto") -> None:
        sama_plugin.register()
        from sama_plugin.host.checkpoint import SAM2_FOLDER
        from sama_plugin.host.hub import resolve_folder
        from sama_plugin.host.loading import load_sam2_head

        folder = resolve_folder(model or sama_plugin.shipped_checkpoint())
        self.head = load_sam2_head(folder, device)
        self.settings = {"sam2": fingerprint_folder(Path(folder) / SAM2_FOLDER)}

    def start(self, sample: Sample) -> ReplyDialogue:
        """Open the video."""
        finder, store = TurnFinder(sample), FeatureStore(self.head, open_sample_clip(sample))

        def reply(question: str) -> Reply:
            turn = finder.find(question)
            return Reply(turn.answer, self.track(store, [union_rles(sample, ids) for ids in turn.target_ids]))

        return ReplyDialogue(reply)

    @torch.no_grad()
    def track(self, store: FeatureStore, truth: Sequence[Sequence[Rle | None]]) -> list[list[Rle | None]]:
        """Carry the first mask of each object on to the end of the clip, all in one pass.

        Args:
            store: features of the clip.
            truth: per object one `Rle` or None per frame; only the first mask is looked at.

        Returns:
            Per object one `Rle` or None per frame of the clip.
        """
        first = {row: _first_frame(track) for row, track in enumerate(truth) if any(track)}
        made: list[list[Rle | None]] = [[None] * store.clip.num_frames for _ in truth]
        if not first:
            return made
        rows = list(first)
        prompts, prompted = {}, {}
        for frame in sorted(set(first.values())):
            is_first = np.array([first[row] == frame for row in rows])
            masks = [decode_mask(truth[row][frame]) for row in rows if first[row] == frame]  # type: ignore[arg-type]
            prompts[frame], prompted[frame] = torch.from_numpy(np.stack(masks)), is_first
        for found in self.head.propagate(store, prompts, prompted):
            shown = masks_to_video(found.logits.float(), store.clip.height, store.clip.width).cpu().numpy()
            for number, mask in zip(found.rows.tolist(), shown, strict=True):
                row = rows[number]
                if found.frame_idx >= first[row] and mask.any():
                    made[row][found.frame_idx] = encode_mask(mask)
        return made


def _first_frame(track: Sequence[Rle | None]) -> int:
    return next(frame for frame, rle in enumerate(track) if rle is not None)
