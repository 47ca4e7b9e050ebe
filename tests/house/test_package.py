"""What the package says of itself: public names, and one set of version ranges."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import sama_plugin
from sama_plugin.errors import CheckpointError
from sama_plugin.host import compat, shipped
from sama_plugin.host.doctor import EXTRAS, LIBRARIES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def test_setup_asks_for_the_ranges_that_are_checked(setup_arguments: dict) -> None:
    extras = setup_arguments["extras_require"].values()
    asked = [*setup_arguments["install_requires"], *itertools.chain.from_iterable(extras)]
    ranges = {requirement.name: requirement.specifier for requirement in map(Requirement, asked)}
    checked = {name: wanted for name, (_, wanted) in compat.REQUIRED.items()}
    checked |= {distribution: wanted for _, distribution, wanted, _ in LIBRARIES}
    for _, _, ranged in EXTRAS:
        checked |= ranged
    checked["llavaction"] = compat.HOST_RANGES["llavaction"]
    assert {name: ranges[name] for name in checked} == {name: SpecifierSet(w) for name, w in checked.items()}


def test_setup_offers_the_extras_and_entry_points(setup_arguments: dict) -> None:
    assert set(setup_arguments["extras_require"]) == {
        *("host", "train", "eval", "caption", "annotate", "lmms", "web", "flash", "quant", "dev"),
    }
    assert set(setup_arguments["entry_points"]) == {
        "console_scripts",
        "llava.plugins.early",
        "llava.plugins.ready",
        "lmms_eval.models",
    }
    for rows in setup_arguments["entry_points"].values():
        for row in rows:
            module = row.partition("=")[2].strip().partition(":")[0]
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), row


def test_version_is_the_packages(setup_arguments: dict) -> None:
    assert setup_arguments["version"] == sama_plugin.__version__


@pytest.mark.parametrize("name", sorted(set(sama_plugin.__all__) - {"__version__"}))
def test_public_name_is_fetched_on_use(name: str) -> None:
    assert getattr(sama_plugin, name).__name__ == name
    assert name in dir(sama_plugin)


def test_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'registr'.*register"):
        sama_plugin.registr  # noqa: B018


def test_shipped_checkpoint_is_a_folder_with_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "shipped_path", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=r"config\.json does not exist; reinstall"):
        shipped.shipped_checkpoint()
    (tmp_path / "config.json").touch()
    assert shipped.shipped_checkpoint() == str(tmp_path)
