"""Two runs of one benchmark beside each other: how large the difference is, how sure, and where it comes from.

The difference of a metric is resampled over videos (bootstrap, seeded), since questions about one video go well or
badly together. Metrics are means over questions, or over videos where the benchmark has them so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sama_plugin.errors import DataError
from sama_plugin.evaluation.metrics.catalogue import metric_of
from sama_plugin.evaluation.results import Results, read_results
from sama_plugin.evaluation.scoring import RESULTS_FILE, read_scores

CONFIDENCE = 0.95
DRAWS = 10_000
BLOCK = 500
"""Draws at a time: memory does not grow with their number."""


HEADLINES = ("J&F", "mIoU", "gIoU", "accuracy")
"""Metrics by which runs are told apart unless another one is asked for; the first that there is."""

ERRORS = ("false_none_rate",)
"""Numbers of benchmarks' own that are the better the lower."""


class Run(NamedTuple):
    """A scored run.

    Attributes:
        folder: of its files.
        results: its numbers.
        dialogues: dialogue id → what was scored.
    """

    folder: Path
    results: Results
    dialogues: dict[str, dict[str, Any]]


class MetricDifference(NamedTuple):
    """One metric of two runs on the same videos.

    Attributes:
        name: of the metric.
        first: its value in the first run.
        second: in the second.
        low: lower end of the interval of second - first.
        high: its upper end.
        num_videos: that have the metric.
    """

    name: str
    first: float
    second: float
    low: float
    high: float
    num_videos: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


class VideoDifference(NamedTuple):
    """One metric of two runs on one video.

    Attributes:
        video: its name.
        first: value in the first run.
        second: in the second.
        gain: of the second over the first; positive is better.
    """

    video: str
    first: float
    second: float
    gain: float


class Case(NamedTuple):
    """One question of both runs; `gain` as in `VideoDifference`."""

    dialogue_id: str
    question_id: str
    first: float
    second: float
    gain: float


def open_run(folder: Path) -> Run:
    """Read what `sama eval score` left in a folder.

    Raises:
        DataError: results or scores are missing or broken, or are of two different runs.
    """
    return Run(folder, read_results(folder / RESULTS_FILE), read_scores(folder))


def notes_of_one(first: Run, second: Run) -> list[str]:
    """What is to be known of one of two runs only, such as another way to cut captions into words."""
    return [
        f"{own.folder}: {note}"
        for own, other in ((first, second), (second, first))
        for note in own.results.notes
        if note not in other.results.notes
    ]


def check_comparable(first: Run, second: Run) -> None:
    """See that two runs are of the same questions.

    Raises:
        DataError: two benchmarks, other data, or other dialogues.
    """
    for name, one, other in (
        ("benchmark", first.results.benchmark, second.results.benchmark),
        ("data", first.results.data, second.results.data),
        ("dialogues", sorted(first.dialogues), sorted(second.dialogues)),
    ):
        if one != other:
            raise DataError(
                f"{first.folder} and {second.folder} differ in {name} ({str(one)[:40]} and {str(other)[:40]}); only "
                "runs of the same questions can be compared."
            )


def compare_metrics(first: Run, second: Run, *, draws: int = DRAWS, seed: int = 0) -> list[MetricDifference]:
    """Difference of each metric, with its interval of 95 % from resampled videos.

    Args:
        first: a run.
        second: another of the same questions.
        draws: of the bootstrap.
        seed: of the draws; the same seed gives the same intervals.

    Raises:
        DataError: the runs are not of the same questions.
    """
    check_comparable(first, second)
    sums = [sum_by_video(run.dialogues) for run in (first, second)]
    rows = []
    for name in sums[0]:
        videos = [video for video in sums[0][name] if video in sums[1].get(name, {})]
        if not videos:
            continue
        pairs = np.array(
            [[own[name][video] for video in videos] for own in sums]
        )  # (2, videos, sum and count)
        means = pairs[..., 0].sum(1) / pairs[..., 1].sum(1)
        low, high = _interval(pairs, draws, seed)
        rows.append(MetricDifference(name, float(means[0]), float(means[1]), low, high, len(videos)))
    return rows


def compare_videos(first: Run, second: Run, metric: str) -> list[VideoDifference]:
    """A metric of each video in both runs, those where the second gains least first.

    Raises:
        DataError: the runs are not of the same questions, or no video has this metric in both.
    """
    check_comparable(first, second)
    one, other = (sum_by_video(run.dialogues) for run in (first, second))
    if metric not in one or metric not in other:
        raise DataError(
            f"There is no metric '{metric}' by video; there are: {', '.join(sorted(one.keys() & other))}."
        )
    rows = []
    for video in one[metric]:
        if video in other[metric]:
            before, after = (total / count for total, count in (one[metric][video], other[metric][video]))
            rows.append(VideoDifference(video, before, after, _gain(metric, before, after)))
    return sorted(rows, key=lambda row: (row.gain, row.video))


def worst_cases(first: Run, second: Run, metric: str, count: int) -> list[Case]:
    """Questions where the second run loses most against the first; by dialogue id where they lose alike."""
    check_comparable(first, second)
    theirs = _question_scores(second.dialogues, metric)
    cases = [
        Case(*key, value, theirs[key], _gain(metric, value, theirs[key]))
        for key, value in _question_scores(first.dialogues, metric).items()
        if key in theirs
    ]
    return sorted(cases, key=lambda case: (case.gain, case[:2]))[:count]


def headline(rows: Sequence[MetricDifference]) -> str:
    """The metric that tells most.

    Raises:
        DataError: there is none.
    """
    names = [row.name for row in rows]
    if not names:
        raise DataError("The runs have no metric in common.")
    return next((name for name in HEADLINES if name in names), names[0])


def sum_by_video(dialogues: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, tuple[float, int]]]:
    """Metric → video → sum of its values and how many there are.

    Args:
        dialogues: from `read_scores`; a metric that stands for whole videos is not taken from their questions.
    """
    sums: dict[str, dict[str, tuple[float, int]]] = defaultdict(dict)
    by_video: set[str] = {name for dialogue in dialogues.values() for name in dialogue.get("scores", ())}
    for dialogue in dialogues.values():
        rows = [{k: v for k, v in q["scores"].items() if k not in by_video} for q in dialogue["questions"]]
        for row in (dialogue.get("scores", {}), *rows):
            for name, value in row.items():
                total, count = sums[name].get(dialogue["video"], (0.0, 0))
                sums[name][dialogue["video"]] = (total + value, count + 1)
    return dict(sums)


def _gain(metric: str, first: float, second: float) -> float:
    known = metric_of(metric)
    is_error = metric in ERRORS or (known is not None and not known.is_higher_better)
    return first - second if is_error else second - first


def _question_scores(dialogues: Mapping[str, Mapping[str, Any]], metric: str) -> dict[tuple[str, str], float]:
    return {
        (dialogue_id, question["question_id"]): question["scores"][metric]
        for dialogue_id, dialogue in dialogues.items()
        for question in dialogue["questions"]
        if metric in question["scores"]
    }


def _interval(pairs: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """Ends of the interval of second - first; pairs (2, videos, sum and count)."""
    generator = np.random.default_rng(seed)
    num_videos = pairs.shape[1]
    made = []
    for start in range(0, draws, BLOCK):
        size = min(BLOCK, draws - start)
        drawn = pairs[:, generator.integers(num_videos, size=(size, num_videos))].sum(axis=2)  # (2, size, 2)
        means = drawn[..., 0] / drawn[..., 1]
        made.append(means[1] - means[0])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(made), [tail, 1 - tail])
    return float(low), float(high)


def format_comparison(first: Run, second: Run, rows: Sequence[MetricDifference]) -> str:
    """A line per metric."""
    names = [run.folder.name or str(run.folder) for run in (first, second)]
    lines = [
        f"{'metric':<24}{names[0]:>14.13}{names[1]:>14.13}{'difference':>12}{'95 % interval':>20}{'videos':>8}"
    ]
    lines.append("-" * len(lines[0]))
    for row in rows:
        interval = f"{row.low:+.3f} .. {row.high:+.3f}"
        mark = " *" if row.is_clear else "  "
        lines.append(
            f"{row.name:<24}{row.first:>14.3f}{row.second:>14.3f}{row.second - row.first:>+12.3f}"
            f"{interval + mark:>20}{row.num_videos:>8}"
        )
    return "\n".join([*lines, "* the interval of the difference leaves out 0; resampled over videos"])


def format_videos(rows: Sequence[VideoDifference], metric: str, shown: int) -> str:
    """The videos where the second run loses and gains most."""
    half = max(shown // 2, 1)
    chosen = list(rows) if len(rows) <= shown else [*rows[:half], *rows[-half:]]
    lines = [f"{metric} by video, of {len(rows)}, where the second loses and gains most:"]
    lines += [f"{row.gain:+.3f}  {row.first:.3f} → {row.second:.3f}  {row.video}" for row in chosen]
    return "\n".join(lines)
