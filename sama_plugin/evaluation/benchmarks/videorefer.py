"""What both parts of VideoRefer-Bench share: entries about objects that are pointed at, each asked by itself.

Published layout: a JSON list of entries with `video` (in the data folder or its `videos/`), `annotation`, for each
object `{frame: {"segmentation": RLE, polygons or null}}`, and `frame_idx`: the frame on which objects are pointed at in
the single-frame mode, which this is.
"""

from __future__ import annotations

import abc
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.data_fingerprint import fingerprint_data
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.masks import encode_segmentation
from sama_plugin.schema import Rle, Sample, Turn

logger = logging.getLogger(__name__)

REGION = "<region>"


class VideoReferBenchmark(abc.ABC):
    """Base of both parts.

    Args:
        data: the data folder.

    Raises:
        DataError: the file is missing or has another form, or no entry can be asked.
    """

    name = ""
    file = ""
    fields: tuple[str, ...] = ()

    def __init__(self, data: Path) -> None:
        self._file = data / self.file
        self._videos = data / "videos" if (data / "videos").is_dir() else data
        self.entries: dict[str, dict[str, Any]] = {}
        self.left_out: Counter[str] = Counter()
        content = read_json(self._file)
        for k, entry in enumerate(content if isinstance(content, list) else []):
            fault = self._fault(entry)
            if fault:
                logger.warning("%s, entry %d is left out: %s.", self._file, k, fault)
                self.left_out["left_out"] += 1
            else:
                self.entries[str(k)] = entry
        if not self.entries:
            raise DataError(f"{self._file} has no list with entries that can be asked.")
        self.dialogue_ids: Sequence[str] = list(self.entries)

    @cached_property
    def fingerprint(self) -> str:
        """Of entries and videos."""
        videos = {self._videos / entry["video"] for entry in self.entries.values()}
        return fingerprint_data([self._file], videos)

    @abc.abstractmethod
    def turn(self, entry: Mapping[str, Any], region_ids: tuple[str, ...]) -> Turn:
        """Question and true answer of an entry."""

    @abc.abstractmethod
    def num_regions(self, entry: Mapping[str, Any]) -> int:
        """Regions that the question means."""

    def sample(self, dialogue_id: str) -> Sample:
        """One entry; its masks end with the frame that is pointed at."""
        entry = self.entries[dialogue_id]
        path, frame = self._videos / entry["video"], int(entry["frame_idx"])
        masks: dict[str, list[Rle | None]] = {}
        for k, thing in enumerate(entry["annotation"]):
            masks[str(k)] = [*[None] * frame, _encode(thing[str(frame)]["segmentation"], path)]
        turn = self.turn(entry, tuple(masks))
        return Sample(f"{self.name}/{dialogue_id}", str(path), (turn,), masks, self.name)

    def question_ids(self, dialogue_id: str) -> list[str]:
        """One question."""
        return ["0"]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask one entry."""
        sample = self.sample(dialogue_id)
        return [ask_alone(sample, sample.turns[0], answerer, "0")]

    def _fault(self, entry: Any) -> str:
        """Why an entry cannot be asked; empty if it can."""
        if not isinstance(entry, dict):
            return "it is no object"
        missing = [name for name in ("video", "annotation", "frame_idx", *self.fields) if name not in entry]
        if missing:
            return f"it lacks {', '.join(missing)}"
        frame = str(entry["frame_idx"])
        for k, thing in enumerate(entry["annotation"]):
            if not thing.get(frame, {}).get("segmentation"):
                return f"object {k} has no mask on frame {frame}, where it is pointed at"
        num_regions = self.num_regions(entry)
        if num_regions != len(entry["annotation"]):
            return f"the question has {num_regions} {REGION} for {len(entry['annotation'])} objects"
        return ""


def _encode(segmentation: Any, video: Path) -> Rle | None:
    """Run lengths of a mask; polygons need the size of the video."""
    if isinstance(segmentation, dict):
        return encode_segmentation(segmentation, *segmentation["size"])
    clip = VideoClip.open(video)
    return encode_segmentation(segmentation, clip.height, clip.width)
