"""The pages people read, taken apart: fenced blocks, what is marked before them, and the words between them.

What a test should know of a block stands before it in comments that no reader sees:

    <!-- not run: it needs the 7B weights -->                 the whole block is checked, but not run
    <!-- not run, `sama train`, `sama bench`: hours -->       only its commands that begin like this
    <!-- run with `--videos 1` for `--videos 60` -->          run in small; any number of pairs, joined by commas
    <!-- exits 2 -->                                          every command of the block ends with this code
    <!-- file: own.json -->                                   the block is also a file, for the commands after it
    <!-- printed -->                                          the block is what the Python before it prints
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "sama_plugin" / "checkpoints" / "llava-sama-qwen-tiny" / "README.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "patches" / "README.md", CARD]

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$", re.M | re.S)
COMMENT = re.compile(r"<!--(.*?)-->", re.S)
NOT_RUN = re.compile(r"not run(?P<commands>(?:, `[^`]+`)*): (?P<reason>.+)", re.S)
RUN_WITH = re.compile(r"run with (?P<pairs>`[^`]+` for `[^`]+`(?:, `[^`]+` for `[^`]+`)*)", re.S)
EXITS = re.compile(r"exits (?P<code>\d+)")
FILE = re.compile(r"file: (?P<name>\S+)")
PRINTED = re.compile(r"printed")
MARKS = (NOT_RUN, RUN_WITH, EXITS, FILE, PRINTED)


@dataclass
class Block:
    """A fenced block of a page.

    Attributes:
        page: where it stands.
        line: of its first code, from 1.
        language: as the fence says.
        code: without the fence's indentation.
        comments: those right before it, without their arrows.
    """

    page: Path
    line: int
    language: str
    code: str
    comments: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return not any(not mark["commands"] for mark in self._marks(NOT_RUN))

    @property
    def commands_not_run(self) -> list[str]:
        """Beginnings of those commands."""
        return [start for mark in self._marks(NOT_RUN) for start in re.findall("`([^`]+)`", mark["commands"])]

    @property
    def replacements(self) -> list[tuple[str, str]]:
        """Texts of the page, and what is run in their place."""
        pairs = [re.findall("`([^`]+)` for `([^`]+)`", mark["pairs"]) for mark in self._marks(RUN_WITH)]
        return [(there, small) for found in pairs for small, there in found]

    @property
    def exit_code(self) -> int:
        return int(next((mark["code"] for mark in self._marks(EXITS)), 0))

    @property
    def file_name(self) -> str | None:
        return next((mark["name"] for mark in self._marks(FILE)), None)

    @property
    def is_printed(self) -> bool:
        return any(self._marks(PRINTED))

    def in_small(self, text: str) -> str:
        """A part of the code as it is run."""
        for there, small in self.replacements:
            text = text.replace(there, small)
        return text

    def _marks(self, form: re.Pattern[str]) -> Iterator[re.Match[str]]:
        return (mark for comment in self.comments if (mark := form.fullmatch(comment)))


def read_blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for fence in FENCE.finditer(text):
        first = text.count("\n", 0, fence.start("code")) + 1
        code = textwrap.dedent(fence["code"])
        blocks.append(
            Block(page, first, fence["language"].strip(), code, _comments_before(text, fence.start()))
        )
    return blocks


def _comments_before(text: str, place: int) -> list[str]:
    """Comments that stand right before a place, nothing else between."""
    comments: list[str] = []
    rest = text[:place].rstrip()
    while rest.endswith("-->"):
        start = rest.rindex("<!--")
        comments.insert(0, " ".join(rest[start + 4 : -3].split()))
        rest = rest[:start].rstrip()
    return comments


def read_words(page: Path) -> str:
    """A page without its fenced blocks and comments, line by line where they were."""
    text = page.read_text(encoding="utf-8")
    for form in (FENCE, COMMENT):
        text = form.sub(lambda found: "\n" * found[0].count("\n"), text)
    return text


def inline_code(page: Path) -> list[tuple[int, str]]:
    """(line, text) of every `code` within the words."""
    words = read_words(page)
    return [
        (words.count("\n", 0, span.start()) + 1, " ".join(span[2].split()))
        for span in re.finditer(r"(`+)(.+?)\1", words, re.S)
    ]
