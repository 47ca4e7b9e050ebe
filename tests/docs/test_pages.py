"""Every page, followed from top to bottom: commands and snippets do what the page says they do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.page_run import PageRun, shows
from tests.docs.pages import PAGES, ROOT, Block, read_blocks

RUNNABLE = {"python", "bash", "console"}


@pytest.mark.usefixtures("one_load")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.language in RUNNABLE and b.is_run for b in read_blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_does_what_it_says(page: Path, material: Path, tmp_path: Path) -> None:
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    run = PageRun(tmp_path)
    for block in read_blocks(page):
        if block.is_run:
            run.run(block)


def test_a_page_never_installs_over_the_environment(tmp_path: Path) -> None:
    run = PageRun(tmp_path)
    (tmp_path / "bin" / "pip").write_text("#!/bin/sh\ntouch installed\n")
    (tmp_path / "bin" / "pip").chmod(0o755)
    run.run(Block(ROOT / "README.md", 1, "bash", "pip install -e .[web]\ntouch ran\n"))
    assert (tmp_path / "ran").exists()
    assert not (tmp_path / "installed").exists()


@pytest.mark.parametrize(
    ("shown", "expected", "is_alike"),
    [
        ("one\ntwo\n", "one\ntwo", True),
        ("one 0.3 s\n", "one ... s", True),
        ("a\nb\nc\n", "a\n...\nc", True),
        ("50%\r100%\rdone\n", "done", True),
        ("one\ntwo\n", "one", False),
        ("one", "two", False),
    ],
)
def test_what_is_shown_is_compared(shown: str, expected: str, is_alike: bool) -> None:
    assert shows(shown, expected) is is_alike
