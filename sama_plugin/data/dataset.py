"""`Sample` → tensors of one training example, the way inference builds them, plus labels and mask targets."""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from sama_plugin.data.model_inputs import InputBuilder, RegionUse
from sama_plugin.data.selection import lengths_of, paths_of
from sama_plugin.errors import DataError
from sama_plugin.media.decode import IMAGE_SUFFIXES, VideoClip
from sama_plugin.media.frame_sampling import dense_positions, sparse_indices
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import decode_mask
from sama_plugin.media.transforms import sam2_frames
from sama_plugin.prompting.tokenization import DialogueTokenizer, SlotLayout
from sama_plugin.schema import GroundingInputs, Sample, Turn, VideoInputs

logger = logging.getLogger(__name__)

MAX_KEPT_CLIPS = 4096
CHARACTERS_PER_TOKEN = 4
"""Of English text, about."""

MASK_LOGIT_STRIDE = 4
"""SAM2's mask logits are a quarter of its input size."""


@dataclass
class Example:
    """One training example.

    Attributes:
        input_ids: (L,) long with slot sentinels.
        labels: (L,) long.
        video: vision side.
        grounding: mask targets; None without `[SEG]`.
        sample_id: for errors and reports.
        task: of its first turn, for balancing and logs.
        sparse_frames: frame indices in the video of the T sparse frames.
        dense_frames: of the D dense frames among them.
        video_path: of the video; None of text alone.
        turns: its questions and answers.
    """

    input_ids: Tensor
    labels: Tensor
    video: VideoInputs
    grounding: GroundingInputs | None
    sample_id: str
    task: str
    sparse_frames: tuple[int, ...]
    dense_frames: tuple[int, ...]
    video_path: Path | None
    turns: tuple[Turn, ...]


class FrameCache:
    """Decoded frames of recent clips, at most so many bytes; saves decoding in epochs over a small corpus.

    Args:
        max_bytes: 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._used = 0
        self._frames: OrderedDict[tuple[Hashable, tuple[int, ...]], np.ndarray] = OrderedDict()

    def read(self, clip: VideoClip, clip_key: Hashable, indices: Sequence[int]) -> np.ndarray:
        """(n, H, W, 3) uint8 frames of a clip, from memory where they are there under its key."""
        key = (clip_key, tuple(indices))
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        frames = clip.read(indices)
        if frames.nbytes <= self.max_bytes:
            self._frames[key] = frames
            self._used += frames.nbytes
            while self._used > self.max_bytes:
                self._used -= self._frames.popitem(last=False)[1].nbytes
        return frames


class SamaDataset(Dataset[Example]):
    """Training examples of a list of samples.

    Args:
        samples: what to learn from.
        dialogue_tokenizer: lays out the text.
        builder: makes the tensors.
        tokens_per_frame: slots of one dense frame.
        max_length: longest sequence.
        seed: of frame choices; with the epoch it fixes every example.
        single_frame: show one frame of the clip instead of the clip (early curriculum).
        cache_bytes: decoded frames kept in memory.
        mask_targets: make SAM2 frames and masks; False where no mask loss reads them.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        dialogue_tokenizer: DialogueTokenizer,
        builder: InputBuilder,
        *,
        tokens_per_frame: int,
        max_length: int,
        seed: int = 0,
        single_frame: bool = False,
        cache_bytes: int = 0,
        mask_targets: bool = True,
    ) -> None:
        self.samples = samples
        self.dialogue_tokenizer = dialogue_tokenizer
        self.builder = builder
        self.tokens_per_frame = tokens_per_frame
        self.max_length = max_length
        self.seed = seed
        self.epoch = 0
        self.single_frame = single_frame
        self.mask_targets = mask_targets and builder.sama.grounding.head != "none"
        self._cache = FrameCache(cache_bytes)
        self._clips: dict[Hashable, VideoClip] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Draw other frames from now on; the trainer calls it once an epoch."""
        self.epoch = epoch

    def lengths(self) -> list[int]:
        """About how many tokens each example has, text and dense frames; nothing is opened for it."""
        pairs = zip(lengths_of(self.samples), paths_of(self.samples), strict=True)
        return [characters // CHARACTERS_PER_TOKEN + self._frame_slots(path) for characters, path in pairs]

    def _frame_slots(self, path: str) -> int:
        """Slots of the dense frames of a video, picture or, at an empty path, nothing."""
        if not path:
            return 0
        is_one = self.single_frame or path.lower().endswith(IMAGE_SUFFIXES)
        return self.tokens_per_frame * (1 if is_one else self.builder.sama.sampling.num_dense)

    def __getitem__(self, index: int) -> Example:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        sample = draw_turns(self.samples[index], rng)
        sama = self.builder.sama
        sparse, frames = self._shown(sample)
        if self.single_frame and sparse:
            keep, sample = self._one_frame(sample, sparse, rng)
            sparse, frames = [sparse[keep]], frames[keep : keep + 1]
        dense = dense_positions(len(sparse), sama.sampling.num_dense) if sparse else []
        layout = SlotLayout(len(dense), self.tokens_per_frame, len(sparse) if sama.use_aggregator else 0)
        dialogue = self.dialogue_tokenizer.encode(
            [(turn.question, turn.answer) for turn in sample.turns],
            layout,
            max_length=self.max_length,
            sample_id=sample.sample_id,
        )
        only_for_regions: list[int] = []
        regions = [
            region_use(sample, region_id, sparse, rng, only_for_regions)
            for turn in sample.turns
            for region_id in turn.region_ids
        ]
        pixels = self.builder.tower_pixels(frames)
        if only_for_regions:
            more = self._cache.read(self._clip(sample), sample.clip_key, only_for_regions)
            pixels = torch.cat([pixels, self.builder.tower_pixels(more)])
        return Example(
            input_ids=torch.tensor(dialogue.input_ids),
            labels=torch.tensor(dialogue.labels),
            video=self.builder.video_inputs(
                pixels,
                len(sparse),
                dense,
                dialogue.question_ids if sparse else [],
                regions,
            ),
            grounding=self._grounding(
                sample, [sparse[d] for d in dense], frames[dense], int(rng.integers(2**31))
            ),
            sample_id=sample.sample_id,
            task=sample.turns[0].task,
            sparse_frames=tuple(sparse),
            dense_frames=tuple(sparse[d] for d in dense),
            video_path=Path(sample.video_path) if sample.video_path else None,
            turns=sample.turns,
        )

    def _shown(self, sample: Sample) -> tuple[list[int], np.ndarray]:
        """Frame indices of the T sparse frames and their pixels, (T, H, W, 3) uint8; none of text alone."""
        if not sample.video_path:
            return [], np.zeros((0, 1, 1, 3), dtype=np.uint8)
        clip = self._clip(sample)
        _check_tracks(sample, clip)
        sparse = sparse_indices(clip.num_frames, self.builder.sama.sampling)
        return sparse, self._cache.read(clip, sample.clip_key, sparse)

    def _clip(self, sample: Sample) -> VideoClip:
        """The clip of a sample; those of late are kept, since finding out what a video consists of takes time."""
        key = sample.clip_key
        clip = self._clips.pop(key, None) or open_sample_clip(sample)
        self._clips[key] = clip
        if len(self._clips) > MAX_KEPT_CLIPS:
            del self._clips[next(iter(self._clips))]
        return clip

    def _one_frame(
        self, sample: Sample, sparse: Sequence[int], rng: np.random.Generator
    ) -> tuple[int, Sample]:
        """Position of a random sparse frame, and the sample with the turns whose objects are all visible there.

        Raises:
            DataError: no frame shows all objects of any turn.
        """
        for position in rng.permutation(len(sparse)):
            frame = sparse[position]
            turns = tuple(
                turn
                for turn in sample.turns
                if all(sample.masks[i][frame] is not None for i in turn.mask_ids)
            )
            if turns:
                return int(position), dataclasses.replace(sample, turns=turns)
        raise DataError(
            f"Sample '{sample.sample_id}': no frame of {list(sparse)} shows all objects of any question."
        )

    def _grounding(
        self, sample: Sample, frame_indices: Sequence[int], frames: np.ndarray, point_seed: int
    ) -> GroundingInputs | None:
        targets = [ids for turn in sample.turns for ids in turn.target_ids]
        if not targets or not self.mask_targets:
            return None
        size = self.builder.sama.sam2.image_size
        height, width = frames.shape[1:3]
        masks = np.zeros((len(targets), len(frame_indices), height, width), dtype=np.float32)
        for s, ids in enumerate(targets):
            for f, frame in enumerate(frame_indices):
                for rle in (sample.masks[i][frame] for i in ids):
                    if rle is not None:
                        masks[s, f] = np.maximum(masks[s, f], decode_mask(rle))
        small = F.interpolate(torch.from_numpy(masks), size=(size // MASK_LOGIT_STRIDE,) * 2, mode="area")
        return GroundingInputs(torch.as_tensor(sam2_frames(frames, size)), small, point_seed)


def draw_turns(sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample with `num_drawn` of its turns, none twice, in the order drawn; itself if it has no more than that."""
    if not 0 < sample.num_drawn < len(sample.turns):
        return sample
    chosen = rng.permutation(len(sample.turns))[: sample.num_drawn]
    return dataclasses.replace(sample, turns=tuple(sample.turns[i] for i in chosen))


def region_use(
    sample: Sample,
    region_id: str,
    sparse: Sequence[int],
    rng: np.random.Generator,
    more: list[int] | None = None,
) -> RegionUse:
    """A region on a random sparse frame where its object is visible.

    Args:
        sample: the dialogue.
        region_id: mask id of the object.
        sparse: frame index of each sparse frame.
        rng: chooses the frame.
        more: frames that only regions need, behind the sparse ones; one is added where the object is on no sparse
            frame, but on others. None adds none.

    Raises:
        DataError: it is visible on none of them.
    """
    track = sample.masks[region_id]
    visible = {k: rle for k, frame in enumerate(sparse) if (rle := track[frame]) is not None}
    if not visible and more is not None:
        elsewhere = {frame: rle for frame, rle in enumerate(track) if rle is not None}
        if elsewhere:
            frame = int(rng.choice(list(elsewhere)))
            if frame not in more:
                more.append(frame)
            return RegionUse(decode_mask(elsewhere[frame]), len(sparse) + more.index(frame))
    if not visible:
        raise DataError(
            f"Sample '{sample.sample_id}': region '{region_id}' is visible on none of the frames {list(sparse)}; "
            "drop the question or sample more frames."
        )
    slot = int(rng.choice(list(visible)))
    return RegionUse(decode_mask(visible[slot]), slot)


def _check_tracks(sample: Sample, clip: VideoClip) -> None:
    """Refuse masks that were made for other frames.

    Raises:
        DataError: a track of another length, or a mask of another size, than the video's.
    """
    size = (clip.height, clip.width)
    for mask_id in sample.mask_ids:
        track = sample.masks[mask_id]
        if len(track) != clip.num_frames:
            found = f"{len(track)} frames but its video has {clip.num_frames}"
        elif other := next((tuple(rle["size"]) for rle in track if rle and tuple(rle["size"]) != size), None):
            found = f"size {other} but its video has {size}"
        else:
            continue
        raise DataError(
            f"Sample '{sample.sample_id}': mask '{mask_id}' has {found}; use the mask dictionary made for these frames."
        )
