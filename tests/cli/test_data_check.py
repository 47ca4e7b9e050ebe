from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sama_plugin.cli.main import main
from tests.data.planted_defects import PLANTED
from tests.data.published_fixture import write_published


def test_exit_codes_tell_clean_from_defective_from_impossible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = write_published(tmp_path / "set")
    (records,) = published.records
    assert main(["data", "check", str(records)]) == 0
    assert "No defect in 6 records." in capsys.readouterr().out
    PLANTED["region-count"].plant(published)
    json_path, html_path = tmp_path / "out/report.json", tmp_path / "out/report.html"
    json_path.parent.mkdir()
    assert main(["data", "check", str(records), "--json", str(json_path), "--html", str(html_path)]) == 1
    assert json.loads(json_path.read_text())["sources"][0]["by_code"] == {"region-count": 1}
    assert html_path.read_text().startswith("<!doctype html>")
    assert main(["data", "check", str(tmp_path / "none.json")]) == 2
    assert "none.json does not exist" in capsys.readouterr().err


def test_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--codes"]) == 0
    assert "region-count" in capsys.readouterr().out


def test_nothing_to_check_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check"]) == 2
    assert "nothing to check" in capsys.readouterr().err


def test_without_a_subcommand_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 2
    assert "check" in capsys.readouterr().out


def test_small_world_is_clean(shapes_set: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(shapes_set)]) == 0


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, sama_plugin.cli.main as m; m.build_parser(); print([x for x in HEAVY if x in sys.modules])"
    heavy = ("numpy", "av", "pycocotools", "torch", "PIL", "tqdm", "asyncio")
    said = subprocess.run(
        [sys.executable, "-c", code.replace("HEAVY", repr(heavy))], capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]", said.stderr
