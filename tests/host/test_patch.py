from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.host import compat

ROOT = Path(__file__).resolve().parents[2]
PATCH = ROOT / "patches" / "0001-plugin-entry-points.patch"
UPSTREAM_INIT = "from .model import LlavaLlamaForCausalLM\n"


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The part of LLaVA-NeXT that the patch touches, with a model package that tells when it is imported."""
    package = tmp_path / "host" / "llava"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text(UPSTREAM_INIT)
    (package / "__init__.py").chmod(0o755)  # as upstream
    (package / "model" / "__init__.py").write_text("print('model')\nLlavaLlamaForCausalLM = None\n")
    git(tmp_path / "host", "init", "-q")
    return tmp_path / "host"


def import_llava(checkout: Path, plugins: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Import the checkout's `llava` in an interpreter with these entry points: group → `module:function`."""
    info = checkout / "plug-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1.0\n")
    rows = [f"[{group}]\nplug = {target}\n" for group, target in plugins.items()]
    (info / "entry_points.txt").write_text("\n".join(rows))
    (checkout / "plug.py").write_text(
        "def early(): print('early')\n"
        "def ready():\n    import llava.model\n    print('ready')\n"
        "def bad(): raise OSError('no')\n"
    )
    code = f"import sys; sys.path[:0] = [{str(checkout)!r}]; import llava"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )


def test_patch_is_made_against_the_upstream_file() -> None:
    blob = hashlib.sha1(f"blob {len(UPSTREAM_INIT)}\0{UPSTREAM_INIT}".encode()).hexdigest()
    assert re.search(rf"^index {blob}\.\.", PATCH.read_text(), re.M)


def test_patch_applies_and_reverts(checkout: Path) -> None:
    assert git(checkout, "apply", "--check", str(PATCH)).stderr == ""
    git(checkout, "apply", str(PATCH))
    assert (checkout / "llava" / "plugins.py").is_file()
    assert git(checkout, "apply", "-R", str(PATCH)).stderr == ""
    assert (checkout / "llava" / "__init__.py").read_text() == UPSTREAM_INIT
    assert not (checkout / "llava" / "plugins.py").exists()


def test_patch_adds_lines_only_and_few() -> None:
    body = PATCH.read_text().split("diff --git", 1)[1]
    added = re.findall(r"^\+(?!\+\+)", body, re.M)
    removed = re.findall(r"^-(?!--)", body, re.M)
    assert (len(added) <= 30, removed) == (True, [])
    assert not re.search(r"^\+.*sama", body, re.M | re.I)


def test_patched_host_runs_plugins_before_and_after_its_model(checkout: Path) -> None:
    git(checkout, "apply", str(PATCH))
    plugins = {"llava.plugins.early": "plug:early", "llava.plugins.ready": "plug:ready"}
    done = import_llava(checkout, plugins)
    assert done.stdout.split() == ["early", "model", "ready"], done.stderr


def test_patched_host_without_plugins_is_as_before(checkout: Path) -> None:
    git(checkout, "apply", str(PATCH))
    done = import_llava(checkout, {})
    assert (done.stdout.split(), done.stderr) == (["model"], "")


def test_plugin_that_fails_is_reported_and_left_out(checkout: Path) -> None:
    git(checkout, "apply", str(PATCH))
    done = import_llava(checkout, {"llava.plugins.early": "plug:bad", "llava.plugins.ready": "plug:ready"})
    assert done.stdout.split() == ["model", "ready"]
    assert "LLaVA plugin 'plug' (plug:bad) failed: no" in done.stderr


def test_check_script_tells_the_three_states(checkout: Path) -> None:
    git(checkout, "-c", "user.name=n", "-c", "user.email=e", "commit", "-q", "--allow-empty", "-m", "first")

    def check() -> tuple[int, str]:
        command = ["bash", str(ROOT / "scripts" / "check_patches.sh"), str(checkout)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert check() == (0, f"{PATCH.name}: applies\n")
    git(checkout, "apply", str(PATCH))
    assert check() == (0, f"{PATCH.name}: applied already\n")
    (checkout / "llava" / "__init__.py").write_text("import something_else\n")
    code, said = check()
    assert code == 1
    assert f"{PATCH.name}: does not apply" in said


@pytest.mark.real_host
def test_patch_applies_to_the_installed_llava_next() -> None:
    host = compat.find_host()
    assert host is not None
    checkout = host.location.parent
    if git(checkout, "rev-parse", "--git-dir").returncode:
        pytest.skip("this LLaVA-NeXT is not a git checkout")
    done = subprocess.run(
        ["bash", str(ROOT / "scripts" / "check_patches.sh"), str(checkout)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r": (applies|applied already)$", done.stdout, re.M)
