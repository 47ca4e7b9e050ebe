"""What the site needs beyond docs/: files of the repository that pages link to, and the API from docstrings."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent
OUTSIDE = re.compile(r"(?<=\]\()\.\./([^)#\s]+)")
REFERENCE = re.compile(r"^<!-- (::: [\w.]+) -->$", re.M)
PLACE = "repository"


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to above docs/, and what is linked from there."""
    waiting = [
        (name, "") for page in files.documentation_pages() for name in OUTSIDE.findall(page.content_string)
    ]
    taken: set[str] = set()
    while waiting:
        name, base = waiting.pop()
        path = str(PurePosixPath(base) / name)
        if path in taken or not (ROOT / path).is_file():
            continue
        taken.add(path)
        place = f"{PLACE}/{_shown(path)}"
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            links = re.findall(r"\]\(((?!https?:|#)[^)#\s]+)", text)
            waiting += [(link, str(PurePosixPath(path).parent)) for link in links]
            text = re.sub(r"\]\(\.github/", "](github/", text)
            files.append(File.generated(config, place, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links above docs/ to their copies, and let docstrings in where a page asks for them."""
    led = OUTSIDE.sub(lambda found: f"{PLACE}/{_shown(found[1])}", markdown)
    return REFERENCE.sub(r"\1", led)


def _shown(path: str) -> str:
    """A path in the site: mkdocs leaves out what begins with a dot."""
    return path.replace(".github/", "github/")
