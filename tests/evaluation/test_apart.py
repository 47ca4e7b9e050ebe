"""A measurement in a process of its own: its memory is its own, and its error is told in words."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sama_plugin.errors import SamaError
from sama_plugin.evaluation import scoring_cost
from sama_plugin.evaluation.apart import measure_apart, peak_resident_mb


def test_peak_is_of_the_process_and_not_of_the_one_that_started_it() -> None:
    held = np.ones(50_000_000)  # 400 MB
    own = "from sama_plugin.evaluation.apart import peak_resident_mb; print(peak_resident_mb())"
    made = subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True)
    assert peak_resident_mb() > held.nbytes / 1e6 > 2 * float(made.stdout)


def test_scoring_has_a_peak_of_its_own() -> None:
    made = measure_apart([scoring_cost.__name__, "--videos", "1"], "scoring")
    assert made is not None
    assert 20 < made["peak_mb"] < 250, "no torch, no model"


def test_what_goes_wrong_is_said_without_a_trace() -> None:
    command = ["sama_plugin.evaluation.index_cost", "json", "/nowhere", "--reads", "1"]
    with pytest.raises(SamaError, match=r"^reading failed: /nowhere/.*records\.json"):
        measure_apart(command, "reading")
