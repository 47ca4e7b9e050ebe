"""Video GCG: a description of the video with a mask for each thing it names; scored as SAMA-Bench-G.

Published layout (VideoGLaMM): `video_gcg/instruction_data/<split>.json` with `videos` (file_names, height, width,
`dense_cap` with `caption`, `token_pos` of its words and their `mask_id`) and `annotations` (`id`, `segmentations`);
frames of YouTube-VIS below `ytvis/vos/train/JPEGImages`, else below `burst/frames/val`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from sama_plugin.data.json_file import read_json
from sama_plugin.errors import DataError
from sama_plugin.evaluation.answerer import Answerer
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.grounded_answers import (
    answer_row,
    score_grounding,
    summarise_answers,
)
from sama_plugin.evaluation.data_fingerprint import fingerprint_data
from sama_plugin.evaluation.metrics.phrase_similarity import open_similarity
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.questioner import ask_alone
from sama_plugin.evaluation.text_scoring import DEFAULT_SCORING, TextScoring
from sama_plugin.schema import Rle, Sample, Turn

QUESTION = (
    "Could you please give me a detailed description of the video? Please respond with interleaved segmentation "
    "masks for the corresponding parts of the answer."
)
YOUTUBE_VIS = "yt19"


class GcgBenchmark:
    """One description per video.

    Args:
        data: folder with `video_gcg` and the frames.
        split: of the descriptions.
        scoring: of words.

    Raises:
        DataError: files missing or malformed, or a description that means a mask that is not there.
        HostError: as for `SamaBench`.
    """

    name = "gcg"

    def __init__(self, data: Path, split: str, scoring: TextScoring = DEFAULT_SCORING) -> None:
        self._file = data / "video_gcg" / "instruction_data" / f"{split}.json"
        self._data, self._judge = data, scoring.open_judge()
        self._similarity = open_similarity(scoring.similarity)
        content = read_json(self._file)
        try:
            self._tracks = {str(row["id"]): row["segmentations"] for row in content["annotations"]}
            self._samples = dict(self._read_video(k, row) for k, row in enumerate(content["videos"]))
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{self._file} has another form than published: {type(error).__name__} {error}."
            ) from error
        self._sizes = {
            key: (row["height"], row["width"])
            for key, row in zip(self._samples, content["videos"], strict=True)
        }
        self.dialogue_ids: Sequence[str] = list(self._samples)

    @cached_property
    def fingerprint(self) -> str:
        """Of descriptions, masks and frames."""
        return fingerprint_data([self._file], {sample.video_path for sample in self._samples.values()})

    def sample(self, dialogue_id: str) -> Sample:
        """The video and its description."""
        return self._samples[dialogue_id]

    def question_ids(self, dialogue_id: str) -> list[str]:
        """One question."""
        return ["0"]

    def ask(self, dialogue_id: str, answerer: Answerer) -> list[Prediction]:
        """Ask for a description."""
        sample = self._samples[dialogue_id]
        return [ask_alone(sample, sample.turns[0], answerer, "0")]

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """MIoU and recall of a description."""
        sample, (prediction,) = self._samples[dialogue_id], predictions
        row = answer_row(sample.turns[0], prediction)
        faults = score_grounding(
            row,
            sample,
            sample.turns[0].target_ids,
            self._sizes[dialogue_id],
            prediction,
            self._similarity,
        )
        return Scored(dialogue_id, [row], faults)

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means over videos."""
        return summarise_answers(dialogues, {}, {}, self._judge)

    def _read_video(self, number: int, row: Mapping[str, Any]) -> tuple[str, Sample]:
        """Id and sample of a video."""
        described = row["dense_cap"]
        names = [PurePosixPath(name) for name in row["file_names"]]
        objects: dict[int, list[str]] = defaultdict(list)
        for place, mask_id in zip(described["token_pos"], described["mask_id"], strict=True):
            objects[place].append(str(mask_id))
        words = [
            f"<p> {word} </p> [SEG]" if place in objects else word
            for place, word in enumerate(described["caption"].split(" "))
        ]
        used = [mask_id for place in sorted(objects) for mask_id in objects[place]]
        missing = [mask_id for mask_id in used if mask_id not in self._tracks]
        if missing:
            raise DataError(f"{self._file}, video {number} means masks {missing[:3]}, which it lacks.")
        masks: dict[str, list[Rle | None]] = {mask_id: self._tracks[mask_id] for mask_id in used}
        turn = Turn(QUESTION, " ".join(words), (), tuple(tuple(objects[place]) for place in sorted(objects)))
        dialogue_id = f"{number}/{names[0].parent.name}"
        return dialogue_id, Sample(
            dialogue_id,
            str(self._frames_of(row) / names[0].parent),
            (turn,),
            masks,
            self.name,
            frame_names=tuple(name.stem for name in names),
        )

    def _frames_of(self, row: Mapping[str, Any]) -> Path:
        """Folder that a video's file names are relative to."""
        corpus = row["metadata"]["dataset"] if "metadata" in row else row["dataset_split"]
        if corpus == YOUTUBE_VIS:
            return self._data / "ytvis" / "vos" / "train" / "JPEGImages"
        return self._data / "burst" / "frames" / "val"
