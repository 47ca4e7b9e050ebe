"""The worst cases of a comparison as pictures: the truth, the first run and the second one below each other."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sama_plugin.constants import DATA_REGION
from sama_plugin.evaluation.benchmark import Benchmark
from sama_plugin.evaluation.comparison import Case, Run
from sama_plugin.evaluation.faults import fit_track
from sama_plugin.evaluation.prediction_files import PredictionSet, parse_line
from sama_plugin.evaluation.predictions import Prediction, align_predictions
from sama_plugin.evaluation.targets import point_at, union_rles
from sama_plugin.inference.visualization import write_strip
from sama_plugin.media.decode import VideoClip
from sama_plugin.media.frame_subset import open_sample_clip
from sama_plugin.media.masks import encode_track
from sama_plugin.prompting.answer_parsing import parse_answer
from sama_plugin.schema import GroundedAnswer, GroundedObject, Region, Sample, Turn


def draw_cases(
    benchmark: Benchmark, cases: Sequence[Case], runs: Sequence[Run], folder: Path
) -> Iterator[Path]:
    """Draw questions with the true answer and those of the runs; a picture each.

    Args:
        benchmark: that all are of; its videos are read.
        cases: from `worst_cases`.
        runs: their folders hold the predictions.
        folder: of the pictures; made if it is not there.

    Yields:
        Each picture that was written.

    Raises:
        DataError: predictions that are not there.
        MediaError: a video cannot be read, or the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sets = [PredictionSet(run.folder) for run in runs]
    for number, case in enumerate(cases, start=1):
        sample = benchmark.sample(case.dialogue_id)
        ids = list(benchmark.question_ids(case.dialogue_id))
        turn = sample.turns[ids.index(case.question_id)]
        clip = open_sample_clip(sample)
        regions = _regions(sample, turn)
        question = turn.question
        for region in regions:
            question = question.replace(DATA_REGION, f"<{region.name}>", 1)
        answers = [_true_answer(sample, turn, f"Truth: {question}")]
        for run, predictions in zip(runs, sets, strict=True):
            prediction = _read(predictions, case, ids)
            answers.append(_given_answer(prediction, clip, f"{run.folder.name}: {question}"))
        name = re.sub(r"[^\w.-]+", "_", f"{number:02d}_{case.dialogue_id}_{case.question_id}")
        path = folder / f"{name[:100]}.png"
        write_strip(path, clip, _renumber(answers), regions)
        yield path


def _regions(sample: Sample, turn: Turn) -> list[Region]:
    prompts = [point_at(sample, region_id, f"r{k + 1}") for k, region_id in enumerate(turn.region_ids)]
    return [Region(prompt.name, prompt.frame, prompt.mask) for prompt in prompts if prompt.mask is not None]


def _true_answer(sample: Sample, turn: Turn, question: str) -> GroundedAnswer:
    parsed = parse_answer(turn.answer)
    objects = [
        GroundedObject("", phrase, 1.0, union_rles(sample, ids))
        for phrase, ids in zip(parsed.phrases, turn.target_ids, strict=True)
    ]
    return GroundedAnswer(question, parsed.text, turn.answer, objects, {}, {})


def _given_answer(prediction: Prediction, clip: VideoClip, question: str) -> GroundedAnswer:
    size = (clip.height, clip.width)
    objects = [
        dataclasses.replace(thing, rle=encode_track(fit_track(thing.rle, clip.num_frames, size, "")[0]))
        for thing in prediction.objects
    ]
    text = prediction.text if prediction.is_answered else f"({prediction.error or 'not asked'})"
    return GroundedAnswer(question, text, prediction.raw, objects, {}, {})


def _read(predictions: PredictionSet, case: Case, question_ids: Sequence[str]) -> Prediction:
    aligned, _ = align_predictions(question_ids, parse_line(predictions.read(case.dialogue_id)))
    return aligned[question_ids.index(case.question_id)]


def _renumber(answers: Sequence[GroundedAnswer]) -> list[GroundedAnswer]:
    """Answers whose objects have ids of their own, by which they are coloured and labelled."""
    numbers = iter(range(1, 1 + sum(len(answer.objects) for answer in answers)))
    return [
        dataclasses.replace(
            answer,
            objects=[dataclasses.replace(thing, id=f"obj{next(numbers)}") for thing in answer.objects],
        )
        for answer in answers
    ]
