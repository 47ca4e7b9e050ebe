"""Dataclasses that cross rooms, validated where they are made, and the shape legend.

Shape legend (one letter, one meaning): `B` samples, `T` sparse frames, `D` dense frames, `H W` pixels, `h w` patch
grid, `P = h·w`, `R` regions, `S` `[SEG]` tokens, `Q` queries, `L` text length, `C` tower width, `N` LLM width,
`E` Q-Former width, `M` SAM2 width. Ragged is a list and said so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sama_plugin.constants import DATA_REGION, SEG_TOKEN
from sama_plugin.errors import DataError, PromptError

if TYPE_CHECKING:
    import torch

Rle = dict[str, Any]
"""COCO compressed run lengths: `{"size": [H, W], "counts": str}`."""

REGION_KINDS = ("point", "box", "scribble", "mask")


@dataclass(frozen=True)
class RegionPrompt:
    """What a user pointed with, before it became a mask.

    Attributes:
        name: how the conversation calls it, without angle brackets.
        kind: one of `REGION_KINDS`.
        frame: frame index in the video, 0-based.
        points_xy: (n, 2) float, pixels; for point and scribble.
        point_labels: (n,) int, 1 inside, 0 outside; for point.
        box_xyxy: (x0, y0, x1, y1) float, pixels; for box.
        mask: (H, W) bool; for mask.
    """

    name: str
    kind: str
    frame: int
    points_xy: np.ndarray | None = None
    point_labels: np.ndarray | None = None
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Region:
    """Something the user means: a non-empty mask on one frame, under a name.

    Attributes:
        name: `r1`, or `obj1` for an object of an earlier answer.
        frame: frame index in the video, 0-based.
        mask: (H, W) bool, video pixels, at least one True.
        prompt: what it was made from; None for an object of an earlier answer and for training data.
    """

    name: str
    frame: int
    mask: np.ndarray
    prompt: RegionPrompt | None = None

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise PromptError(
                f"Region '{self.name}': mask has shape {self.mask.shape} and dtype {self.mask.dtype}, "
                "expected (H, W) bool in video pixels."
            )
        if not self.mask.any():
            raise PromptError(
                f"Region '{self.name}' on frame {self.frame} is empty: point at at least one pixel of something."
            )


@dataclass(frozen=True)
class Turn:
    """One round of a record: a question with `<mask>` marks and its answer with `[SEG]` marks.

    Attributes:
        question: text; each `<mask>` is one region.
        answer: text; each `[SEG]` is one object.
        region_ids: mask-dictionary id of each `<mask>`, in order.
        target_ids: for each `[SEG]`, the ids whose union is its mask; an empty list means an empty mask.
        task: what it exercises, for balancing and scoring, e.g. `referring`, `grounding`, `none`.
        kind: finer than the task, e.g. `motion`.
        span: (start, end) frame indices, end inclusive, where the answer speaks of a time; else None.
    """

    question: str
    answer: str
    region_ids: tuple[str, ...] = ()
    target_ids: tuple[tuple[str, ...], ...] = ()
    task: str = "general"
    kind: str = ""
    span: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        marks = self.question.count(DATA_REGION)
        if marks != len(self.region_ids):
            raise DataError(
                f"Question {self.question!r} has {marks} {DATA_REGION} but {len(self.region_ids)} region ids."
            )
        segs = self.answer.count(SEG_TOKEN)
        if segs != len(self.target_ids):
            raise DataError(
                f"Answer {self.answer!r} has {segs} {SEG_TOKEN} but {len(self.target_ids)} groundtruth entries."
            )

    @property
    def mask_ids(self) -> tuple[str, ...]:
        """All ids it means, those of regions first."""
        return (*self.region_ids, *(key for ids in self.target_ids for key in ids))


@dataclass(frozen=True)
class Sample:
    """One dialogue about a video, a picture or nothing seen: what a source gives and training and benchmarks read.

    Attributes:
        sample_id: unique within its source.
        video_path: video file, frame folder, or picture, which is a clip of one frame; empty for text alone.
        turns: at least one.
        masks: id -> one `Rle` or None (absent) per frame; may be read only when it is asked for.
        source: the corpus it came from.
        frame_names: of a frame folder, the files that are its frames, without suffix; None: all.
        frame_step: its frames are every n-th of the video.
        num_drawn: an example takes so many of the turns, drawn anew each epoch; 0: all, in their order.
    """

    sample_id: str
    video_path: str
    turns: tuple[Turn, ...]
    masks: Mapping[str, list[Rle | None]]
    source: str = ""
    frame_names: tuple[str, ...] | None = None
    frame_step: int = 1
    num_drawn: int = 0

    def __post_init__(self) -> None:
        if not self.turns:
            raise DataError(f"Sample '{self.sample_id}' has no turns.")
        for i, turn in enumerate(self.turns):
            for key in turn.mask_ids:
                if not self.video_path:
                    raise DataError(
                        f"Sample '{self.sample_id}' turn {i} means mask id '{key}', but has no video or picture."
                    )
                if key not in self.masks:
                    raise DataError(
                        f"Sample '{self.sample_id}' turn {i} means mask id '{key}', which its mask "
                        f"dictionary lacks (it has {sorted(self.masks)[:8]})."
                    )

    @property
    def mask_ids(self) -> list[str]:
        """Ids that its turns mean, each once, in their order."""
        return list(dict.fromkeys(key for turn in self.turns for key in turn.mask_ids))

    @property
    def clip_key(self) -> tuple[str, tuple[str, ...] | None, int]:
        """Equal for samples about the same frames; open them with `media.frame_subset.open_sample_clip`."""
        return self.video_path, self.frame_names, self.frame_step


@dataclass
class RegionInputs:
    """Tensors of the regions of one sample, in order of their slots.

    Attributes:
        look_masks: (R, h, w) float in [0, 1]; share of each patch that lies inside.
        shape_masks: (R, s, s) float in [0, 1]; the mask cropped to its box and resized.
        boxes: (R, 5) float; centre x, centre y, width, height, area as shares of the frame.
        frame_slots: (R,) long; row of `VideoInputs.pixel_values` that shows the region.
    """

    look_masks: torch.Tensor
    shape_masks: torch.Tensor
    boxes: torch.Tensor
    frame_slots: torch.Tensor


@dataclass
class VideoInputs:
    """What the vision side of the LLM sees of one sample.

    Attributes:
        pixel_values: (T + X, 3, s, s) float, tower input; T sparse frames in time order, then X frames that only
            regions need; None where their features are at hand.
        num_sparse: T; 0 of text alone.
        dense_positions: (D,) long; positions among the sparse frames.
        question_ids: list of P_i × (l,) long; token ids of each question's text, `REGION_TOKEN_INDEX` at region slots;
            none of text alone, whose questions read no frames.
        regions: all regions of all questions.
    """

    pixel_values: torch.Tensor | None
    num_sparse: int
    dense_positions: torch.Tensor
    question_ids: list[torch.Tensor]
    regions: RegionInputs


@dataclass
class GroundingInputs:
    """Frames and targets of the mask losses of one sample.

    Attributes:
        sam2_frames: (F, 3, s, s) float, SAM2 input; the dense frames.
        gt_masks: (S, F, h, w) float in [0, 1]; one target per `[SEG]` per frame, at SAM2's logit size.
        point_seed: of the points at which masks are compared.
    """

    sam2_frames: torch.Tensor
    gt_masks: torch.Tensor
    point_seed: int


@dataclass
class GroundedObject:
    """One object of an answer.

    Attributes:
        id: `obj1`, `obj2`, ... in order over the whole conversation; a question may mean it as `<obj1>`.
        phrase: the text between `<p>` and `</p>` before its `[SEG]`, stripped; empty if there was none.
        score: in [0, 1]; low when the object is probably absent.
        rle: one `Rle` or None (absent) per video frame.
        spans_s: [start, end] seconds of each run of frames where it is visible.
        size: (H, W) of the video; without it, masks of an object that is nowhere visible have no shape.
    """

    id: str
    phrase: str
    score: float
    rle: list[Rle | None]
    spans_s: list[tuple[float, float]] = field(default_factory=list)
    size: tuple[int, int] | None = None

    @property
    def masks(self) -> np.ndarray:
        """(T_all, H, W) bool, decoded anew at each call; all False where it is absent."""
        from sama_plugin.media.masks import decode_track

        return decode_track(self.rle, self.size)


@dataclass(frozen=True)
class FrameMasks:
    """Masks of objects of an answer on one frame, as they are found.

    Attributes:
        frame: frame index in the video, 0-based.
        rle: object id → `Rle`, None where the object is absent.
    """

    frame: int
    rle: dict[str, Rle | None]


@dataclass
class GroundedAnswer:
    """One turn of a conversation.

    Attributes:
        question: as the user wrote it.
        text: the answer without special tokens.
        raw: the answer as generated, special tokens kept, end-of-turn removed.
        objects: one per `[SEG]`, in order.
        timing_s: seconds of `encode`, `first_token`, `generate`, `ground`.
        counters: `vision_frames_encoded`, `sam2_frames_encoded`, `prefix_tokens_reused`, `prefix_tokens_computed`.
        num_tokens: that were generated.
        is_cut: it did not end by itself but at the longest length, or where the model's context does.
    """

    question: str
    text: str
    raw: str
    objects: Sequence[GroundedObject]
    timing_s: dict[str, float]
    counters: dict[str, int]
    num_tokens: int = 0
    is_cut: bool = False
