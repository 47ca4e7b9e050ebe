from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sama_plugin.host.alias import AliasFinder, install_alias, remove_alias

TARGET = "a_redistribution"


@pytest.fixture
def redistribution(tmp_path: Path, unregistered: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of another name under the alias `llava`, in an interpreter that has imported no `llava`."""
    package = tmp_path / TARGET
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("from .model import Thing\n")
    (package / "model" / "__init__.py").write_text("class Thing: ...\n")
    (package / "late.py").write_text(
        f"import llava\nfrom {TARGET}.model import Thing\nloads = []\nloads.append(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("llava", TARGET)]:
        monkeypatch.delitem(sys.modules, name)
    install_alias(TARGET)
    yield TARGET
    remove_alias()
    for name in [name for name in sys.modules if name.split(".")[0] in ("llava", TARGET)]:
        del sys.modules[name]


def test_alias_gives_the_same_module_objects(redistribution: str) -> None:
    for name in ("", ".model", ".late"):
        assert importlib.import_module("llava" + name) is importlib.import_module(TARGET + name)
    assert importlib.import_module("llava.late").Thing is importlib.import_module("llava").Thing


def test_alias_leaves_the_modules_own_spec(redistribution: str) -> None:
    module = importlib.import_module("llava.model")
    assert module.__name__ == module.__spec__.name == f"{TARGET}.model"


def test_from_import_finds_submodules(redistribution: str) -> None:
    from llava import late

    assert late is sys.modules[f"{TARGET}.late"]


def test_part_that_the_target_lacks_is_not_found(redistribution: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'llava\.nothing'"):
        importlib.import_module("llava.nothing")


def test_other_names_are_left_alone() -> None:
    assert AliasFinder(TARGET).find_spec("llavanda") is None


def test_second_install_adds_nothing(redistribution: str) -> None:
    install_alias(TARGET)
    assert sum(isinstance(finder, AliasFinder) for finder in sys.meta_path) == 1


def test_remove_takes_the_aliased_modules_away_and_leaves_the_target(redistribution: str) -> None:
    importlib.import_module("llava.late")
    remove_alias()
    assert not [name for name in sys.modules if name.split(".")[0] == "llava"]
    assert f"{TARGET}.late" in sys.modules


def test_failed_import_can_be_tried_again(redistribution: str, tmp_path: Path) -> None:
    broken = tmp_path / TARGET / "broken.py"
    broken.write_text("raise ImportError('not yet')\n")
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module("llava.broken")
    broken.write_text("value = 'it works now'\n")
    assert importlib.import_module("llava.broken").value == "it works now"
