from __future__ import annotations

from pathlib import Path

import pytest

from sama_plugin.errors import SamaError
from sama_plugin.training.step_cost import StepCost, compare, format_costs


@pytest.mark.slow
def test_both_sides_are_measured_on_the_same_clips(tiny_checkpoint: Path) -> None:
    costs = compare(tiny_checkpoint, batch=2, steps=2, rounds=1)
    ours, host = costs["sama"], costs["host"]
    assert ours.step_s > 0
    assert host.step_s > 0
    assert 0 <= ours.wait_share < 1
    assert host.tokens - ours.tokens > 20 * 64  # 32 frames of 64 tokens against 5 and a few of context
    assert min(ours.peak_mb, host.peak_mb) > 100


def test_side_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SamaError, match=r"side 'sama' failed: Checkpoint folder .* does not exist"):
        compare(tmp_path / "none", batch=1, steps=1, rounds=1)


def test_table_has_both_sides_and_their_ratio() -> None:
    table = format_costs({"sama": StepCost(1.0, 0.1, 500.0, 600), "host": StepCost(4.0, 0.0, 1000.0, 2400)})
    lines = [line.split() for line in table.splitlines()]
    assert lines[1][-3:] == ["1.00", "4.00", "0.25"]
    assert lines[2][-3:] == ["500", "1000", "0.50"]
    assert lines[4][-1] == "-"
