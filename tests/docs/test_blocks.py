"""Every block and word of the pages, run or not: it parses, and what it names is there."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.commands import fault_of, split_commands, split_console, split_words
from tests.docs.options import all_options, flags_of, options_of
from tests.docs.pages import COMMENT, FENCE, MARKS, PAGES, ROOT, Block, inline_code, read_blocks, read_words

LANGUAGES = {"bash", "console", "python", "json", "jsonl", "yaml", "text"}
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|source)[^>]* src(?:set)?=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.M)
OWN_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|sh|patch|yaml)")
PLACES = (ROOT, ROOT / "sama_plugin")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks_of(*languages: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on all blocks of some languages."""
    blocks = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.where)


def commands_of(block: Block) -> list[str]:
    is_console = block.language == "console"
    commands = (
        [command for command, _ in split_console(block.code)] if is_console else split_commands(block.code)
    )
    return [block.in_small(command) for command in commands]


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@each_page
def test_blocks_say_what_they_are(page: Path) -> None:
    blocks = read_blocks(page)
    assert [b.where for b in blocks if b.language not in LANGUAGES] == []
    text = [b for b in blocks if b.language == "text"]
    assert [b.where for b in text if re.search(r"^(\$ |sama |bash |python )", b.code, re.M)] == []


@each_page
def test_every_mark_is_understood_and_of_use(page: Path) -> None:
    for block in read_blocks(page):
        for comment in block.comments:
            assert any(form.fullmatch(comment) for form in MARKS), f"{block.where}: <!-- {comment} -->"
        lines = split_commands(block.code.replace("\n$ ", "\n").removeprefix("$ "))
        for start in block.commands_not_run:
            assert any(line.startswith(start) for line in lines), f"{block.where} has no `{start}`"
        for there, _ in block.replacements:
            assert there in block.code, f"{block.where} has no `{there}`"
    text = page.read_text(encoding="utf-8")
    marks = [" ".join(comment[1].split()) for comment in COMMENT.finditer(FENCE.sub("", text))]
    before_blocks = [comment for block in read_blocks(page) for comment in block.comments]
    stray = [m for m in marks if any(f.fullmatch(m) for f in MARKS) and m not in before_blocks]
    assert stray == [], f"{page} has marks that stand before no block"


@blocks_of("bash", "console")
def test_commands_parse(block: Block) -> None:
    faults = [
        f"`{command}`: {fault}"
        for command in commands_of(block)
        for words in split_words(command)
        if (fault := fault_of(words))
    ]
    assert faults == []


@blocks_of("python")
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    tree = ast.parse(block.code, block.where)
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sama_plugin"):
            names = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names if alias.name.startswith("sama_plugin")]
        for module, name in names:
            found = importlib.import_module(module or "")
            assert name is None or hasattr(found, name), f"{block.where}: {module} has no {name}"


@blocks_of("json", "jsonl", "yaml")
def test_data_is_well_formed(block: Block) -> None:
    if block.language == "yaml":
        assert yaml.safe_load(block.code) is not None
    elif block.language == "json":
        json.loads(block.code)
    else:
        assert all(isinstance(json.loads(line), dict) for line in block.code.splitlines())


@each_page
def test_options_in_the_words_exist(page: Path) -> None:
    wrong = []
    for line, code in inline_code(page):
        for words in _words_of(code):
            known = options_of(words[1:]) if words[0] == "sama" else all_options()
            if words[0] == "sama" or words[0].startswith("--"):
                wrong += [f"{page.name}:{line}: {flag}" for flag in flags_of(words) if flag not in known]
    assert wrong == []


def _words_of(code: str) -> Iterator[list[str]]:
    try:
        yield from split_words(code)
    except ValueError:  # a quote that does not end: no command
        return


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    missing = [
        f"{page.name}:{line}: {name}"
        for line, code in inline_code(page)
        for name in OWN_FILE.findall(code)
        if code == name and not any((place / name).exists() for place in PLACES)
    ]
    assert missing == []


@each_page
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    dead = []
    for found in LINK.finditer(read_words(page)):
        target, _, anchor = (found[1] or found[2]).partition("#")
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        is_there = file.exists()
        if is_there and anchor:
            is_there = anchor in {slug(heading) for heading in HEADING.findall(read_words(file))}
        if not is_there:
            dead.append(found[1] or found[2])
    assert dead == []
