"""SAM2's image features of one clip: made once per frame, shared by all objects, clicks and turns, within a budget."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder

from sama_plugin.errors import MediaError
from sama_plugin.grounding.sam2_model import FrameFeatures
from sama_plugin.media.transforms import sam2_frames

if TYPE_CHECKING:
    from sama_plugin.grounding.sam2_head import Sam2Head

DEFAULT_BUDGET = 2**30
"""Bytes; 64 frames of a full-size SAM2 in float32, 4,800 of the shipped one."""

BEYOND = ("recompute", "disk")

READ_THROUGH = 16
"""Kept frames between two missing ones that are decoded with them; beyond, a new seek costs less."""

_OWN, _SEG = "own", "seg"


class FrameSource(Protocol):
    """What grounding reads of a clip (`VideoClip`, or one that still grows; its frames never change)."""

    @property
    def num_frames(self) -> int:
        """Frames there are by now."""

    @property
    def height(self) -> int:
        """H, pixels."""

    @property
    def width(self) -> int:
        """W, pixels."""

    def iter_frames(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Index and (H, W, 3) uint8 RGB of frames from `start` up to, without, `stop`."""

    def iter_frames_reversed(self, start: int, stop: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """The same from `start` down to `stop`, inclusive."""


class FeatureStore:
    """Features of the frames of a clip, by index.

    A frame is kept as SAM2's own decoder projects it, which is all that tracking and clicks need; frames on which
    `[SEG]` was tried have the fine levels of the fine-tuned decoder too. Raw levels, eight times as large, are
    never kept. A frame that is wanted with a projection it was not kept with is encoded again.

    Args:
        head: encodes; lends its SAM2, device and precision.
        clip: read only where a frame is missing.
        budget_bytes: memory for features, on the head's device. 0 keeps nothing there.
        beyond: what happens to frames that do not fit. `recompute`: they are encoded again whenever they are
            wanted. `disk`: they go to a temporary folder (that of `TMPDIR`), which is removed by `close`, with the
            store, or when Python ends; all features are then rounded to float16, also those in memory, so that
            every use of a frame sees the same.

    Attributes:
        frames_encoded: frames through the image encoder for this store so far.
        bytes_held: features in memory.

    Raises:
        MediaError: a budget below 0, or another word for `beyond`.
    """

    def __init__(
        self,
        head: Sam2Head,
        clip: FrameSource,
        *,
        budget_bytes: int = DEFAULT_BUDGET,
        beyond: str = "recompute",
    ) -> None:
        if isinstance(budget_bytes, bool) or not isinstance(budget_bytes, int) or budget_bytes < 0:
            raise MediaError(
                f"The budget for SAM2 features is {budget_bytes!r} bytes, expected a whole number from 0."
            )
        if beyond not in BEYOND:
            raise MediaError(
                f"SAM2 features beyond the budget go to '{beyond}', expected one of {', '.join(BEYOND)}."
            )
        self.head = head
        self.clip = clip
        self.budget_bytes = budget_bytes
        self.beyond = beyond
        self.frames_encoded = 0
        self.bytes_held = 0
        self._in_memory: dict[tuple[int, str], tuple[torch.Tensor, ...]] = {}
        self._on_disk: dict[tuple[int, str], Path] = {}
        self._blank: dict[str, tuple[torch.Tensor, ...]] = {}  # shapes and dtype of what lies on disk
        self._pos: torch.Tensor | None = None  # the same for all frames
        self._seg_decoder: MaskDecoder | None = None
        self._remove_folder: weakref.finalize | None = None
        self._folder = Path()

    def frame(self, frame_idx: int, decoder: MaskDecoder | None = None) -> FrameFeatures:
        """Features of one frame; arguments as in `walk`."""
        ((_, features),) = self.walk([frame_idx], decoder)
        return features

    @torch.inference_mode()
    def walk(
        self, indices: Sequence[int], decoder: MaskDecoder | None = None
    ) -> Generator[tuple[int, FrameFeatures], None, None]:
        """Features of frames in order; where they are missing the video is read on, frame after frame.

        Args:
            indices: all ascending or all descending.
            decoder: whose projection of the fine levels is wanted; SAM2's own if None.

        Yields:
            Frame index, and features of that one frame, projected.

        Raises:
            MediaError: a frame cannot be read, a frame exceeds the budget, or the disk is full.
        """
        kind = self._kind_of(decoder)
        missing = [i for i in indices if not self._holds(i, kind)]
        with closing(self._read(missing)) as frames:
            for i in indices:
                if self._holds(i, kind):
                    yield i, self._features(kind, self._load(i, _OWN), self._load(i, kind))
                else:
                    yield i, self._encode(i, next(frame for j, frame in frames if j == i), kind)

    def close(self) -> None:
        """Let go of all features, and of the temporary folder."""
        self._in_memory.clear()
        self._on_disk.clear()
        self.bytes_held = 0
        if self._remove_folder is not None:
            self._remove_folder()
            self._remove_folder = None

    def _kind_of(self, decoder: MaskDecoder | None) -> str:
        if decoder is None or decoder is self.head.sam2.sam_mask_decoder:
            return _OWN
        if decoder is not self._seg_decoder:
            self._forget_seg()
            self._seg_decoder = decoder
        return _SEG

    def _forget_seg(self) -> None:
        """Drop what another fine-tuned decoder projected."""
        for key in [key for key in self._in_memory if key[1] == _SEG]:
            self.bytes_held -= _num_bytes(self._in_memory.pop(key))
        for key in [key for key in self._on_disk if key[1] == _SEG]:
            self._on_disk.pop(key).unlink(missing_ok=True)

    def _holds(self, frame_idx: int, kind: str) -> bool:
        keys = {(frame_idx, _OWN), (frame_idx, kind)}
        return all(key in self._in_memory or key in self._on_disk for key in keys)

    def _read(self, indices: Sequence[int]) -> Generator[tuple[int, np.ndarray], None, None]:
        """At least these frames, in their order; the video is opened once for each run of near ones."""
        runs: list[list[int]] = []
        for i in indices:
            if not runs or abs(i - runs[-1][-1]) > READ_THROUGH:
                runs.append([])
            runs[-1].append(i)
        for run in runs:
            first, last = run[0], run[-1]
            if first <= last:
                yield from self.clip.iter_frames(first, last + 1)
            else:
                yield from self.clip.iter_frames_reversed(first, last)

    def _encode(self, frame_idx: int, frame: np.ndarray, kind: str) -> FrameFeatures:
        raw = self.head.encode(sam2_frames(frame[None], self.head.image_size))
        self.frames_encoded += 1
        self._pos = raw.pos if self._pos is None else self._pos
        with self.head.autocast():
            parts: dict[str, tuple[torch.Tensor, ...]] = {
                _OWN: raw.project(self.head.sam2.sam_mask_decoder).levels
            }
            if kind == _SEG:
                assert self._seg_decoder is not None, "the kind comes from a decoder"
                parts[_SEG] = raw.project(self._seg_decoder).levels[:2]
        if self.beyond == "disk":
            parts = {name: tuple(x.half().to(x.dtype) for x in part) for name, part in parts.items()}
        self._check_budget(_num_bytes(self._packed(parts[_OWN])))
        for name, part in parts.items():
            if not self._holds(frame_idx, name) and (name == _OWN or self._holds(frame_idx, _OWN)):
                self._keep((frame_idx, name), part)
        return self._features(kind, parts[_OWN], parts[kind])

    def _check_budget(self, num_bytes: int) -> None:
        if 0 < self.budget_bytes < num_bytes:
            raise MediaError(
                f"SAM2 features of one frame take {num_bytes} bytes, but the budget for them is "
                f"{self.budget_bytes}; set it to {num_bytes} or more, or to 0 to keep none in memory."
            )

    def _packed(self, part: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(x.half() for x in part) if self.beyond == "disk" else part

    def _keep(self, key: tuple[int, str], part: tuple[torch.Tensor, ...]) -> None:
        """Keep a part if it fits. What is kept stays: in a scan that comes again, what was used last comes last."""
        packed = self._packed(part)
        num_bytes = _num_bytes(packed)
        if self.bytes_held + num_bytes <= self.budget_bytes:
            self._in_memory[key] = packed
            self.bytes_held += num_bytes
        elif self.beyond == "disk":
            self._on_disk[key] = self._write(key, packed)
        self._blank.setdefault(key[1], tuple(torch.empty_like(x, device="meta") for x in part))

    def _write(self, key: tuple[int, str], packed: tuple[torch.Tensor, ...]) -> Path:
        content = torch.cat([x.flatten() for x in packed]).cpu().numpy()
        if self._remove_folder is None:
            try:
                self._folder = Path(tempfile.mkdtemp(prefix="sama-features-"))
            except OSError as error:
                raise _disk_error(key[0], tempfile.gettempdir(), content.nbytes, error) from error
            self._remove_folder = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{key[0]}.{key[1]}"
        try:
            path.write_bytes(content.data)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _disk_error(key[0], self._folder, content.nbytes, error) from error
        return path

    def _load(self, frame_idx: int, name: str) -> tuple[torch.Tensor, ...]:
        """A part that is held, in the dtype it was made in."""
        blank = self._blank[name]
        packed = self._in_memory.get((frame_idx, name))
        if packed is None:
            path = self._on_disk[frame_idx, name]
            try:
                content = torch.from_numpy(np.fromfile(path, dtype=np.float16)).to(self.head.device)
            except OSError as error:
                raise MediaError(
                    f"SAM2 features of frame {frame_idx} cannot be read from '{path}' ({error}); do not clear "
                    "the folder while the session lives, or keep features with 'recompute'."
                ) from error
            flat = content.split([x.numel() for x in blank])
            packed = tuple(x.view(like.shape) for x, like in zip(flat, blank, strict=True))
        return tuple(x.to(like.dtype) for x, like in zip(packed, blank, strict=True))

    def _features(
        self, kind: str, own: tuple[torch.Tensor, ...], part: tuple[torch.Tensor, ...]
    ) -> FrameFeatures:
        assert self._pos is not None, "frames that are held were encoded"
        decoder = self.head.sam2.sam_mask_decoder if kind == _OWN else self._seg_decoder
        return FrameFeatures((part[0], part[1], own[2]), self._pos, decoder)


def _num_bytes(part: tuple[torch.Tensor, ...]) -> int:
    return sum(x.nbytes for x in part)


def _disk_error(frame_idx: int, folder: str | Path, num_bytes: int, error: OSError) -> MediaError:
    return MediaError(
        f"SAM2 features of frame {frame_idx} ({num_bytes} bytes) cannot be written to '{folder}' ({error}); free "
        "space there, set TMPDIR to another folder, raise the budget, or keep features with 'recompute'."
    )
