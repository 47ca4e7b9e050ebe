"""Who may import whom: one way through the rooms, and three borders to the outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sama_plugin"
ORDER = (
    *("constants", "errors", "schema", "config", "media", "prompting", "modeling", "grounding"),
    *("host", "data", "inference", "evaluation", "training", "demo", "cli"),
)
"""A file imports from its own room and from rooms before it."""

ON_DEMAND = {("schema", "sama_plugin.media.masks.decode_track")}
"""What a room may fetch from a later one inside a function: masks are decoded when somebody looks at them."""

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported_names(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name a file imports, anywhere in it, absolute, with its line."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package[: len(package) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((arg.value, node.lineno) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def wrong_imports(path: Path) -> list[str]:
    """Imports of rooms that come after the file's own."""
    own = ORDER.index(room_of(path))
    found = []
    for name, line in imported_names(path):
        parts = name.split(".")
        if parts[0] != "sama_plugin" or parts[1:2] == [] or parts[1] not in ORDER:
            continue
        if ORDER.index(parts[1]) > own and (ORDER[own], name) not in ON_DEMAND:
            found.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


def importers_of(top_level: set[str]) -> dict[str, list[str]]:
    """Files that import any of these packages, by room."""
    found: dict[str, list[str]] = {}
    for path in MODULES:
        for name, line in imported_names(path):
            if name.split(".")[0] in top_level:
                found.setdefault(room_of(path), []).append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


def test_every_file_stands_in_a_known_room() -> None:
    assert {room_of(path) for path in MODULES} <= set(ORDER)


def test_rooms_import_only_upwards() -> None:
    assert [wrong for path in MODULES for wrong in wrong_imports(path)] == []


def test_only_the_host_room_imports_the_host() -> None:
    found = importers_of({"llava", "llavaction", "trl"})
    assert found.pop("host")
    assert found == {}


def test_only_the_grounding_room_imports_sam2() -> None:
    found = importers_of({"sam2", "hydra"})
    assert found.pop("grounding")
    assert found == {}


def test_modeling_is_plain_torch_and_transformers() -> None:
    allowed = {"torch", "transformers", "sama_plugin", *sys.stdlib_module_names}
    foreign = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in MODULES
        if room_of(path) == "modeling"
        for name, line in imported_names(path)
        if name.split(".")[0] not in allowed
    ]
    assert foreign == []


def test_data_does_not_import_the_host_room() -> None:
    wrong = [
        name
        for path in MODULES
        if room_of(path) == "data"
        for name, _ in imported_names(path)
        if name.startswith("sama_plugin.host")
    ]
    assert wrong == []


def test_no_module_is_named_for_nothing() -> None:
    names = {"utils", "util", "misc", "common", "helpers"}
    assert [
        path for path in PACKAGE.rglob("*") if path.stem in names and "__pycache__" not in path.parts
    ] == []


@pytest.mark.parametrize(
    ("room", "code", "is_wrong"),
    [
        ("media/a.py", "from sama_plugin.host import compat", True),
        ("media/a.py", "from ..host import compat", True),
        ("media/a.py", "def f():\n    import sama_plugin.modeling.qformer", True),
        ("media/a.py", "from . import masks", False),
        ("host/a.py", "from sama_plugin.media import masks", False),
        ("errors.py", "from sama_plugin import config", True),
    ],
)
def test_the_check_itself_sees_wrong_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: str, code: str, is_wrong: bool
) -> None:
    path = tmp_path / "sama_plugin" / room
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "sama_plugin")
    assert bool(wrong_imports(path)) is is_wrong


def test_importing_the_package_is_light_and_only_waits_for_transformers() -> None:
    code = (
        "import sys; finders = list(sys.meta_path); import sama_plugin;"
        "heavy = {'torch', 'numpy', 'transformers', 'llava', 'llavaction', 'sam2', 'av'} & set(sys.modules);"
        "waiting = [vars(finder)['_name'] for finder in sys.meta_path if finder not in finders];"
        "print(sorted(heavy), waiting, sama_plugin.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == "[] ['transformers.models.auto.configuration_auto'] 0.1.0\n", done.stderr
