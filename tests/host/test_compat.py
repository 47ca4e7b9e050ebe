from __future__ import annotations

import os
from pathlib import Path

import pytest

from sama_plugin.errors import HostError
from sama_plugin.host import compat


def make_package(root: Path, name: str, files: tuple[str, ...] = ("__init__.py",)) -> Path:
    for file in files:
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root / name


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Installed versions by first distribution name; a test may change them."""
    found: dict[str, str | None] = {"torch": "2.6.0+cu124", "transformers": "4.51.3", "sam2": "1.1.0"}
    host = compat.HostInfo("llavaction", "0.0.1", Path("site-packages/llavaction"), ())
    monkeypatch.setattr(compat, "installed_version", lambda name, *others: found[name])
    monkeypatch.setattr(compat, "find_host", lambda: host)
    return found


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("transformers", "4.49.0"),
        ("transformers", "4.57.6"),
        ("torch", "2.5.1+cpu"),
        ("torch", "2.14.1"),
        ("sam2", "1.1.0"),
    ],
)
def test_tested_versions_pass(versions: dict, package: str, version: str) -> None:
    versions[package] = version
    assert compat.check_versions().package == "llavaction"


@pytest.mark.parametrize(
    ("package", "version", "wanted"),
    [
        ("transformers", "4.48.3", r">=4\.49,<4\.58"),
        ("transformers", "4.58.0", r">=4\.49,<4\.58"),
        ("transformers", "5.0.0rc1", r">=4\.49,<4\.58"),
        ("torch", "2.5.0", r">=2\.5\.1"),
        ("sam2", "1.0", r">=1\.1,<2"),
        ("sam2", "2.0.0", r">=1\.1,<2"),
    ],
)
def test_untested_version_is_named_with_what_is_wanted(
    versions: dict, package: str, version: str, wanted: str
) -> None:
    versions[package] = version
    with pytest.raises(HostError, match=rf"{package} {version}; wanted {wanted}; run: .*pip install"):
        compat.check_versions()


def test_every_problem_is_named_at_once(versions: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    versions.update(torch=None, transformers="4.40.2")
    monkeypatch.setattr(compat, "find_host", lambda: None)
    with pytest.raises(
        HostError, match=r"(?s)torch not installed.*transformers 4\.40\.2.*host not installed"
    ):
        compat.check_versions()


@pytest.mark.parametrize(("package", "version"), [("llava", "1.2.2.post1"), ("llavaction", "0.2.0")])
def test_untested_host_version_is_named(
    versions: dict, monkeypatch: pytest.MonkeyPatch, package: str, version: str
) -> None:
    host = compat.HostInfo(package, version, Path("somewhere"), ())
    monkeypatch.setattr(compat, "find_host", lambda: host)
    with pytest.raises(HostError, match=rf"host '{package}' {version} in somewhere; wanted >="):
        compat.check_versions()


def test_llava_next_wins_over_its_redistribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("llavaction", "llava"):
        make_package(tmp_path, name, ("__init__.py", *compat.HOST_FILES))
    monkeypatch.syspath_prepend(tmp_path)
    host = compat.find_host()
    assert host is not None
    assert (host.package, host.location, host.missing_files) == ("llava", tmp_path / "llava", ())


def test_another_llava_is_told_from_llava_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_package(tmp_path, "llava")
    monkeypatch.syspath_prepend(tmp_path)
    host = compat.find_host()
    assert host is not None
    assert "is not LLaVA-NeXT: it lacks model/builder.py" in (host.problem() or "")


def test_folder_named_llava_is_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llava").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    host = compat.find_host()
    assert host is None or host.location != tmp_path / "llava"


def test_shims_come_and_go(unregistered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import modeling_utils, pytorch_utils

    monkeypatch.delattr(modeling_utils, "prune_linear_layer", raising=False)
    compat.before_host()
    compat.before_host()
    assert modeling_utils.prune_linear_layer is pytorch_utils.prune_linear_layer
    compat.undo_shims()
    assert not hasattr(modeling_utils, "prune_linear_layer")


def test_trainer_shims_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import trainer

    names = ("GradientAccumulationPlugin", "ALL_LAYERNORM_LAYERS")
    before = {name: vars(trainer).get(name) for name in names}
    compat.before_trainer()
    assert all(hasattr(trainer, name) for name in names)
    compat.undo_shims()
    assert {name: vars(trainer).get(name) for name in names} == before


def test_quiet_import_is_silent_offline_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with compat.quiet_host_import() as printed:
        print("Failed to import llava_qwen")  # noqa: T201 - as the host does
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        assert constants.HF_HUB_OFFLINE is True
    assert printed.getvalue() == "Failed to import llava_qwen\n"
    assert capsys.readouterr().out == ""
    assert "HF_HUB_OFFLINE" not in os.environ
    assert constants.HF_HUB_OFFLINE is False
