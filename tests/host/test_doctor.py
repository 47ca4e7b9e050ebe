from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.errors import HostError
from sama_plugin.host import compat, doctor, registration

GOOD = {"torch": "2.6.0", "transformers": "4.57.6", "sam2": "1.1.0", "accelerate": "1.6.0", "av": "14.0.0"}
GOOD |= {
    "pycocotools": "2.0.8",
    "scipy": "1.15.0",
    "peft": "0.15.2",
    "deepspeed": "0.19.0",
    "flash-attn": "2.7.0",
    "shtab": "1.13.0",
    "fastapi": "0.115.0",
    "gradio": "6.17.3",
    "python-multipart": "0.0.20",
    "uvicorn": "0.34.0",
    "pycocoevalcap": "1.2",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str | None]:
    """A machine where everything is well; versions may be changed."""
    versions: dict[str, str | None] = dict(GOOD)
    host = compat.HostInfo("llava", "1.7.0.dev0", Path("LLaVA-NeXT/llava"), ())
    monkeypatch.setattr(compat, "installed_version", lambda name, *others: versions[name])
    monkeypatch.setattr(compat, "find_host", lambda: host)
    monkeypatch.setattr(registration, "register", lambda: None)
    monkeypatch.setattr(registration, "unregister", lambda: None)
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setattr(doctor, "shipped_path", lambda: tmp_path)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    return versions


def lines_of(text: str, name: str) -> str:
    """The finding's line and the command below it."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.split()[1:2] == [name])
    return "\n".join(lines[at : at + 2])


def test_healthy_machine_has_no_problem(machine: dict) -> None:
    found = doctor.report()
    assert found.exit_code == 0
    assert "llava 1.7.0.dev0 in LLaVA-NeXT" in lines_of(found.format(), "host")
    assert found.format().endswith("All well.")
    assert "run:" not in found.format()


@pytest.mark.parametrize(
    ("name", "version", "line"),
    [
        (
            "transformers",
            "5.1.0",
            "unsupported transformers  5.1.0; wanted >=4.49,<4.58\nrun: pip install",
        ),
        (
            "sam2",
            None,
            "missing     sam2          wanted >=1.1,<2\nrun: pip install setuptools",
        ),
        ("torch", None, "missing     torch         wanted >=2.5.1\nrun: pip install torch"),
        ("av", "9.0", 'unsupported av            9.0; wanted >=12\nrun: pip install "av>=12"'),
        (
            "pycocotools",
            None,
            'missing     pycocotools   wanted >=2.0.7\nrun: pip install "pyc',
        ),
    ],
)
def test_problem_comes_with_the_command_that_mends_it(
    machine: dict, name: str, version: str | None, line: str
) -> None:
    machine[name] = version
    found = doctor.report()
    assert found.exit_code == 1
    shown = "\n".join(part.strip() for part in lines_of(found.format(), name).splitlines())
    assert shown.startswith(line)
    assert found.format().endswith("1 problem; run the command below each.")


def test_missing_host_is_a_problem(machine: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "find_host", lambda: None)
    found = doctor.report()
    assert found.exit_code == 1
    assert 'run: pip install "llavaction' in lines_of(found.format(), "host")


def test_missing_optional_library_is_no_problem(machine: dict) -> None:
    machine["flash-attn"] = machine["deepspeed"] = machine["peft"] = None
    found = doctor.report()
    assert found.exit_code == 0
    assert lines_of(found.format(), "flash-attn").split()[0] == "optional"


def test_extra_is_one_line_that_installs_what_it_lacks(machine: dict) -> None:
    assert "fastapi 0.115.0, gradio 6.17.3" in lines_of(doctor.report().format(), "web")
    machine["gradio"], machine["uvicorn"] = "6.18.0", None
    found = doctor.report()
    assert found.exit_code == 0
    line, mend = lines_of(found.format(), "web").splitlines()
    assert line.split(maxsplit=2) == [
        "optional",
        "web",
        "wanted gradio>=6.5,<6.18, uvicorn; only for `sama serve`",
    ]
    assert mend.strip() == 'run: pip install "gradio>=6.5,<6.18" "uvicorn"'


def test_missing_java_is_no_problem(machine: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = doctor.report()
    assert found.exit_code == 0
    assert "only for METEOR" in lines_of(found.format(), "java")


def test_report_fits_one_screen_even_where_all_that_is_optional_is_missing(
    machine: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"torch", "transformers", "sam2", "accelerate", "av", "pycocotools"}
    machine.update(dict.fromkeys(set(machine) - needed))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert len(doctor.report().format().splitlines()) <= 30


def test_missing_checkpoint_is_a_problem(
    machine: dict, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "shipped_path", lambda: tmp_path / "nowhere")
    assert [problem.name for problem in doctor.report().problems] == ["checkpoint"]


def test_host_that_does_not_import_names_the_missing_package(
    machine: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def register() -> None:
        raise HostError("Host cannot be imported.\nIt printed: No module named 'einops.layers'")

    monkeypatch.setattr(registration, "register", register)
    text = doctor.report().format()
    assert "run: pip install einops" in lines_of(text, "registration")


def test_doctor_leaves_the_registration_as_it_was(unregistered: None) -> None:
    doctor.report()
    assert not registration.is_registered()


def test_bare_machine_gets_a_report(tmp_path: Path) -> None:
    """No torch, no host, no libraries: their import fails and their metadata is not there."""
    blocker = (
        "import sys, importlib.metadata as m\n"
        "def version(name): raise m.PackageNotFoundError(name)\n"
        "m.version = version\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in 'torch numpy transformers sam2 av pycocotools'.split():\n"
        "            raise ModuleNotFoundError(name)\n"
        "from sama_plugin.host import doctor\n"
        "doctor.compat.find_host = lambda: None\n"
        "sys.meta_path.insert(0, Block())\n"
        "found = doctor.report(); print(found.format()); sys.exit(found.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", blocker], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    for name in ("torch", "transformers", "sam2", "host", "av", "pycocotools"):
        assert lines_of(done.stdout, name).split()[0] == "missing"
        assert "run: " in lines_of(done.stdout, name)
