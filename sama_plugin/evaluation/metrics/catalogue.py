"""Every metric by name: what it says, which way is better, what it needs here, and the function of each variant.

Benchmarks put a subset before a name or an `official` for the variant (`official/mIoU`); `metric_of` knows that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sama_plugin.errors import DataError, HostError
from sama_plugin.evaluation.metrics.caption_scores import (
    BLEU,
    CIDER,
    METEOR,
    NO_SPICE,
    ROUGE,
    SPICE,
    check_captions,
)
from sama_plugin.evaluation.metrics.clair import CLAIR
from sama_plugin.evaluation.metrics.java_process import find_java
from sama_plugin.evaluation.metrics.object_matching import check_scipy
from sama_plugin.evaluation.metrics.sama_bench_scores import CORRECTED, OFFICIAL

ROOM = "sama_plugin.evaluation.metrics"


def _refuse_spice() -> None:
    raise HostError(NO_SPICE)


NEEDS: dict[str, Callable[[], object] | None] = {
    "scipy": check_scipy,
    "pycocoevalcap": check_captions,
    "Java": find_java,
    "CoreNLP models": _refuse_spice,
    "judge": None,
    "phrase similarity": None,
}
"""What a metric may need → how to see whether it is here; None for what the caller names."""


@dataclass(frozen=True)
class Metric:
    """What is to be known about a number.

    Attributes:
        what: it says, in one line.
        functions: variant → `module:function` below `ROOM`; its docstring has shapes, rules and source.
        needs: keys of `NEEDS`; nothing more than numpy if empty.
        highest: the best possible value, or the worst where lower is better; the other end is 0.
        is_higher_better: whether more is better.
    """

    what: str
    functions: Mapping[str, str]
    needs: tuple[str, ...] = ()
    highest: float = 1.0
    is_higher_better: bool = True

    def load(self, variant: str = CORRECTED) -> Callable[..., Any]:
        """Fetch the function of a variant.

        Raises:
            DataError: the metric has no such variant.
        """
        if variant not in self.functions:
            raise DataError(
                f"There is no variant '{variant}' of it, expected one of {', '.join(self.functions)}."
            )
        module, name = self.functions[variant].split(":")
        function: Callable[..., Any] = getattr(import_module(f"{ROOM}.{module}"), name)
        return function

    def why_absent(self) -> str | None:
        """Why it cannot be computed here, with what to install; None if it can, or if that is the caller's to give."""
        for need in self.needs:
            check = NEEDS[need]
            try:
                if check is not None:
                    check()
            except HostError as error:
                return str(error)
        return None


def _both(module: str, corrected: str, official: str) -> dict[str, str]:
    return {CORRECTED: f"{module}:{corrected}", OFFICIAL: f"{module}:{official}"}


def _captions(what: str, *needs: str, highest: float = 1.0) -> Metric:
    """One function scores captions in both variants, which it takes as an argument."""
    functions = _both("caption_scores", "score_captions", "score_captions")
    return Metric(what, functions, ("pycocoevalcap", *needs), highest)


METRICS: dict[str, Metric] = {
    "J": Metric("overlap of masks, frame by frame", {CORRECTED: "region_similarity:region_similarity"}),
    "F": Metric("agreement of outlines, frame by frame", {CORRECTED: "contour_accuracy:contour_accuracy"}),
    "J&F": Metric(
        "mean of J and F over matched objects", {CORRECTED: "object_matching:score_objects"}, ("scipy",)
    ),
    "mIoU": Metric(
        "overlap of mask volumes over matched objects",
        _both("volume_overlap", "mean_iou", "official_mean_iou"),
        ("scipy",),
    ),
    "recall": Metric(
        "share of true objects that are found and called alike",
        _both("volume_overlap", "count_found", "official_count_found"),
        ("scipy", "phrase similarity"),
    ),
    "precision": Metric(
        "share of given objects that are right and called alike",
        {CORRECTED: "volume_overlap:count_found"},
        ("scipy", "phrase similarity"),
    ),
    **{name: _captions(f"shared runs of up to {name[-1]} words") for name in BLEU},
    METEOR: _captions("aligned words, stems, synonyms and paraphrases", "Java"),
    ROUGE: _captions("longest common subsequence of words"),
    CIDER: _captions("shared runs of words, rare ones counting more", highest=10.0),
    SPICE: _captions("shared facts of scene graphs", "Java", "CoreNLP models"),
    CLAIR: Metric(
        "how likely a language model finds that both say the same",
        _both("clair", "score_clair", "score_clair"),
        ("judge",),
    ),
    "temporal_iou": Metric(
        "overlap of a said span with the true one", {CORRECTED: "temporal_iou:temporal_iou"}
    ),
    "visibility_iou": Metric(
        "frames where an object shows, of those where either shows it",
        {CORRECTED: "temporal_iou:visibility_iou"},
    ),
    "span_error": Metric(
        "distance of a said span from the true one, as a share of the clip",
        {CORRECTED: "text_match:span_error"},
        is_higher_better=False,
    ),
    "referring_accuracy": Metric(
        "answers about a region that say exactly what is true", {CORRECTED: "text_match:answer_matches"}
    ),
    "A": Metric(
        "pixels on which masks agree (ReVOS)",
        _both("revos_scores", "pixel_accuracy", "official_pixel_accuracy"),
    ),
    "R": Metric(
        "how little is marked by mistake (ReVOS)", _both("revos_scores", "robustness", "official_robustness")
    ),
    "cIoU": Metric(
        "all intersections over all unions (images)",
        _both("referring_image", "cumulative_iou", "official_cumulative_iou"),
    ),
    "gIoU": Metric(
        "mean overlap over sentences (images)",
        _both("referring_image", "generalised_iou", "official_generalised_iou"),
    ),
}


def metric_of(name: str) -> Metric | None:
    """The metric of a name in a results file, whatever subset or variant stands before it.

    Args:
        name: such as `mIoU`, `official/mIoU` or `multi_turn/J`.

    Returns:
        None where the number is a benchmark's own.
    """
    return METRICS.get(name) or METRICS.get(name.rpartition("/")[2]) or METRICS.get(name.partition("/")[0])


def format_metrics() -> str:
    """A table of all metrics for reading: name, variants, better end, what it says, and why it is absent here."""
    rows = [("metric", "variants", "best", "what it says")]
    for name, metric in METRICS.items():
        best = f"{metric.highest:g}" if metric.is_higher_better else "0"
        rows.append((name, ", ".join(metric.functions), best, metric.what))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = []
    for row in rows:
        lines.append("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]]))
        absent = METRICS[row[0]].why_absent() if row[0] in METRICS else None
        if absent is not None:
            lines.append(f"{'':{widths[0]}}  absent here: {absent}")
    return "\n".join(lines)
