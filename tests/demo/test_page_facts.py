"""What the tab "This model" says of limits and numbers."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from sama_plugin.demo.limits import Limits
from sama_plugin.demo.page import RESULTS_FILE, build_page
from sama_plugin.evaluation.results import Results, write_results

pytest.importorskip("gradio", reason="gradio is not installed (pip install -e .[web])")


def texts_of(folder: Path, limits: Limits) -> str:
    """All markup of the page."""
    page = build_page(folder, limits)
    return "\n".join(str(block.value) for block in page.blocks.values() if getattr(block, "value", None))


def test_limits_are_listed_in_words(tmp_path: Path) -> None:
    limits = Limits(frames=12345)
    texts = texts_of(tmp_path, limits)
    assert "12,345" in texts
    assert all(escape(meaning) in texts for meaning in Limits.meanings().values())


def test_numbers_of_the_checkpoint_are_shown_and_escaped(tmp_path: Path) -> None:
    metrics = {"J&F": 0.669, "colour/J&F": 0.5, "CIDEr": None}
    write_results(
        tmp_path / RESULTS_FILE, Results("<b>shapes", metrics, {"J&F": 60}, {}, {"version": "0.1.0"})
    )
    texts = texts_of(tmp_path, Limits())
    assert "&lt;b&gt;shapes, by version 0.1.0" in texts
    assert "J&amp;F</td><td" in texts
    assert "0.669" in texts
    assert "colour/" not in texts


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No numbers are kept"), ("{", "is not a readable results file")]
)
def test_missing_or_broken_numbers_are_said(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / RESULTS_FILE).write_text(content)
    assert words in texts_of(tmp_path, Limits())
