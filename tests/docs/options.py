"""Which options there are: of every verb of `sama`, of training, of the scripts; and the extras of setup.py."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator

from sama_plugin.cli import eval as eval_verb
from sama_plugin.cli import main
from tests.docs.pages import ROOT

STAGE_OPTIONS = {"--start", "--data", "--root", "--out", "--plan", "--help"}
SCRIPT_OPTION = re.compile(r"--[a-z][a-z0-9_-]*[a-z0-9]")


def flags_of(words: Iterable[str]) -> list[str]:
    """Long options among words, without their values."""
    return [word.partition("=")[0] for word in words if word.startswith("--") and len(word) > 2]


@functools.cache
def setup_extras() -> frozenset[str]:
    """Extras that setup.py offers."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXTRAS":
            assert isinstance(node.value, ast.Dict)
            return frozenset(ast.literal_eval(key) for key in node.value.keys if key is not None)
    raise AssertionError("setup.py assigns no EXTRAS")


@functools.cache
def training_options() -> frozenset[str]:
    """Options that `sama train` reads or passes on to the trainer."""
    import sama_plugin
    from sama_plugin.host import compat
    from sama_plugin.training import plan, tiny

    compat.before_trainer()
    sama_plugin.register()
    with compat.quiet_host_import():
        from sama_plugin.host import train_seam
    parser = argparse.ArgumentParser(conflict_handler="resolve")
    plan.add_arguments(parser)
    tiny.add_options(parser)
    kinds = (train_seam.SamaModelArguments, train_seam.SamaDataArguments, train_seam.SamaTrainingArguments)
    fields = {f"--{field.name}" for kind in kinds for field in dataclasses.fields(kind)}
    return frozenset({*fields, *STAGE_OPTIONS, *_names(parser)})


@functools.cache
def all_options() -> frozenset[str]:
    """Every long option that some `--help`, the trainer or a script knows."""
    known = set(training_options())
    for parser in parsers(main.build_parser()):
        known |= _names(parser)
    for script in (ROOT / "scripts").glob("*.sh"):
        known |= set(SCRIPT_OPTION.findall(script.read_text(encoding="utf-8")))
    return frozenset(known)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and all below it."""
    yield parser
    for below in _choices(parser).values():
        yield from parsers(below)


def options_of(words: list[str]) -> frozenset[str]:
    """Options that `sama WORDS` may have, up to where the words stop naming verbs."""
    parser, rest = main.build_parser(), eval_verb.complete_arguments(words)
    while rest and rest[0] in _choices(parser):
        parser, rest = _choices(parser)[rest[0]], rest[1:]
    return frozenset(_names(parser)) | (training_options() if words[:1] == ["train"] else frozenset())


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def _names(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}
