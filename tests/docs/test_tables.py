"""Tables of the docs that repeat what the code says."""

from __future__ import annotations

import re

from sama_plugin.demo.limits import Limits
from tests.docs.pages import ROOT

SHORTCUT = re.compile(r'^  \["(.+?)", "(.+?)"\],$', re.M)
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def rows_below(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table after a heading, without its head."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", text, re.M)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|\n ").split("|")] for row in rows[0].splitlines()[2:]]


def test_limits_are_the_servers() -> None:
    values, meanings = Limits().as_dict(), Limits.meanings()
    wanted = [
        [f"`--max-{name.replace('_', '-')}`", f"{values[name]:,.0f}", meaning]
        for name, meaning in meanings.items()
    ]
    assert rows_below("deployment.md", "Limits") == wanted


def test_keys_are_the_pages() -> None:
    script = (ROOT / "sama_plugin" / "demo" / "static" / "keyboard.js").read_text(encoding="utf-8")
    assert rows_below("page.md", "Keys") == [list(found) for found in SHORTCUT.findall(script)]


def test_numbers_of_performance_are_the_readmes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Numbers\n", 1)[1].split("\n## ", 1)[0]
    there = set(NUMBER.findall(readme))
    told = {
        number for _, cell, _ in rows_below("performance.md", "Numbers") for number in NUMBER.findall(cell)
    }
    assert told
    assert told <= there
