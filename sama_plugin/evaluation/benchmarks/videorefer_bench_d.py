"""VideoRefer-Bench-D: describe an object; a judge grades four aspects, and captions are scored as anywhere.

Published file: `VideoRefer-Bench-D.json`, whose entries also have `caption`. Grades are 0 to 5 there, fractions of 5
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sama_plugin.constants import DATA_REGION
from sama_plugin.data.endpoint import Endpoint
from sama_plugin.errors import EndpointError, ReplyError
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.grounded_answers import Row, answer_row, summarise_answers
from sama_plugin.evaluation.benchmarks.videorefer import VideoReferBenchmark
from sama_plugin.evaluation.metrics.caption_text import caption_of
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.evaluation.text_scoring import DEFAULT_SCORING, TextScoring
from sama_plugin.schema import Turn

DESCRIBE = f"Please give a detailed description of the highlighted object {DATA_REGION} in the video."
ASPECTS = {
    "SC": "subject: whether it is about the same object",
    "AD": "appearance: whether colour, shape, texture and clothing are right",
    "TD": "time: whether actions and changes are right",
    "HD": "truth: 5 where nothing is made up, 0 where most is",
}
BEST = 5
PROMPT = """\
A description of an object in a video is to be graded against a correct one.
Correct: {reference}
To be graded: {candidate}
Grade each of these from 0 (worst) to 5 (best), in JSON with exactly these keys: {aspects}.
"""
NO_JUDGE = "no judge was named; it needs a model behind an OpenAI-compatible URL (--judge-url)"


class VideoReferBenchD(VideoReferBenchmark):
    """A description per entry.

    Args:
        data: the data folder.
        scoring: of words.

    Raises:
        HostError: a judge is named whose key or package is missing.
    """

    name = "videorefer-bench-d"
    file = "VideoRefer-Bench-D.json"
    fields = ("caption",)

    def __init__(self, data: Path, scoring: TextScoring = DEFAULT_SCORING) -> None:
        super().__init__(data)
        self._judge = scoring.open_judge()

    def turn(self, entry: Mapping[str, Any], region_ids: tuple[str, ...]) -> Turn:
        """The published question."""
        return Turn(DESCRIBE, entry["caption"], region_ids)

    def num_regions(self, entry: Mapping[str, Any]) -> int:
        """One."""
        return 1

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """Grades and captions are made when all are there."""
        entry, (prediction,) = self.entries[dialogue_id], predictions
        return Scored(entry["video"], [answer_row(Turn(DESCRIBE, entry["caption"], ("0",)), prediction)])

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Means of the grades over entries, their mean `average`, and captions over videos."""
        summary = summarise_answers(dialogues, {}, {}, self._judge)
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        names = [*ASPECTS, "average"]
        reason, num_unclear = (NO_JUDGE, 0) if self._judge is None else _grade(rows, self._judge)
        graded = [row["grades"] for row in rows if "grades" in row]
        for name in names:
            values = [grades[name] for grades in graded]
            summary.metrics[name] = float(np.mean(values)) if values and not reason else None
            summary.counts[name] = len(values)
        summary.counts.update({"unclear_grades": num_unclear, **self.left_out})
        absent = dict.fromkeys(names, reason) if reason else {}
        return summary._replace(absent={**summary.absent, **absent})


def _grade(rows: Sequence[Row], judge: Endpoint) -> tuple[str, int]:
    """Let the judge grade all answers; gives why there are no grades (empty if there are), and replies without any."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "number", "minimum": 0, "maximum": BEST} for name in ASPECTS},
        "required": list(ASPECTS),
    }
    aspects = "; ".join(f"{name} ({meaning})" for name, meaning in ASPECTS.items())
    num_unclear = 0
    for row in rows:
        candidate = caption_of(row["answer"])
        grades = dict.fromkeys(ASPECTS, 0.0)
        if candidate:
            text = PROMPT.format(reference=caption_of(row["truth"]), candidate=candidate, aspects=aspects)
            try:
                reply = judge.complete([{"role": "user", "content": text}], schema, temperature=0.0)
            except ReplyError:
                num_unclear += 1
                continue
            except EndpointError as error:
                return f"the judge did not answer: {error}", num_unclear
            grades = {name: float(reply.parsed[name]) / BEST for name in ASPECTS}
        row["grades"] = {**grades, "average": float(np.mean(list(grades.values())))}
        row["scores"].update(row["grades"])
    return "", num_unclear
