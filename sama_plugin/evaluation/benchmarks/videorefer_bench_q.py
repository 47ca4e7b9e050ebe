"""VideoRefer-Bench-Q: questions about objects with four options; accuracy, also by type of question.

Published file: `VideoRefer-Bench-Q.json`, whose entries also have `Question`, `options`, `Answer` and `type`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sama_plugin.constants import DATA_REGION
from sama_plugin.evaluation.benchmark import Scored, Summary
from sama_plugin.evaluation.benchmarks.grounded_answers import answer_row
from sama_plugin.evaluation.benchmarks.videorefer import REGION, VideoReferBenchmark
from sama_plugin.evaluation.metrics.text_match import normalise
from sama_plugin.evaluation.predictions import Prediction
from sama_plugin.schema import Turn

CHOOSE = "Answer with the option's letter from the given choices directly."
BRACKETED = re.compile(r"\(([A-Z])\)")
HALF_BRACKETED = re.compile(r"([A-Z])\)")
MARKED = re.compile(r"\W*([A-Z])[.:)]")
ALONE = re.compile(r"\W*([A-Za-z])\W*$")


class VideoReferBenchQ(VideoReferBenchmark):
    """A question per entry; answers are letters."""

    name = "videorefer-bench-q"
    file = "VideoRefer-Bench-Q.json"
    fields = ("Question", "options", "Answer", "type")

    def turn(self, entry: Mapping[str, Any], region_ids: tuple[str, ...]) -> Turn:
        """The question with its options, in the published words."""
        question = entry["Question"].replace(REGION, DATA_REGION)
        return Turn(f"{question} {' '.join(entry['options'])}. {CHOOSE}", entry["Answer"], region_ids)

    def num_regions(self, entry: Mapping[str, Any]) -> int:
        """Marks in the question."""
        return int(entry["Question"].count(REGION))

    def score(self, dialogue_id: str, predictions: Sequence[Prediction]) -> Scored:
        """Whether the option is the right one."""
        entry, (prediction,) = self.entries[dialogue_id], predictions
        turn = Turn(entry["Question"], entry["Answer"])
        row = answer_row(turn, prediction)
        right = chosen_option(entry["Answer"], ())
        row["scores"]["accuracy"] = float(chosen_option(prediction.text, entry["options"]) == right)
        row["official"] = {"accuracy": float(official_option(prediction.text) == right)}
        row["type"] = entry["type"]
        return Scored(entry["video"], [row])

    def summarise(self, dialogues: Sequence[Scored]) -> Summary:
        """Accuracy over all questions, and over those of a type."""
        rows = [row for dialogue in dialogues for row in dialogue.questions]
        metrics: dict[str, float | None] = {
            "accuracy": float(np.mean([row["scores"]["accuracy"] for row in rows])),
            "official/accuracy": float(np.mean([row["official"]["accuracy"] for row in rows])),
        }
        counts = {**dict.fromkeys(metrics, len(rows)), **self.left_out}
        for kind in sorted({row["type"] for row in rows}):
            own = [row["scores"]["accuracy"] for row in rows if row["type"] == kind]
            metrics[f"accuracy/{kind}"], counts[f"accuracy/{kind}"] = float(np.mean(own)), len(own)
        return Summary(metrics, counts)


def chosen_option(answer: str, options: Sequence[str]) -> str | None:
    """The letter that an answer gives: marked as one, or that of the option whose words it has, or standing alone.

    Args:
        answer: without special tokens.
        options: such as `(A) red`.

    Returns:
        Upper case; None where there is none.
    """
    found = BRACKETED.search(answer) or MARKED.match(answer)
    if found is not None:
        return found[1]
    for option in options:
        letter = BRACKETED.search(option)
        if letter is not None and normalise(answer) == normalise(option[letter.end() :]):
            return letter[1]
    alone = ALONE.match(answer)
    return None if alone is None else alone[1].upper()


def official_option(answer: str) -> str | None:
    """The letter as the published script finds it; there an empty answer ends the script.

    Args:
        answer: without special tokens.

    Source: VideoRefer `eval_videorefer_bench_q`. Differs: an empty answer is wrong.
    """
    found = BRACKETED.search(answer) or HALF_BRACKETED.search(answer)
    return found[1] if found is not None else answer.replace(".", "")[:1].upper() or None
