"""Ref-YouTube-VOS: expressions of single objects; its server scores (`sama eval submit`).

Published layout: `meta_expressions/valid/meta_expressions.json`, `valid/JPEGImages/`.
"""

from __future__ import annotations

from pathlib import Path

from sama_plugin.evaluation.benchmarks.expressions import ExpressionBenchmark


class RefYoutubeVosBenchmark(ExpressionBenchmark):
    """Predictions for the server of Ref-YouTube-VOS.

    Args:
        data: folder with `meta_expressions` and `valid`.
    """

    name = "ref-youtube-vos"
    zip_root = "Annotations/"

    def __init__(self, data: Path) -> None:
        meta = data / "meta_expressions" / "valid" / "meta_expressions.json"
        super().__init__(meta, None, data / "valid" / "JPEGImages")
