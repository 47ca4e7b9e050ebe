"""docs/ as a site: it builds without a warning, every page is in its navigation, and it asks nobody for anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sama_plugin
from tests.docs.pages import ROOT, read_words

SETTINGS = ROOT / ".mkdocs.yml"
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
)
LOADED_BY_STYLE = re.compile(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]+)")
REFERENCE = re.compile(r"<!-- ::: ([\w.]+) -->")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as can be: a warning is an error."""
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install -e .[dev])")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed (pip install -e .[dev])")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    settings = load_config(str(SETTINGS), site_dir=str(folder), strict=True)
    settings.plugins.run_event("startup", command="build", dirty=False)
    build(settings)
    return folder


def test_every_page_is_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text(encoding="utf-8")
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert {page for page in pages if f'href="{page}.html"' not in start} == set()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    foreign = {
        (str(path.relative_to(site)), found)
        for path in site.rglob("*")
        if path.suffix in (".html", ".css")
        for form in (LOADED, LOADED_BY_STYLE)
        for found in form.findall(path.read_text(encoding="utf-8"))
    }
    assert foreign == set()


def test_api_has_every_public_name_with_its_docstring(site: Path) -> None:
    asked = REFERENCE.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    shown = (site / "api.html").read_text(encoding="utf-8")
    assert [name for name in asked if f'id="{name}"' not in shown] == []
    public = set(sama_plugin.__all__) - {"__version__"}
    assert {name for name in public if not any(path.endswith(f".{name}") for path in asked)} == set()


def test_public_names_are_told_in_the_repository_too() -> None:
    words = read_words(ROOT / "docs" / "api.md")
    assert [name for name in sama_plugin.__all__ if name != "__version__" and name not in words] == []
