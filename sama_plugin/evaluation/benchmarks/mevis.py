"""MeViS: expressions about motion. `valid_u` is scored here, `valid` by the server (`sama eval submit`).

Published layout, of a split: `meta_expressions.json`, `JPEGImages/`, and for `valid_u` `mask_dict.json`.
"""

from __future__ import annotations

from pathlib import Path

from sama_plugin.evaluation.benchmarks.expressions import ExpressionBenchmark

SCORED = "valid_u"


class MevisBenchmark(ExpressionBenchmark):
    """J and F of MeViS.

    Args:
        data: folder with the splits.
        split: `valid_u` or `valid`.
    """

    name = "mevis"
    zip_root = ""

    def __init__(self, data: Path, split: str = SCORED) -> None:
        folder = data / split
        masks = folder / "mask_dict.json" if split == SCORED else None
        super().__init__(folder / "meta_expressions.json", masks, folder / "JPEGImages")
