"""The notebook runs on the shipped checkpoint, and says what it says in the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbformat: pip install -e .[dev]")
nbclient = pytest.importorskip("nbclient", reason="the notebook needs nbclient: pip install -e .[dev]")
pytest.importorskip("ipykernel", reason="the notebook needs ipykernel: pip install -e .[dev]")

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebook.ipynb"
MOST_BYTES = 250_000


def said(notebook: Any) -> list[str]:
    """Questions with their answers, as printed."""
    texts = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    return [line for text in texts for line in text.splitlines() if " -> " in line]


def kinds(notebook: Any) -> set[str]:
    """Media types of what is shown."""
    return {kind for cell in notebook.cells for o in cell.get("outputs", []) for kind in o.get("data", {})}


def test_notebook_runs_and_answers_as_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stored = nbformat.read(NOTEBOOK, 4)
    fresh = nbformat.read(NOTEBOOK, 4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    before = said(stored)
    nbclient.NotebookClient(
        fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert said(fresh) == before
    assert len(before) == 6
    assert {"image/jpeg", "text/html"} <= kinds(fresh), "pictures and the overlay video are shown"


def test_stored_notebook_is_small_and_whole() -> None:
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    stored = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(stored)
    assert [o for cell in stored.cells for o in cell.get("outputs", []) if o.output_type == "error"] == []
