"""What the site needs beyond docs/: files of the repository that pages link to, and the API from docstrings."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent
PAGES, COPIES = "docs/", "repository/"
"""Folder of the pages in the repository, and of all else in the site."""

LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
REFERENCE = re.compile(r"^<!-- (::: [\w.]+) -->$", re.M)


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to outside of docs/, and what is linked from there."""
    waiting = [PAGES + page.src_uri for page in files.documentation_pages()]
    taken: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in taken or not (ROOT / path).is_file():
            continue
        taken.add(path)
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            waiting += [_target(path, link) for link in LINK.findall(text)]
        if not path.startswith(PAGES):
            copy = File.generated(
                config,
                _place(path),
                abs_src_path=str(ROOT / path),
                inclusion=InclusionLevel.NOT_IN_NAV,
            )
            copy.repository_path = path
            files.append(copy)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where files are in the site, and let docstrings in where a page asks for them."""
    path = getattr(page.file, "repository_path", PAGES + page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def lead(link: re.Match[str]) -> str:
        target = _target(path, link[1])
        return posixpath.relpath(_place(target), here or ".") if (ROOT / target).is_file() else link[1]

    return REFERENCE.sub(r"\1", LINK.sub(lead, markdown))


def _target(path: str, link: str) -> str:
    """The file of the repository that a link in another one means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _place(path: str) -> str:
    """Where a file of the repository is in the site; mkdocs leaves out what begins with a dot."""
    is_page = path.startswith(PAGES)
    return path.removeprefix(PAGES) if is_page else COPIES + path.replace("/.", "/").removeprefix(".")
