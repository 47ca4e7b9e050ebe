"""SAMA-Bench-C: describe one object of a video; answers are text."""

from __future__ import annotations

from sama_plugin.evaluation.benchmarks.sama_bench_g import SamaBenchG


class SamaBenchC(SamaBenchG):
    """One question per described object, always in the same words; captions."""

    name = "sama-bench-c"
    part = "description"
